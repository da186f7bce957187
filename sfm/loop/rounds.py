"""The closed loop: see what is weak, ask retrieval for the pairs that could mend it, match, register, go on.

The first rounds look at verified pairs alone and cost no registration; they make a thin first graph firm
where it is not. Then models are built, and each further round asks for what they show to be missing.

Each round leaves its requests and its models under `OUT/cache/rounds/<key>/<round>/`, so that a killed run
continues after the last finished round and ends as an undisturbed one would.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pycolmap

from retrieval import Edge, Pair, Reason, SceneGraph
from sfm.backends import NO_GUIDES, Guides, MatchReport
from sfm.config.schema import RegisterConfig
from sfm.events import EventLog, EventSink, Tee, replay
from sfm.mapping import MappingResult, ViewGraph
from sfm.types import RoundReport
from sfm.workspace import atomic_folder, atomic_write_json

from .calibration import Calibration, Similarities
from .guides import guides_of
from .missing_links import missing_links
from .ranking import Rank
from .requests import MUST_HAVE, PairRequest
from .rules import propose_requests
from .scheduler import Budget, Experience, Outcome, work_off
from .situation import Situation
from .suspects import ReadSuspects, deciding_requests

_EVENTS = "events.jsonl"
_MAX_GRAPH_ROUNDS = 3
_MAX_IDLE_ROUNDS = 2
"""Rounds whose verified pairs brought no photo and joined no models, before the loop ends."""
_FIRM_BRIDGE = 30
"""Inliers of a pair that is believed to join two parts; it is verified with fewer."""
_BATCH_PER_PHOTO = 0.1
_MIN_BATCH = 8

Reconstruct = Callable[[Sequence[pycolmap.Reconstruction], EventSink], MappingResult]
Match = Callable[[Mapping[Pair, Edge], Guides], MatchReport]


@dataclass(frozen=True, slots=True)
class LoopResult:
    """Models (largest first), the verified pairs, all proposed pairs, and what each round did."""

    models: tuple[pycolmap.Reconstruction, ...]
    view_graph: ViewGraph
    scene_graph: SceneGraph
    rounds: tuple[RoundReport, ...]


def run_closed_loop(
    graph: SceneGraph,
    *,
    folder: Path,
    reconstruct: Reconstruct,
    match: Match,
    read_view_graph: Callable[[], ViewGraph],
    read_suspects: ReadSuspects,
    rank: Rank,
    config: RegisterConfig,
    events: EventSink,
) -> LoopResult:
    """Reconstruct in rounds until a round gains nothing, no request is left, or the budget is spent.

    Args:
        graph: pairs matched so far.
        folder: where rounds are kept; its name must depend on everything that the result depends on.
        reconstruct: continues the given models with all verified pairs.
        match: matches and verifies pairs, writing them to the database, with what the models say of some.
        read_view_graph: the verified pairs in the database.
        read_suspects: the verified pairs that look like look-alikes'.
        rank: photos most similar to a photo, best first, with scores.
        config: number of rounds and budget; no round at all where `max_rounds` is 0.
        events: receives `request` and `round` events.
    """
    loop = _Loop(graph, folder, reconstruct, match, read_view_graph, read_suspects, rank, config, events)
    if config.max_rounds > 0:
        loop.firm_up_graph()
    loop.register()
    if config.max_rounds > 0 and config.mapper == "graph":
        loop.mend_models()
    return LoopResult(tuple(loop.models), loop.view_graph, loop.graph, tuple(loop.history))


def registered_names(models: Sequence[pycolmap.Reconstruction]) -> set[str]:
    """Names of the photos registered in any of the models."""
    return {model.image(i).name for model in models for i in model.reg_image_ids()}


@dataclass(slots=True)
class _Loop:
    """A run of the loop in progress."""

    graph: SceneGraph
    folder: Path
    reconstruct: Reconstruct
    match: Match
    read_view_graph: Callable[[], ViewGraph]
    read_suspects: ReadSuspects
    rank: Rank
    config: RegisterConfig
    events: EventSink
    models: list[pycolmap.Reconstruction] = field(default_factory=list)
    history: list[RoundReport] = field(default_factory=list)
    experience: Experience = field(default_factory=Experience)
    view_graph: ViewGraph = field(init=False)
    similarities: Similarities | None = None
    """Once they were needed."""
    registered: bool = False
    """Whether registration has been tried."""

    def __post_init__(self) -> None:
        self.view_graph = self.read_view_graph()

    def firm_up_graph(self) -> None:
        """Rounds that look at the view graph alone."""
        for _ in range(_MAX_GRAPH_ROUNDS):
            if not self._round():
                break

    def mend_models(self) -> None:
        """Rounds after which the models are continued."""
        idle = 0
        for _ in range(self.config.max_rounds):
            if not self._round():
                break
            last = self.history[-1]
            changed = (
                last.registered_after != last.registered_before or last.models_after != last.models_before
            )
            idle = 0 if changed else idle + 1
            if idle >= _MAX_IDLE_ROUNDS:
                break

    def register(self) -> None:
        """Continue the models with all verified pairs, or read what an earlier run made of them.

        A new result is also read back from disk, so that an interrupted and an undisturbed run go on from
        the same numbers.
        """
        done = self._round_folder(len(self.history)) / "models"
        if done.exists():
            replay(done / _EVENTS, self.events)
        else:
            with atomic_folder(done) as scratch:
                result = self.reconstruct(self.models, Tee(self.events, EventLog(scratch / _EVENTS)))
                for index, model in enumerate(result.models):
                    (scratch / str(index)).mkdir()
                    model.write(scratch / str(index))
        paths = sorted((p for p in done.iterdir() if p.is_dir()), key=lambda p: int(p.name))
        self.models = [pycolmap.Reconstruction(path) for path in paths]
        self.registered = True

    def _round(self) -> bool:
        """One round; whether a further one could gain anything."""
        number, started = len(self.history) + 1, time.monotonic()
        before = registered_names(self.models)
        num_models = len(self.models)
        budget = self._budget()
        if budget.most == 0:
            return False
        outcome = self._work_off(self._requests(number), number, budget)
        if not outcome.edges:
            return False
        self.graph = self.graph.merged(outcome.edges)
        self.view_graph = self.read_view_graph()
        verified = sorted(pair for pair in outcome.edges if pair in self.view_graph)
        report = RoundReport(
            round=number,
            asked=dict(Counter(str(edge.reason) for edge in outcome.edges.values())),
            matched=len(outcome.edges),
            verified=len(verified),
            verified_by_reason=dict(Counter(str(outcome.edges[pair].reason) for pair in verified)),
            registered_before=len(before),
            registered_after=len(before),
            models_before=num_models,
            models_after=num_models,
            seconds=0.0,
        )
        self.history.append(report)
        if verified and self.registered:
            self.register()
            self._learn(outcome.answered, before)
        report = replace(
            report,
            registered_after=len(registered_names(self.models)),
            models_after=len(self.models),
            seconds=round(time.monotonic() - started, 2),
        )
        self.history[-1] = report
        self.events.emit("loop", "round", **asdict(report))
        return bool(verified)

    def _requests(self, number: int) -> list[PairRequest]:
        """This round's requests: those of an interrupted run, or new ones, written before any is tried."""
        # a round of the view graph that asks nothing is followed by one of the models with the same number
        stage = "models" if self.registered else "graph"
        path = self._round_folder(number) / f"requests_of_{stage}.json"
        if path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            return [PairRequest.from_json(request) for request in stored]
        names, tried = self.view_graph.names, frozenset(self.graph.edges)
        if self.similarities is None:
            self.similarities = Similarities.measured(names, self.rank)
        curve = Calibration.learn(self.similarities, self.view_graph.edges.keys(), tried)
        look_alikes = {pair: curve.chance(score) for pair, score in self.similarities.of_pairs.items()}
        links = missing_links(self.models, self.view_graph, tried, look_alikes)
        observations = [
            {model.image(i).name: model.image(i).num_points3D for i in model.reg_image_ids()}
            for model in self.models
        ]
        situation = Situation(
            self.view_graph,
            observations,
            tried,
            self.rank,
            number,
            self.registered,
            curve.chance,
            links,
        )
        requests = propose_requests(situation)
        if self.registered:
            requests += deciding_requests(self.read_suspects(tried), num_photos=len(names))
        atomic_write_json(path, [request.to_json() for request in requests])
        return requests

    def _budget(self) -> Budget:
        photos, spent = len(self.graph.images), len(self.graph)
        return Budget(
            usual=max(0, int(self.config.pairs_per_photo * photos) - spent),
            most=max(0, int(self.config.max_pairs_per_photo * photos) - spent),
        )

    def _work_off(self, requests: Sequence[PairRequest], number: int, budget: Budget) -> Outcome:
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
            known = guides_of(self.models, edges) if self.config.guided else NO_GUIDES
            found = self.match(edges, known).inliers
            return {pair for pair, count in found.items() if _counts(edges[pair].reason, count)}

        return work_off(
            requests,
            try_pairs,
            budget=budget,
            experience=self.experience,
            round=number,
            batch_size=max(_MIN_BATCH, int(_BATCH_PER_PHOTO * len(self.graph.images))),
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
            if request.reason is Reason.ORPHAN:
                self.experience.settle(request.reason, request.subject[0] in gained)
            elif request.reason in MUST_HAVE:
                places = {model_of.get(name, -1) for name in request.subject}
                self.experience.settle(request.reason, len(places) == 1 and -1 not in places)

    def _round_folder(self, number: int) -> Path:
        return self.folder / f"{number:02d}"


def _counts(reason: Reason, num_inliers: int) -> bool:
    """Whether a verified pair answers a request: what joins two parts must be more than a chance likeness."""
    return reason is not Reason.BRIDGE or num_inliers >= _FIRM_BRIDGE
