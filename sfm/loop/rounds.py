"""The closed loop: see what is weak, ask retrieval for the pairs that could mend it, match, register, go on.

The first rounds look at verified pairs alone and cost no registration; they make a thin first graph firm
where it is not, a batch of pairs each, so that nothing is asked for that the batch before has mended. A few
more ask what decides about suspect pairs or outvotes them. Then models say what is missing, round by round.

Measured with `tools/bench/loop.py`, seeds 0 to 2, what the gain is worth that a link must have at least:
from 0.2 on kitchen25 takes 99 to 109 pairs and lund_street 127 to 140, from 0.5 74 to 84, from 0.7 64 to 76,
where five nearest neighbours are 79 to 86 pairs, all with the same photos and poses. On the rendered demo,
which has look-alikes, 0.5 for all once gave a bent model (AUC@5 81): hence 0.2 where pairs are in doubt.

Each round leaves its requests and its models under `OUT/cache/rounds/<key>/<round>/`, so that a killed run
continues after the last finished round and ends as an undisturbed one would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pycolmap

from retrieval import Edge, Pair, Reason, SceneGraph
from sfm.config.schema import RegisterConfig
from sfm.mapping import InconsistencyReport, MappingResult, ViewGraph
from sfm.matching import NO_GUIDES, Guides, MatchReport
from sfm.pairs.ranking import Rank
from sfm.types import RoundReport
from sfm.workspace.events import EventSink

from .ambiguity_requests import FindAmbiguousParts, ambiguity_requests
from .anchored_images import all_anchored
from .calibration import Calibration, Similarities
from .consistency_requests import (
    FindInconsistentPairs,
    deciding_requests,
    is_unreliable,
    unasked,
    widening_requests,
)
from .epipolar_guides import guides_of
from .history import History, registered_names
from .kept_rounds import KeptRounds, Models
from .loop_closures import loop_closures
from .loop_state import LoopState
from .requests import MUST_HAVE, PairRequest, answers
from .rules import propose_requests
from .scheduler import Budget, Outcome, YieldStatistics, run_requests

_MAX_GRAPH_ROUNDS = 12
"""Of a batch each, and as many again about verified pairs that are in doubt: they cost no registration, and
what one batch brings may save the next."""
_MAX_IDLE_ROUNDS = 2
"""Rounds that brought no photo, joined no models and found no pair between two, before the loop ends."""
_WORTH_A_FRESH_START = 1.1
"""Times the verified pairs of the last one: models that stay apart are begun afresh then, which costs as much
as the first registration and seldom joins them."""
_BATCH_PER_PHOTO = 0.1
_MIN_BATCH = 8

Reconstruct = Callable[[Models, frozenset[Pair], EventSink, bool], MappingResult]
Finish = Callable[[Models, frozenset[Pair], EventSink], Models]
Match = Callable[[Mapping[Pair, Edge], Guides], MatchReport]
Survived = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class LoopResult:
    """Models (largest first), the verified pairs, all proposed pairs, and what each round did."""

    models: tuple[pycolmap.Reconstruction, ...]
    view_graph: ViewGraph
    scene_graph: SceneGraph
    rounds: tuple[RoundReport, ...]
    inconsistent_pairs: InconsistencyReport | None = None
    """Of these verified pairs, where the last round had to look for them anyway."""


def run_closed_loop(
    graph: SceneGraph,
    *,
    folder: Path,
    reconstruct: Reconstruct,
    finish: Finish,
    match: Match,
    read_view_graph: Callable[[], ViewGraph],
    read_inconsistent_pairs: FindInconsistentPairs,
    find_ambiguous_parts: FindAmbiguousParts,
    rank: Rank,
    config: RegisterConfig,
    events: EventSink,
    models: Sequence[pycolmap.Reconstruction] = (),
    new_images: Set[str] | None = None,
    survived: Survived = nullcontext,
) -> LoopResult:
    """Reconstruct in rounds until a round gains nothing, no request is left, or the budget is spent.

    Args:
        graph: pairs matched so far.
        folder: where rounds are kept; its name must depend on everything that the result depends on.
        reconstruct: continues the given models with all verified pairs, those last that may be look-alikes',
            and tries a fresh start, too, where it is told to; the models need not be finished.
        finish: the last adjustment of models, with the pairs that may be look-alikes'.
        match: matches and verifies pairs, writing them to the database, with what the models say of some.
        read_view_graph: the verified pairs in the database.
        read_inconsistent_pairs: the verified pairs that look like look-alikes'.
        find_ambiguous_parts: the places of parts of models that more pairs have to tell of.
        rank: photos most similar to a photo, best first, with scores.
        config: number of rounds and budget; no round at all where `max_rounds` is 0.
        events: receives `request` and `round` events.
        models: to begin with, such as those of a run that is to be extended.
        new_images: photos that share the budget; one of them at least is in each requested pair. None: all.
        survived: context of a step, by its name, once there are models: one that swallows what the step
            raises leaves the models as they were before it.
    """
    loop = _Loop(
        graph,
        KeptRounds(folder, events),
        reconstruct,
        finish,
        match,
        read_view_graph,
        read_inconsistent_pairs,
        find_ambiguous_parts,
        rank,
        config,
        events,
        list(models),
        frozenset(graph.images) if new_images is None else frozenset(new_images),
    )
    if config.max_rounds > 0:
        loop.firm_up_graph()
    loop.register()
    with survived("further rounds"), loop.restored():
        if config.max_rounds > 0 and config.mapper == "graph":
            loop.mend_models()
    with survived("last adjustment"), loop.restored():
        loop.finish_models()
    return LoopResult(
        tuple(loop.models), loop.view_graph, loop.graph, tuple(loop.history.rounds), loop.known_inconsistent
    )


@dataclass(slots=True)
class _Loop:
    """A run of the loop in progress."""

    graph: SceneGraph
    kept: KeptRounds
    reconstruct: Reconstruct
    finish: Finish
    match: Match
    read_view_graph: Callable[[], ViewGraph]
    read_inconsistent_pairs: FindInconsistentPairs
    find_ambiguous_parts: FindAmbiguousParts
    rank: Rank
    config: RegisterConfig
    events: EventSink
    models: list[pycolmap.Reconstruction]
    new_images: frozenset[str]
    yields: YieldStatistics = field(default_factory=YieldStatistics)
    history: History = field(init=False)
    view_graph: ViewGraph = field(init=False)
    similarities: Similarities | None = None
    """Once they were needed."""
    num_at_fresh_start: int = 0
    """Verified pairs when models were last begun afresh."""
    stage: Literal["graph", "doubt", "models"] = "graph"
    """What is being mended: the view graph, what makes it doubtful, or the models, after registration."""
    num_graph_rounds: int = 0
    """Before the first registration."""
    known_inconsistent: InconsistencyReport | None = None
    """Of the view graph as it is; None where nobody looked since it grew."""
    has_tested: bool = False
    """Whether the last round put places of the models to the test."""
    is_unreliable: bool = False
    """Whether the first registration would rest on pairs that are probably wrong."""

    existing: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.history = History(self.events)
        self.view_graph = self.read_view_graph()
        self.existing = frozenset(registered_names(self.models)) - self.new_images

    @property
    def batch_size(self) -> int:
        """Pairs that are matched before outcomes are looked at."""
        return max(_MIN_BATCH, int(_BATCH_PER_PHOTO * len(self.graph.images)))

    def firm_up_graph(self) -> None:
        """Rounds that look at the view graph alone."""
        for _ in range(_MAX_GRAPH_ROUNDS):
            if not self._round(max_batches=1):
                break
        self.is_unreliable = self.kept.is_unreliable(lambda: is_unreliable(self._find_inconsistent()))
        self.stage = "doubt"
        # wrong pairs can bend the first model: what decides about them or outvotes them had better be in it
        for _ in range(_MAX_GRAPH_ROUNDS):
            if not self._round(max_batches=1):
                break

    def mend_models(self) -> None:
        """Rounds after which the models are continued."""
        if self.new_images <= registered_names(self.models) and all_anchored(
            self.view_graph, self.new_images, self.existing
        ):
            return
        idle = 0
        for _ in range(self.config.max_rounds):
            self.yields.forgive()
            is_over = not self._round() or not (self.history.rounds[-1].verified or self.has_tested)
            # a test may have moved a part, which changes no number
            has_changed = not is_over and (self.has_tested or self.history.has_changed())
            idle = 0 if has_changed else idle + 1
            if is_over or idle >= _MAX_IDLE_ROUNDS:
                if not self._begin_afresh():
                    break
                idle = 0
        else:
            self._begin_afresh()

    def register(self) -> None:
        """Continue the models with all verified pairs; begin afresh, too, where there are many more."""
        self._continue_models(fresh=self._num_verified() >= _WORTH_A_FRESH_START * self.num_at_fresh_start)

    def _continue_models(self, *, fresh: bool) -> None:
        if fresh:
            self.num_at_fresh_start = self._num_verified()
        self.models = self.kept.models(
            len(self.history),
            "models",
            lambda events: self.reconstruct(self.models, self._inconsistent_pairs(), events, fresh).models,
        )
        if self.stage != "models":
            self.stage, self.num_graph_rounds = "models", len(self.history)

    def finish_models(self) -> None:
        """Adjust the models of the last round fully, or read what an earlier run made of them."""
        self.models = self.kept.models(
            len(self.history),
            "finished",
            lambda events: self.finish(self.models, self._inconsistent_pairs(), events),
        )

    @contextmanager
    def restored(self) -> Iterator[None]:
        """A step after which, where it fails, the models are as they were: it may change them in place."""
        try:
            yield
        except Exception:
            self.models = self.kept.latest()
            raise

    def _num_verified(self) -> int:
        return sum(pair in self.view_graph for pair in self.graph.edges)

    def _round(self, max_batches: int | None = None) -> bool:
        """One round; whether anything was asked."""
        number, started = len(self.history) + 1, time.monotonic()
        before = registered_names(self.models)
        budget = self._budget()
        if budget.most == 0:
            return False
        requests = self.kept.requests(number, self.stage, lambda: self._requests(number))
        outcome = self._run_requests(requests, number, budget, max_batches)
        if not outcome.edges:
            return False
        self.graph = self.graph.merged(outcome.edges)
        self.view_graph = self.read_view_graph()
        self.known_inconsistent = None
        tests = {candidate.pair for one in requests if one.is_test for candidate in one.candidates}
        self.has_tested = not tests.isdisjoint(outcome.edges)
        with self._noted(outcome.edges, started):
            found = any(pair in self.view_graph for pair in outcome.edges)
            if self.stage == "models" and (found or self.has_tested):
                self.register()
                self._learn(outcome.answered, before)
        return True

    def _begin_afresh(self) -> bool:
        """A round without pairs in which models begin afresh, where that may join them and was not tried with
        the pairs that there are; whether it changed them.
        """
        whole = len(self.models) == 1 and self.new_images <= registered_names(self.models)
        if whole or self.existing or self._num_verified() == self.num_at_fresh_start:
            return False
        with self._noted({}, time.monotonic()):
            self._continue_models(fresh=True)
        return self.history.has_changed()

    def _noted(self, edges: Mapping[Pair, Edge], started: float) -> AbstractContextManager[None]:
        return self.history.round(edges, self.view_graph, lambda: self.models, started)

    def _requests(self, number: int) -> list[PairRequest]:
        """What the view graph, the suspects and the models lack."""
        names, tried = self.view_graph.names, frozenset(self.graph.edges)
        if self.similarities is None:
            self.similarities = Similarities.measured(names, self.rank)
        curve = Calibration.learn(self.similarities, self.view_graph.edges.keys(), tried)
        similar = {pair: curve.chance(score) for pair, score in self.similarities.of_pairs.items()}
        inconsistent_pairs = None if self.stage == "graph" else self._find_inconsistent()
        links = loop_closures(
            self.models,
            self.view_graph,
            tried,
            similar,
            is_unreliable=self.is_unreliable or is_unreliable(inconsistent_pairs),
            limit=len(names) if self.stage == "models" else 2 * self.batch_size,
            deferred=inconsistent_pairs.deferred if inconsistent_pairs else frozenset(),
            new_images=self.new_images,
        )
        observations = [
            {model.image(i).name: model.image(i).num_points3D for i in model.reg_image_ids()}
            for model in self.models
        ]
        state = LoopState(
            self.view_graph,
            observations,
            tried,
            self.rank,
            number,
            self.stage == "models",
            curve.chance,
            links,
        )
        requests = propose_requests(state)
        later_than = self.num_graph_rounds if self.stage == "models" else -1
        requests += deciding_requests(
            unasked(inconsistent_pairs, self.graph, later_than), num_photos=len(names)
        )
        if self.is_unreliable and self.stage == "doubt":
            requests += widening_requests(names, self.rank, tried)
        if self.stage == "models" and not self.existing:
            requests += ambiguity_requests(self.find_ambiguous_parts(self.models), tried)
        return [request for one in requests if (request := self._of_new_images(one)).candidates]

    def _of_new_images(self, request: PairRequest) -> PairRequest:
        return replace(
            request, candidates=tuple(c for c in request.candidates if self.new_images.intersection(c.pair))
        )

    def _find_inconsistent(self) -> InconsistencyReport | None:
        """Suspects among the verified pairs, read once as long as these stay the same."""
        if self.known_inconsistent is None:
            self.known_inconsistent = self.read_inconsistent_pairs(frozenset(self.graph.edges))
        return self.known_inconsistent

    def _inconsistent_pairs(self) -> frozenset[Pair]:
        report = self._find_inconsistent() if self.config.mapper == "graph" else None
        return report.deferred if report else frozenset()

    def _budget(self) -> Budget:
        photos = len(self.new_images)
        spent = sum(1 for pair in self.graph.edges if self.new_images.intersection(pair))
        return Budget(
            usual=max(0, int(self.config.pairs_per_photo * photos) - spent),
            most=max(0, int(self.config.max_pairs_per_photo * photos) - spent),
        )

    def _run_requests(
        self, requests: Sequence[PairRequest], number: int, budget: Budget, max_batches: int | None
    ) -> Outcome:
        is_unguided = {candidate.pair for one in requests if one.is_unguided for candidate in one.candidates}

        def try_pairs(edges: Mapping[Pair, Edge]) -> Set[Pair]:
            for pair in sorted(edges):
                edge = edges[pair]
                self.events.emit(
                    "loop",
                    "request",
                    a=pair.a,
                    b=pair.b,
                    reason=str(edge.reason),
                    gain=edge.score,
                    round=edge.round,
                )
            guided = {p: e for p, e in edges.items() if self.config.guided and p not in is_unguided}
            known = guides_of(self.models, guided) if guided else NO_GUIDES
            found = self.match(edges, known).inliers
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
        """Whether the requests that had verified pairs came to anything."""
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
