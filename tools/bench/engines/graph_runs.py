"""One scene graph of a collection, mapped by our registrar: what it came to, what it cost; kept on disk."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from harness.measured import Clock
from harness.paths import ROOT
from photo_sets.sets import files_key

from engines.matched_store import GuidedWork, MatchedStore
from retrieval import Edge, Pair, Reason, SceneGraph
from retrieval.mast3r_sfm_graph import retrieval_graph
from sfm.colmap.model_poses import Poses
from sfm.config.schema import Config
from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.evaluation.comparison import registered_poses
from sfm.files.atomic import atomic_write_json
from sfm.loop import Models, Rank, run_closed_loop
from sfm.mapping import (
    AmbiguousPart,
    InconsistencyReport,
    MappingProblem,
    ViewGraph,
    ambiguous_parts,
    reconstruct,
    refine_models,
)
from sfm.matching import Guides, MatchReport
from sfm.pairs.first_pairs import propose_pairs
from sfm.workspace.events import EventLog, EventSink
from sfm.workspace.progress import SilentProgress

LOOP = "loop"
_SOURCE_OF_ALL = (
    "retrieval",
    "kernels",
    "sfm/mapping",
    "sfm/colmap/database.py",
    "sfm/matching/verification.py",
)
_SOURCE_OF_LOOP = (
    *_SOURCE_OF_ALL,
    "sfm/loop",
    "sfm/diagnosis/visual_aliasing.py",
    "sfm/matching/sift",
    "sfm/pairs/first_pairs.py",
    "sfm/ingest/photo_positions.py",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRun:
    """Models of one graph with one seed. Seconds are CPU seconds of all threads but where they say wall."""

    models: tuple[Poses, ...]
    pairs: int
    """All that were matched, guided ones included."""
    guided: int
    guided_s: float
    """Of matching guided pairs, measured in this run; the others are matched once for all runs."""
    verified: int
    register_s: float
    """Of registration and of the loop's own decisions, without matching."""
    register_wall_s: float
    rounds: tuple[Mapping[str, object], ...]

    def to_json(self) -> dict[str, object]:
        """As JSON values; `from_json` takes them back."""
        models = [
            {name: [*pose.rotation.quat.tolist(), *pose.translation.tolist()] for name, pose in model.items()}
            for model in self.models
        ]
        return {
            **{field: getattr(self, field) for field in self.__slots__},
            "models": models,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> GraphRun:
        """The run that `to_json` wrote."""
        models = tuple(
            {
                name: pycolmap.Rigid3d(pycolmap.Rotation3d(np.array(v[:4])), np.array(v[4:]))
                for name, v in model.items()
            }
            for model in stored["models"]
        )
        return cls(**{**stored, "models": models, "rounds": tuple(stored["rounds"])})


def graph_run(graph: str, store: MatchedStore, config: Config, threads: int) -> GraphRun:
    """Map a graph, or read what an earlier call with the same source, options and seed made of it."""
    folder = store.workspace.cache / "graph_runs"
    path = folder / f"{graph}-{config.run.seed}-{_key(graph, store, config, threads)}.json"
    if not path.exists():
        scratch = store.workspace.cache / "experiments" / f"{graph}-{config.run.seed}"
        scratch.mkdir(parents=True, exist_ok=True)
        run = _mapped(graph, store, scratch, config, threads)
        folder.mkdir(exist_ok=True)
        atomic_write_json(path, run.to_json())
    return GraphRun.from_json(json.loads(path.read_text(encoding="utf-8")))


def _key(graph: str, store: MatchedStore, config: Config, threads: int) -> str:
    """What a run depends on besides its photos: a fixed graph neither on the loop nor on positions."""
    paths = [ROOT / part for part in (_SOURCE_OF_LOOP if graph == LOOP else _SOURCE_OF_ALL)]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    options = (config.sift, config.verify, config.retrieval, config.register, config.refine)
    positions = [(photo.name, photo.position) for photo in store.collection.photos] if graph == LOOP else []
    parts = (files_key(ROOT, sorted(files)), options, threads, pycolmap.__version__, positions)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _mapped(graph: str, store: MatchedStore, folder: Path, config: Config, threads: int) -> GraphRun:
    register = config.register if graph == LOOP else replace(config.register, max_rounds=0)
    pycolmap.set_random_seed(config.run.seed)
    events = EventLog(folder / "events.jsonl")
    first, rank = _first_graph(graph, store, config, events)
    database = store.new_database(folder / "database.db")
    store.give(first.edges, database)
    guided, matching = GuidedWork(), Clock()

    def match(edges: Mapping[Pair, Edge], guides: Guides) -> MatchReport:
        with matching:
            return store.give(edges, database, guides, guided)

    problem = MappingProblem(
        database=database.path,
        config=register,
        refine=config.refine,
        fixed_cameras=store.collection.fixed_cameras,
        threads=threads,
        seed=config.run.seed,
    )
    with Clock() as whole:
        loop = run_closed_loop(
            first,
            _StoreMapper(problem, match),
            rank,
            register,
            folder=folder / f"rounds-{time.time_ns()}",
            events=events,
        )
    return GraphRun(
        models=tuple(registered_poses(model) for model in loop.models),
        pairs=len(loop.scene_graph),
        guided=guided.pairs,
        guided_s=round(guided.cpu_s, 2),
        verified=len(loop.view_graph),
        register_s=round(whole.cpu_s - matching.cpu_s, 2),
        register_wall_s=round(whole.wall_s - matching.wall_s, 2),
        rounds=tuple(asdict(r) for r in loop.rounds),
    )


@dataclass(frozen=True, slots=True)
class _StoreMapper:
    """The mapper of the loop, where all pairs are matched already."""

    problem: MappingProblem
    match: Callable[[Mapping[Pair, Edge], Guides], MatchReport]

    def reconstruct(
        self, start: Models, consistency: InconsistencyReport, events: EventSink, *, restart: bool
    ) -> Models:
        progress = SilentProgress()
        return reconstruct(
            self.problem,
            start=start,
            consistency=consistency,
            restart=restart,
            events=events,
            progress=progress,
        ).models

    def refine(self, models: Models, consistency: InconsistencyReport, events: EventSink) -> Models:
        return refine_models(self.problem, models, consistency=consistency, events=events)

    def pairs_for_again(self) -> Mapping[Pair, int]:
        return {}

    def match_again(self, edges: Mapping[Pair, Edge]) -> MatchReport:
        raise NotImplementedError("no pair is left to be matched again")

    def view_graph(self) -> ViewGraph:
        return ViewGraph.read(self.problem.database)

    def inconsistent_pairs(self, tried: Set[Pair]) -> InconsistencyReport | None:
        return read_inconsistent_pairs(self.problem.database, tried)

    def ambiguous_parts(self, models: Models) -> Sequence[AmbiguousPart]:
        problem = self.problem
        return ambiguous_parts(problem.database, models, config=problem.config, seed=problem.seed)


def _first_graph(
    graph: str, store: MatchedStore, config: Config, events: EventLog
) -> tuple[SceneGraph, Rank]:
    """The pairs to begin with, for a fixed graph all there will be, and retrieval."""
    first, rank = propose_pairs(
        store.collection,
        store.database,
        cache_dir=store.workspace.cache,
        backend=store.backend,
        config=replace(config.retrieval.before_loop(), exhaustive_max_photos=0),
        seed=config.run.seed,
        events=events,
    )
    if graph == LOOP:
        return first, rank
    return SceneGraph(store.names, fixed_graph(graph, store.names, rank, seed=config.run.seed)), rank


def fixed_graph(text: str, names: Sequence[str], rank: Rank, *, seed: int) -> Mapping[Pair, Edge]:
    """The pairs of a graph that is chosen once."""
    kind, *numbers = text.split("-")
    if kind == "exhaustive":
        return {Pair.of(a, b): Edge(0.0, Reason.EXHAUSTIVE) for a, b in combinations(names, 2)}
    if kind == "knn":
        (count,) = map(int, numbers)
        return {
            Pair.of(name, other): Edge(score, Reason.KNN)
            for name in names
            for other, score in rank(name, count)
        }
    if kind != "anchors":
        raise SystemExit(f"no such graph: {text}")
    anchors, neighbours = map(int, numbers)
    place = {name: i for i, name in enumerate(names)}
    similarity = np.eye(len(names))
    for name in names:
        for other, score in rank(name, len(names)):
            similarity[place[name], place[other]] = score
    # in MASt3R-SfM a photo is its own first neighbour
    return retrieval_graph(similarity, anchors, neighbours + 1, seed=seed).edges(names, similarity)
