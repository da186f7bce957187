"""The closed loop: rounds that find weaknesses, request pairs from retrieval, match them, and register again.

The first rounds look at the verified pairs alone and cost no registration. Each matches a batch of pairs, so
that no request repeats what an earlier batch has answered. The next rounds match pairs that decide about
doubtful links of the view graph, or outnumber wrong pairs. After the first registration, rounds use the
models as well.

Each round leaves its requests and its models under `OUT/cache/rounds/<key>/<round>/`. A killed run continues
after the last finished round and ends as an undisturbed one would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import pycolmap

from retrieval import Edge, Pair, Reason, SceneGraph
from sfm.config.schema import RegisterConfig
from sfm.mapping import NO_DOUBT, InconsistencyReport, ViewGraph, num_points_of_images
from sfm.matching import NO_GUIDES
from sfm.pairs.ranking import Rank
from sfm.types import RoundReport
from sfm.workspace.events import EventSink

from .ambiguity_requests import ambiguity_requests
from .anchored_images import all_anchored
from .calibration import Calibration, Similarities
from .consistency_requests import deciding_requests, is_unreliable
from .epipolar_guides import guides_of
from .kept_rounds import KeptRounds
from .loop_closures import LoopClosure, likely_pairs, loop_closures
from .loop_state import LoopState
from .mapper import Mapper, Models
from .requests import MUST_HAVE, PairRequest, answers
from .round_reports import RoundReports, have_moved, registered_names
from .rules import propose_requests
from .scheduler import Budget, Outcome, YieldStatistics, run_requests

Survived = Callable[[str], AbstractContextManager[object]]
Stage = Literal["graph", "doubt", "models"]
"""What requests are about: the verified pairs, the inconsistent ones among them, or the models."""

_MAX_GRAPH_ROUNDS = 12
"""Rounds in each of the two stages before the first registration."""
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
    is_void: Callable[[Models], bool] | None = None,
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
        is_void: asked of the first models; where it says so, they are what comes back, not refined.
    """
    scope = frozenset(graph.images) if new_images is None else frozenset(new_images)
    pairs, kept = _Pairs(graph, mapper), KeptRounds(folder, events)
    start = kept.start(models) if new_images is None else list(models)
    loop = _Loop(pairs, mapper, rank, config, kept, events, start, scope)
    if config.max_rounds > 0:
        loop.complete_graph()
    has_rounds = config.max_rounds > 0 and config.mapper == "graph"
    loop.register(restart=True, compares=not has_rounds)
    if is_void is None or not is_void(loop.models):
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
        self.view_graph = mapper.view_graph()
        self.report: InconsistencyReport | None = None
        """Of the view graph as it is; None where no search followed its last change."""

    def add(self, edges: Mapping[Pair, Edge]) -> None:
        self.graph = self.graph.merged(edges)
        self.view_graph = self._mapper.view_graph()
        self.report = None

    @property
    def tried(self) -> frozenset[Pair]:
        return frozenset(self.graph.edges)

    @property
    def num_verified(self) -> int:
        return sum(pair in self.view_graph for pair in self.graph.edges)

    def inconsistent(self) -> InconsistencyReport | None:
        """Inconsistent pairs among the verified ones, searched for once for each view graph."""
        if self.report is None:
            self.report = self._mapper.inconsistent_pairs(self.tried)
        return self.report


class _Outcome(NamedTuple):
    """What a round that matched pairs came to."""

    has_verified: bool
    has_tested: bool
    """Whether it matched pairs that decide between two poses of a part."""


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
    yields: YieldStatistics = field(default_factory=YieldStatistics)
    num_at_restart: int = 0
    """Verified pairs at the last registration from new initial pairs."""
    num_tried_at_comparison: int = 0
    """Tried pairs when models were last compared with others: one without a match may show a fold, too."""
    is_unreliable: bool = False
    """Whether the first registration would rest on pairs that are probably wrong."""

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
        self._graph_rounds("graph")
        self.is_unreliable = self.kept.is_unreliable(lambda: is_unreliable(self.pairs.inconsistent()))
        # wrong pairs can bend the first model: it needs the pairs that decide about them or outnumber them
        self._graph_rounds("doubt")

    def _graph_rounds(self, stage: Stage) -> None:
        for _ in range(_MAX_GRAPH_ROUNDS):
            if self._round(stage, max_batches=1) is None:
                break

    def improve_models(self) -> None:
        """Rounds after which the models are continued."""
        if self.new_images <= registered_names(self.models) and all_anchored(
            self.pairs.view_graph, self.new_images, self.existing
        ):
            return
        idle = 0
        for _ in range(self.config.max_rounds):
            self.yields.reset_failures()
            outcome = self._round("models")
            is_over = outcome is None or not any(outcome)
            # a test may have relocated a part, which changes no number
            has_changed = outcome and any(outcome) and (outcome.has_tested or self.reports.has_changed())
            idle = 0 if has_changed else idle + 1
            if is_over or idle >= _MAX_IDLE_ROUNDS:
                if not self._begin_again():
                    break
                idle = 0
        else:
            self._begin_again()

    def register(self, *, restart: bool = False, compares: bool = False) -> None:
        """Continue the models with all verified pairs; with `restart` also from new initial pairs.

        With `compares`, models that are probably wrong are compared with others of the same pairs.
        """
        if restart:
            self.num_at_restart = self.pairs.num_verified
        if compares:
            self.num_tried_at_comparison = len(self.pairs.tried)

        def reconstruct(events: EventSink) -> Models:
            known = self._consistency()
            return self.mapper.reconstruct(self.models, known, events, restart=restart, compares=compares)

        self.models = self.kept.models(len(self.reports), "models", reconstruct)

    def refine_models(self) -> None:
        """Refine the models of the last round, or read those that an earlier run refined."""
        self.models = self.kept.models(
            len(self.reports), "finished", lambda to: self.mapper.refine(self.models, self._consistency(), to)
        )

    @contextmanager
    def restored(self) -> Iterator[None]:
        """A step that may change the models in place; where it fails, they are read again from disk."""
        try:
            yield
        except Exception:
            self.models = self.kept.latest()
            raise

    def _consistency(self) -> InconsistencyReport:
        return (self.pairs.inconsistent() if self.config.defers else None) or NO_DOUBT

    def _round(self, stage: Stage, max_batches: int | None = None) -> _Outcome | None:
        """One round; None where no pair was matched."""
        number, started = len(self.reports) + 1, time.monotonic()
        before = registered_names(self.models)
        budget = self._budget()
        if budget.most == 0:
            return None
        requests = self.kept.requests(number, stage, lambda: self._requests(stage, number))
        outcome = self._run_requests(requests, number, budget, max_batches)
        if not outcome.edges:
            return None
        self.pairs.add(outcome.edges)
        tests = {candidate.pair for one in requests if one.is_test for candidate in one.candidates}
        found = _Outcome(
            any(pair in self.pairs.view_graph for pair in outcome.edges), not tests.isdisjoint(outcome.edges)
        )
        with self._reported(outcome.edges, started):
            if stage == "models" and any(found):
                self.register()
                self._learn(outcome.answered, before)
        return found

    def _begin_again(self) -> bool:
        """Register from new initial pairs, in a round without requests; whether it changed the models.

        Models that are probably wrong are compared with others, once no more pairs are to be matched. It is
        skipped where nothing can be joined and no model is wrong, and where the last one had the same pairs.
        """
        if self.existing:
            return False
        is_whole = len(self.models) == 1 and self.new_images <= registered_names(self.models)
        has_new = self.pairs.num_verified != self.num_at_restart
        if (is_whole or not has_new) and not self._is_wrong():
            return False
        before = self.models
        with self._reported({}, time.monotonic()):
            self.register(restart=has_new, compares=True)
        return self.reports.has_changed() or have_moved(before, self.models)

    def _is_wrong(self) -> bool:
        """Whether any model probably is, by pairs that the last comparison with others did not have."""
        is_due = len(self.pairs.tried) > self.num_tried_at_comparison
        return is_due and self.mapper.are_wrong(self.models, self._consistency())

    def _reported(self, edges: Mapping[Pair, Edge], started: float) -> AbstractContextManager[None]:
        return self.reports.round(edges, self.pairs.view_graph, lambda: self.models, started)

    def _requests(self, stage: Stage, number: int) -> list[PairRequest]:
        """Requests for what the view graph, the inconsistent pairs and the models lack."""
        view_graph, tried = self.pairs.view_graph, self.pairs.tried
        names, is_registered = view_graph.names, stage == "models"
        curve = Calibration.learn(self.similarities, view_graph.edges.keys(), tried)
        report = None if stage == "graph" else self.pairs.inconsistent()
        links = self._loop_closures(curve, report, limit=len(names) if is_registered else 2 * self.batch_size)
        again = self.mapper.pairs_for_again()
        requests = propose_requests(
            LoopState(
                view_graph,
                [num_points_of_images(model) for model in self.models],
                tried,
                self.rank,
                number,
                is_registered,
                curve.chance,
                links,
                again,
                likely_pairs(self.models, again.keys()) if again else {},
            )
        )
        requests += deciding_requests(report, self.pairs.graph)
        if is_registered and not self.existing:
            probability = report.probability if report else {}
            requests += ambiguity_requests(self.mapper.ambiguous_parts(self.models, probability), tried)
        return [request for one in requests if (request := self._of_new_images(one)).candidates]

    def _loop_closures(
        self, curve: Calibration, report: InconsistencyReport | None, *, limit: int
    ) -> list[LoopClosure]:
        return loop_closures(
            self.models,
            self.pairs.view_graph,
            self.pairs.tried,
            {pair: curve.chance(score) for pair, score in self.similarities.of_pairs.items()},
            is_unreliable=self.is_unreliable or is_unreliable(report),
            limit=limit,
            deferred=report.deferred if report and self.config.defers else frozenset(),
            new_images=self.new_images,
        )

    def _of_new_images(self, request: PairRequest) -> PairRequest:
        return replace(
            request, candidates=tuple(c for c in request.candidates if self.new_images.intersection(c.pair))
        )

    def _budget(self) -> Budget:
        images = len(self.new_images)
        spent = sum(1 for pair in self.pairs.graph.edges if self.new_images.intersection(pair))
        return Budget(
            usual=max(0, int(self.config.pairs_per_photo * images) - spent),
            most=max(0, int(self.config.max_pairs_per_photo * images) - spent),
        )

    def _run_requests(
        self, requests: Sequence[PairRequest], number: int, budget: Budget, max_batches: int | None
    ) -> Outcome:
        is_unguided = {candidate.pair for one in requests if one.is_unguided for candidate in one.candidates}
        is_again = {candidate.pair for one in requests if one.is_again for candidate in one.candidates}

        def try_pairs(edges: Mapping[Pair, Edge]) -> Set[Pair]:
            for (a, b), edge in sorted(edges.items()):
                told = {"reason": str(edge.reason), "gain": edge.score, "round": edge.round}
                self.events.emit("loop", "request", a=a, b=b, **told)
            guided = {p: e for p, e in edges.items() if self.config.guided and p not in is_unguided}
            guides = guides_of(self.models, guided) if guided else NO_GUIDES
            again = {pair: edge for pair, edge in edges.items() if pair in is_again}
            fresh = {pair: edge for pair, edge in edges.items() if pair not in is_again}
            found = {**self.mapper.match(fresh, guides).inliers} if fresh else {}
            found |= self.mapper.match_again(again).inliers if again else {}
            return {pair for pair, count in found.items() if answers(edges[pair].reason, count)}

        return run_requests(
            requests,
            try_pairs,
            budget=budget,
            yields=self.yields,
            round=number,
            batch_size=self.batch_size,
            max_batches=max_batches,
        )

    def _learn(self, answered: Sequence[PairRequest], before: Set[str]) -> None:
        """Learn whether the requests with verified pairs removed the weakness that they were about."""
        gained = registered_names(self.models) - before
        model_of = {
            model.image(i).name: index
            for index, model in enumerate(self.models)
            for i in model.reg_image_ids()
        }
        for request in answered:
            if request.reason is Reason.UNREGISTERED:
                self.yields.settle(request.reason, request.subject[0] in gained)
            elif request.reason in MUST_HAVE:
                places = {model_of.get(name, -1) for name in request.subject}
                self.yields.settle(request.reason, len(places) == 1 and -1 not in places)
