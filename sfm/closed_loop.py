"""The closed loop: reconstruct, ask retrieval for the pairs that the model misses, match them, go on.

Each round leaves its requests and its models under `OUT/cache/rounds/<key>/<round>/`, so that a killed run
continues after the last finished round and ends as an undisturbed one would.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pycolmap

from retrieval import Edge, Pair, Reason, SceneGraph
from sfm.backends import MatchReport
from sfm.config.schema import RegisterConfig
from sfm.events import EventLog, EventSink, Tee, replay
from sfm.mapping import MappingResult, ViewGraph, propose_requests
from sfm.types import PairRequest, RoundReport
from sfm.workspace import atomic_folder, atomic_write_json

_EVENTS = "events.jsonl"

Reconstruct = Callable[[Sequence[pycolmap.Reconstruction], EventSink], MappingResult]
Match = Callable[[Mapping[Pair, Edge]], MatchReport]
Rank = Callable[[str, int], list[tuple[str, float]]]


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
    rank: Rank,
    config: RegisterConfig,
    events: EventSink,
) -> LoopResult:
    """Reconstruct in rounds until a round gains nothing, no request is left, or the budget is spent.

    Args:
        graph: pairs matched so far.
        folder: where rounds are kept; its name must depend on everything that the result depends on.
        reconstruct: continues the given models with all verified pairs.
        match: matches and verifies pairs, writing them to the database.
        read_view_graph: the verified pairs in the database.
        rank: photos most similar to a photo, best first, with scores.
        config: number of rounds and budget.
        events: receives `request` and `round` events.
    """
    history: list[RoundReport] = []
    models = _round_models(folder / "00", (), reconstruct, events)
    view_graph = read_view_graph()
    for number in range(1, config.max_rounds + 1):
        before, started = _num_registered(models), time.monotonic()
        requests = _requests(folder / f"{number:02d}", graph, view_graph, models, rank, config, number)
        if not requests:
            break
        edges = {r.pair: Edge(_score(r.gain), r.reason, number) for r in requests}
        graph = graph.merged(edges)
        for r in requests:
            events.emit(
                "loop", "request", a=r.pair.a, b=r.pair.b, reason=str(r.reason), gain=r.gain, round=number
            )
        report = match(edges)
        if report.verified:
            models = _round_models(folder / f"{number:02d}", models, reconstruct, events)
            view_graph = read_view_graph()
        outcome = RoundReport(
            round=number,
            asked=dict(Counter(str(r.reason) for r in requests)),
            matched=len(edges),
            verified=report.verified,
            registered_before=before,
            registered_after=_num_registered(models),
            models_after=len(models),
            seconds=round(time.monotonic() - started, 2),
        )
        events.emit("loop", "round", **asdict(outcome))
        history.append(outcome)
        if not report.verified and number > 1:
            break
    return LoopResult(tuple(models), view_graph, graph, tuple(history))


def _score(gain: float) -> float:
    return min(max(gain, 0.0), 1.0)


def _num_registered(models: Sequence[pycolmap.Reconstruction]) -> int:
    return len(registered_names(models))


def registered_names(models: Sequence[pycolmap.Reconstruction]) -> set[str]:
    """Names of the photos registered in any of the models."""
    return {model.image(i).name for model in models for i in model.reg_image_ids()}


def _requests(
    folder: Path,
    graph: SceneGraph,
    view_graph: ViewGraph,
    models: Sequence[pycolmap.Reconstruction],
    rank: Rank,
    config: RegisterConfig,
    number: int,
) -> list[PairRequest]:
    """This round's requests: those of an interrupted run, or new ones, written down before any is matched."""
    path = folder / "requests.json"
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        return [PairRequest(Pair.of(r["a"], r["b"]), Reason(r["reason"]), r["gain"]) for r in stored]
    budget = int(config.max_pairs_per_photo * len(graph.images)) - len(graph)
    if budget <= 0:
        return []
    observations = [
        {model.image(i).name: model.image(i).num_points3D for i in model.reg_image_ids()} for model in models
    ]
    requests = propose_requests(view_graph, observations, set(graph.edges), rank, budget=budget, round=number)
    stored = [{"a": r.pair.a, "b": r.pair.b, "reason": str(r.reason), "gain": r.gain} for r in requests]
    atomic_write_json(path, stored)
    return requests


def _round_models(
    folder: Path,
    start: Sequence[pycolmap.Reconstruction],
    reconstruct: Reconstruct,
    events: EventSink,
) -> list[pycolmap.Reconstruction]:
    """The models of a round, from disk with their events when an earlier run finished it.

    A new result is also read back from disk, so that an interrupted and an undisturbed run go on from the
    same numbers.
    """
    done = folder / "models"
    if done.exists():
        replay(done / _EVENTS, events)
    else:
        with atomic_folder(done) as scratch:
            result = reconstruct(start, Tee(events, EventLog(scratch / _EVENTS)))
            for index, model in enumerate(result.models):
                (scratch / str(index)).mkdir()
                model.write(scratch / str(index))
    paths = sorted((p for p in done.iterdir() if p.is_dir()), key=lambda p: int(p.name))
    return [pycolmap.Reconstruction(path) for path in paths]
