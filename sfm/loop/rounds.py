"""The closed loop: rounds that plan which pairs may be matched, match the best, and register again.

The first rounds look at the verified pairs and at how likely each is true, and cost no registration. Each
matches a batch of pairs, so that no plan repeats what an earlier batch has answered. After the first
registration, rounds use the models as well.

Each round leaves its plan and its models under `OUT/cache/rounds/<key>/<round>/`. A killed run continues
after the last finished round and ends as an undisturbed one would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import pycolmap

from retrieval import Edge, Pair, SceneGraph
from sfm.config.schema import RegisterConfig
from sfm.mapping import NO_DOUBT, InconsistencyReport, ViewGraph
from sfm.pairs.ranking import Rank
from sfm.types import RoundReport
from sfm.workspace.events import EventSink

from .anchored_images import all_anchored
from .calibration import Similarities
from .candidates import plan_of
from .kept_rounds import KeptRounds
from .loop_state import LoopState
from .mapper import Mapper, Models
from .overlaps import overlaps_of
from .pair_design import promising
from .pair_plan import Candidate, PairPlan
from .round_reports import RoundReports, have_moved, registered_names
from .scheduler import Budget, Outcome, run_plan
from .weak_parts import pairs_between_weak_parts

Survived = Callable[[str], AbstractContextManager[object]]
Stage = Literal["graph", "models"]
"""What requests are about: the verified pairs, or the models."""

_MAX_GRAPH_ROUNDS = 24
"""Rounds before the first registration."""
_MAX_IDLE_ROUNDS = 2
"""Rounds without new image, merged models or verified pair between two models, before the loop ends."""
_BATCH_PER_PHOTO = 0.1
_MIN_BATCH = 8


@dataclass(frozen=True, slots=True)
class LoopResult:
    """Models (largest first), the verified pairs, all proposed pairs, and a report of each round."""

    models: tuple[pycolmap.Reconstruction, ...]
    view_graph: ViewGraph
    scene_graph: SceneGraph
    rounds: tuple[RoundReport, ...]
    inconsistent_pairs: InconsistencyReport | None = None
    """Of these verified pairs, where the last round searched for them."""


def run_closed_loop(
    graph: SceneGraph,
    mapper: Mapper,
    rank: Rank,
    config: RegisterConfig,
    *,
    folder: Path,
    events: EventSink,
    models: Models = (),
    new_images: Set[str] | None = None,
    survived: Survived = nullcontext,
) -> LoopResult:
    """Reconstruct in rounds until nothing changes, no request is left, or the budget is spent.

    Args:
        graph: pairs matched so far.
        mapper: matches pairs and builds models.
        rank: images most similar to an image, best first, with scores.
        config: number of rounds and budget; no round at all where `max_rounds` is 0.
        folder: where rounds are kept; its name must depend on everything that the result depends on.
        events: receives `request` and `round` events.
        models: to begin with, those of a run that is to be extended; or of these images, to be continued.
        new_images: images that share the budget; each requested pair contains one. None: all.
        survived: context of a named step once there are models. If it suppresses the exception of a step,
            the models are as they were before the step.
    """
    scope = frozenset(graph.images) if new_images is None else frozenset(new_images)
    pairs, kept = _Pairs(graph, mapper), KeptRounds(folder, events)
    start = kept.start(models) if new_images is None else list(models)
    loop = _Loop(pairs, mapper, rank, config, kept, events, start, scope)
    if config.max_rounds > 0:
        loop.complete_graph()
    has_rounds = config.max_rounds > 0 and config.mapper == "graph"
    loop.register(compares=not has_rounds)
    with survived("further rounds"), loop.restored():
        if has_rounds:
            loop.improve_models()
    with survived("last adjustment"), loop.restored():
        loop.refine_models()
    return LoopResult(
        tuple(loop.models), pairs.view_graph, pairs.graph, tuple(loop.reports.rounds), pairs.report
    )


class _Pairs:
    """All pairs matched so far, and those of them that verified."""

    def __init__(self, graph: SceneGraph, mapper: Mapper) -> None:
        self.graph, self._mapper = graph, mapper
        self._view_graph: ViewGraph | None = None
        self.report: InconsistencyReport | None = None
        """Of the view graph as it is; None where no search followed its last change."""

    def add(self, edges: Mapping[Pair, Edge]) -> None:
        """Note pairs that were matched."""
        self.graph = self.graph.merged(edges)
        self.reread()

    def reread(self) -> None:
        """The next look at the verified pairs reads them again."""
        self._view_graph = self.report = None

    @property
    def view_graph(self) -> ViewGraph:
        """The verified pairs."""
        if self._view_graph is None:
            self._view_graph = self._mapper.view_graph()
        return self._view_graph

    @property
    def tried(self) -> frozenset[Pair]:
        return frozenset(self.graph.edges)

    @property
    def num_verified(self) -> int:
        return sum(pair in self.view_graph for pair in self.graph.edges)

    def inconsistent(self) -> InconsistencyReport:
        """Inconsistent pairs among the verified ones, searched for once for each view graph."""
        if self.report is None:
            self.report = self._mapper.inconsistent_pairs()
        return self.report


@dataclass  # without slots: a cached property
class _Loop:
    """A run of the loop in progress."""

    pairs: _Pairs
    mapper: Mapper
    rank: Rank
    config: RegisterConfig
    kept: KeptRounds
    events: EventSink
    models: Models
    new_images: frozenset[str]
    matched_again: dict[Pair, bool] = field(default_factory=dict)
    """Pairs that the stronger matcher matched, and whether they verified."""
    num_tried_at_comparison: int = 0
    """Tried pairs when models were last compared with others: one without a match may show a fold, too."""

    def __post_init__(self) -> None:
        self.reports = RoundReports(self.events)
        self.existing = frozenset(registered_names(self.models)) - self.new_images

    @property
    def batch_size(self) -> int:
        """Pairs that are matched before outcomes are looked at."""
        return max(_MIN_BATCH, int(_BATCH_PER_PHOTO * len(self.pairs.graph.images)))

    @cached_property
    def similarities(self) -> Similarities:
        """Similarities of all images, by retrieval."""
        return Similarities.measured(self.pairs.view_graph.names, self.rank)

    def complete_graph(self) -> None:
        """Rounds before the first registration, which look at the view graph alone."""
        for _ in range(_MAX_GRAPH_ROUNDS):
            if self._round("graph", max_batches=1) is None:
                break

    def improve_models(self) -> None:
        """Rounds after which the models are continued."""
        if self.new_images <= registered_names(self.models) and all_anchored(
            self.pairs.view_graph, self.new_images, self.existing
        ):
            return
        idle = 0
        for _ in range(self.config.max_rounds):
            has_verified = self._round("models")
            idle = 0 if has_verified and self.reports.has_changed() else idle + 1
            if not has_verified or idle >= _MAX_IDLE_ROUNDS:
                if not self._compare_models():
                    break
                idle = 0
        else:
            self._compare_models()

    def register(self, *, compares: bool = False) -> None:
        """Continue the models with all verified pairs.

        With `compares`, models in parts or probably wrong are compared with others of the same pairs.
        """
        if compares:
            self.num_tried_at_comparison = len(self.pairs.tried)

        def reconstruct(events: EventSink) -> Models:
            known = self._consistency()
            return self.mapper.reconstruct(self.models, known, events, compares=compares)

        self.models = self.kept.models(len(self.reports), "models", reconstruct)

    def refine_models(self) -> None:
        """Refine the models of the last round, or read those that an earlier run refined."""
        self.models = self.kept.models(
            len(self.reports), "finished", lambda to: self.mapper.refine(self.models, self._consistency(), to)
        )

    @contextmanager
    def restored(self) -> Iterator[None]:
        """A step that may change the models in place; where it fails, they are read again from disk.

        So are the verified pairs: it may have failed between matching pairs and noting them.
        """
        try:
            yield
        except Exception:
            self.models = self.kept.latest()
            self.pairs.reread()
            raise

    def _consistency(self) -> InconsistencyReport:
        return self.pairs.inconsistent() if self.config.defers else NO_DOUBT

    def _round(self, stage: Stage, max_batches: int | None = None) -> bool | None:
        """One round; whether a pair verified, None where none was matched."""
        number, started = len(self.reports) + 1, time.monotonic()
        budget = self._budget()
        if budget.most == 0:
            return None
        plan = self.kept.plan(number, stage, lambda: self._plan(stage))
        outcome = self._run_plan(plan, number, budget, max_batches)
        if not outcome.edges:
            return None
        again = (one.pair for one in plan.candidates if one.is_again and one.pair in outcome.edges)
        self.matched_again |= {pair: pair in outcome.inliers for pair in again}
        has_verified = any(pair in self.pairs.view_graph for pair in outcome.edges)
        with self._reported(outcome.edges, started):
            if stage == "models" and has_verified:
                self.register()
        return has_verified

    def _compare_models(self) -> bool:
        """Compare models in parts or probably wrong with others, in a round without requests; whether that
        changed them.

        It is skipped where the last comparison had the same pairs: an existing model stays in any case.
        """
        if self.existing or len(self.pairs.tried) == self.num_tried_at_comparison:
            return False
        is_whole = len(self.models) == 1 and self.new_images <= registered_names(self.models)
        if is_whole and not self.mapper.are_wrong(self.models, self._consistency()):
            return False
        before = self.models
        with self._reported({}, time.monotonic()):
            self.register(compares=True)
        return self.reports.has_changed() or have_moved(before, self.models)

    def _reported(self, edges: Mapping[Pair, Edge], started: float) -> AbstractContextManager[None]:
        return self.reports.round(edges, self.pairs.view_graph, lambda: self.models, started)

    def _plan(self, stage: Stage) -> PairPlan:
        """What may be matched, by the view graph, the inconsistent pairs and the models."""
        view_graph, tried = self.pairs.view_graph, self.pairs.tried
        report = self.pairs.inconsistent()
        deferred = report.deferred if self.config.defers else frozenset()
        overlaps = overlaps_of(self.models, self.new_images)
        now = LoopState(
            view_graph,
            [registered_names([model]) for model in self.models] if stage == "models" else None,
            tried,
            self.rank,
            self.similarities,
            overlaps,
            {**report.probability, **dict.fromkeys(deferred, 0.0)},
            self.mapper.pairs_for_again(),
            self.matched_again,
        )
        plan = plan_of(now)
        others: list[Candidate] = []
        if stage == "models":
            chances = {c.pair: c.chance for c in plan.candidates if c.pair in overlaps and not c.is_again}
            others = pairs_between_weak_parts(plan.conductance, chances, len(view_graph.names))
        fixed = {one.pair for one in others}
        free = (one for one in plan.candidates if one.is_again or one.pair not in fixed)
        candidates = (one for one in (*others, *free) if self.new_images.intersection(one.pair))
        return promising(replace(plan, candidates=tuple(candidates)))

    def _budget(self) -> Budget:
        images = len(self.new_images)
        spent = sum(1 for pair in self.pairs.graph.edges if self.new_images.intersection(pair))
        return Budget(
            usual=max(0, int(self.config.pairs_per_photo * images) - spent),
            most=max(0, int(self.config.max_pairs_per_photo * images) - spent),
        )

    def _run_plan(self, plan: PairPlan, number: int, budget: Budget, max_batches: int | None) -> Outcome:
        is_again = {one.pair for one in plan.candidates if one.is_again}

        def try_pairs(edges: Mapping[Pair, Edge]) -> Mapping[Pair, int]:
            for (a, b), edge in sorted(edges.items()):
                told = {"reason": str(edge.reason), "gain": edge.score, "round": edge.round}
                self.events.emit("loop", "request", a=a, b=b, **told)
            again = {pair: edge for pair, edge in edges.items() if pair in is_again}
            fresh = {pair: edge for pair, edge in edges.items() if pair not in is_again}
            found = {**self.mapper.match(fresh).inliers} if fresh else {}
            found |= self.mapper.match_again(again).inliers if again else {}
            self.pairs.add(edges)
            return found

        return run_plan(
            plan, try_pairs, budget=budget, round=number, batch_size=self.batch_size, max_batches=max_batches
        )
