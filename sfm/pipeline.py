"""The whole run, photos to models, and its stages one by one. Reads like the picture in ARCHITECTURE.md."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pycolmap

from retrieval import Edge, Pair, RetrievalConfig, SceneGraph
from sfm.backends import NO_GUIDES, Backend, Guides, MatchReport, Surroundings
from sfm.backends.choice import open_backend
from sfm.camera_splits import save_splits, with_splits
from sfm.config.schema import Config
from sfm.database import FeatureDatabase
from sfm.errors import InputError
from sfm.events import EventSink
from sfm.ingest import ingest
from sfm.look_alikes import read_suspects
from sfm.loop import LoopResult, Rank, run_closed_loop
from sfm.mapping import MappingResult, ViewGraph, reconstruct
from sfm.mapping.cameras import find_foreign_photos
from sfm.outputs import finish
from sfm.pair_proposal import earlier_edges, propose_pairs, save_pair_list
from sfm.progress import Progress, SilentProgress
from sfm.record import peak_memory_mb
from sfm.result import Result
from sfm.types import Collection, Skipped, StageReport
from sfm.workspace import Workspace, content_key, os_errors_as_workspace_errors

_REGISTER_VERSION = 2
"""Raised when a change of code changes what registration computes: earlier models are then built again."""

_LISTED = 5

AnyPath = str | os.PathLike[str]

SILENT = SilentProgress()


@dataclass(slots=True)
class Session:
    """One run in progress: its workspace, options and the times of the stages so far."""

    workspace: Workspace
    config: Config
    progress: Progress
    stages: list[StageReport] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def threads(self) -> int:
        """Threads to use."""
        return num_threads(self.config)

    @property
    def backend_name(self) -> str:
        """The matcher of this run; none where matches were given."""
        return ""

    @property
    def notice(self) -> str:
        """What the user must know before using the result."""
        return ""

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, int | float]]:
        """Time a stage; what the block puts into the mapping are its counts."""
        started = time.monotonic()
        counts: dict[str, int | float] = {}
        yield counts
        seconds = round(time.monotonic() - started, 3)
        self.stages.append(StageReport(name, seconds, counts, peak_memory_mb()))
        self.workspace.events.emit(name, "stage", seconds=seconds, counts=counts)


@dataclass(slots=True)
class PhotoSession(Session):
    """A run that starts from photos, with what describes and matches them."""

    backend: Backend = field(kw_only=True)

    @property
    def backend_name(self) -> str:
        """The matcher of this run."""
        return self.backend.name

    @property
    def notice(self) -> str:
        """What the matcher's makers ask to be known."""
        return self.backend.notice


def num_threads(config: Config) -> int:
    """Threads to use: as configured, else one for each core that this process may run on."""
    return config.run.threads or len(os.sched_getaffinity(0))


def run(
    photos: AnyPath, *, output: AnyPath, config: Config | None = None, progress: Progress = SILENT
) -> Result:
    """Reconstruct a folder of photos; run again with the same folders to continue or to add photos.

    Args:
        photos: folder of photos, subfolders included.
        output: workspace; made when missing.
        config: all options; None takes the defaults.
        progress: told how far each stage is.

    Returns:
        Models, largest first (none when nothing could be reconstructed), with what became of each photo.

    Raises:
        InputError: fewer than two readable photos, or unusable masks or intrinsics.
        WorkspaceError: `output` is in use, foreign or not writable.
    """
    with photo_session(Path(photos), Path(output), config or Config(), progress) as session:
        collection, database = _described(session, Path(photos))
        proposed, rank = _proposed(session, collection, database)
        graph = _matched(session, collection, proposed, database)
        loop = _registered(session, collection, database, proposed, graph, rank)
        better = _with_own_cameras(session, collection, database, loop)
        if better is not collection:
            graph = _matched(session, better, proposed, database)
            loop = _registered(session, better, database, proposed, graph, rank)
        return finish(session, better, database, loop)


def retrieve(
    photos: AnyPath, *, output: AnyPath, config: Config | None = None, progress: Progress = SILENT
) -> SceneGraph:
    """Propose the pairs worth matching: the first scene graph. See `run` for arguments and errors."""
    with photo_session(Path(photos), Path(output), config or Config(), progress) as session:
        collection, database = _described(session, Path(photos))
        graph, _ = _proposed(session, collection, database)
        save_pair_list(graph, session.workspace.cache)
        return graph


def match(
    photos: AnyPath, *, output: AnyPath, config: Config | None = None, progress: Progress = SILENT
) -> MatchReport:
    """Match and verify the pairs of the first scene graph. See `run` for arguments and errors."""
    with photo_session(Path(photos), Path(output), config or Config(), progress) as session:
        collection, database = _described(session, Path(photos))
        proposed, _ = _proposed(session, collection, database)
        return _match_edges(session, collection, database, proposed.edges)


@contextmanager
def photo_session(source: Path, output: Path, config: Config, progress: Progress) -> Iterator[PhotoSession]:
    """A run over the photos below `source`, with its workspace open and its matcher loaded."""
    pycolmap.set_random_seed(config.run.seed)
    with os_errors_as_workspace_errors(output), Workspace(output, source=source) as workspace:
        backend = open_backend(Surroundings(workspace, config, num_threads(config), progress))
        workspace.events.emit("run", "backend", name=backend.name, notice=backend.notice)
        yield PhotoSession(workspace, config, progress, backend=backend)


def _described(session: PhotoSession, photos: Path) -> tuple[Collection, FeatureDatabase]:
    return with_features(session, ingested(session, photos))


def ingested(session: PhotoSession, photos: Path) -> Collection:
    """Stage: the photos, read and checked."""
    space, config = session.workspace, session.config
    with session.stage("ingest") as counts:
        collection = ingest(
            photos,
            images_dir=space.images,
            cache_dir=space.cache,
            config=config.images,
            threads=session.threads,
            events=space.events,
            progress=session.progress,
        )
        collection = with_splits(collection, space.cache)
        counts.update(photos=len(collection.photos), skipped=len(collection.skipped))
    return collection


def with_features(session: PhotoSession, collection: Collection) -> tuple[Collection, FeatureDatabase]:
    """Stage: the photos described, without those that could not be."""
    with session.stage("describe") as counts:
        database = FeatureDatabase(session.workspace.database)
        database.sync(collection, session.backend.keys())
        report = session.backend.describe(collection, database)
        counts.update(described=report.described, cached=report.cached, failed=len(report.failed))
    return _without(collection, report.failed), database


def _without(collection: Collection, failed: Mapping[str, str]) -> Collection:
    """The collection without photos that the backend could not use although our decoder could read them."""
    if not failed:
        return collection
    kept = tuple(photo for photo in collection.photos if photo.name not in failed)
    skipped = tuple(Skipped(name, reason) for name, reason in failed.items())
    if len(kept) < 2:
        listed = "; ".join(f"{s.name}: {s.reason}" for s in skipped[:_LISTED])
        rest = f"; and {len(skipped) - _LISTED} more" if len(skipped) > _LISTED else ""
        raise InputError(
            f"fewer than two photos could be used: {listed}{rest}",
            hint="a model needs at least two different photos",
        )
    return Collection(kept, collection.cameras, collection.skipped + skipped, collection.duplicates)


def _proposed(
    session: PhotoSession, collection: Collection, database: FeatureDatabase
) -> tuple[SceneGraph, Rank]:
    with session.stage("retrieve") as counts:
        graph, rank = propose_pairs(
            collection,
            database,
            cache_dir=session.workspace.cache,
            backend=session.backend,
            config=_first_graph_options(session.config),
            seed=session.config.run.seed,
            events=session.workspace.events,
        )
        counts.update(pairs=len(graph), components=len(graph.components()))
    return graph, rank


def _first_graph_options(config: Config) -> RetrievalConfig:
    return config.retrieval.before_loop() if config.register.max_rounds else config.retrieval


def _match_edges(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    edges: Mapping[Pair, Edge],
    guides: Guides = NO_GUIDES,
) -> MatchReport:
    return session.backend.match(edges, collection, database, guides=guides)


def _matched(
    session: PhotoSession, collection: Collection, proposed: SceneGraph, database: FeatureDatabase
) -> SceneGraph:
    """Match the proposed pairs; the graph that comes back also holds pairs matched in earlier runs."""
    graph = proposed.merged(earlier_edges(session.workspace.cache, database))
    with session.stage("match") as counts:
        report = _match_edges(session, collection, database, graph.edges)
        counts.update(matched=report.matched, cached=report.cached, verified=report.verified)
    return graph


def _registered(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    proposed: SceneGraph,
    graph: SceneGraph,
    rank: Rank,
) -> LoopResult:
    config = session.backend.adapted(session.config, collection)
    space = session.workspace

    def reconstruct_from(start: Sequence[pycolmap.Reconstruction], events: EventSink) -> MappingResult:
        return reconstruct(
            database.path,
            config=config.register,
            refine=config.refine,
            fixed_cameras=collection.fixed_cameras,
            threads=session.threads,
            seed=config.run.seed,
            events=events,
            progress=session.progress,
            start=start,
            focal_guesses=session.backend.focal_guesses(collection),
            depth=session.backend.depth(collection),
        )

    def match_requested(edges: Mapping[Pair, Edge], guides: Guides) -> MatchReport:
        return _match_edges(session, collection, database, edges, guides)

    with session.stage("register") as counts:
        loop = run_closed_loop(
            graph,
            folder=space.cache / "rounds" / _loop_key(session, collection, proposed),
            reconstruct=reconstruct_from,
            match=match_requested,
            read_view_graph=lambda: ViewGraph.read(database.path),
            read_suspects=lambda tried: read_suspects(database.path, tried),
            rank=rank,
            config=config.register,
            events=space.events,
        )
        counts.update(models=len(loop.models), rounds=len(loop.rounds), pairs=len(loop.scene_graph))
    return loop


def _with_own_cameras(
    session: PhotoSession, collection: Collection, database: FeatureDatabase, loop: LoopResult
) -> Collection:
    """The collection with cameras of their own for photos that contradict the focal length they share.

    The geometries of their pairs are then stale, and out of the database.
    """
    config, space = session.config, session.workspace
    if config.images.camera_sharing != "auto" or config.register.mapper != "graph" or not loop.models:
        return collection
    foreign = find_foreign_photos(
        database.path, loop.models, fixed_cameras=collection.fixed_cameras, seed=config.run.seed
    )
    if not foreign:
        return collection
    for photo in foreign:
        space.events.emit("register", "own_camera", **asdict(photo))
    save_splits(space.cache, collection, {photo.name: photo.focal_px for photo in foreign})
    better = with_splits(collection, space.cache)
    database.sync(better, session.backend.keys())
    return better


def _loop_key(session: PhotoSession, collection: Collection, proposed: SceneGraph) -> str:
    config = session.config
    photos = [(p.name, p.sha256, collection.cameras[p.camera_id]) for p in collection.photos]
    return content_key(
        "register",
        _REGISTER_VERSION,
        session.backend.keys(),
        photos,
        sorted(proposed.edges),
        config.register,
        config.refine,
        config.run.seed,
    )
