"""The whole run, photos to models, and its stages one by one. Reads like the picture in ARCHITECTURE.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pycolmap

from retrieval import Edge, Pair, RetrievalConfig, SceneGraph
from sfm.backends import NO_GUIDES, Guides, MatchReport, Surroundings
from sfm.backends.choice import open_backend
from sfm.camera_splits import with_own_cameras, with_splits
from sfm.config.schema import Config
from sfm.database import FeatureDatabase
from sfm.errors import InputError
from sfm.events import EventSink
from sfm.failed_pairs import FailedPairs
from sfm.file_changes import file_changes, file_states
from sfm.georeferencing import GivenFrame
from sfm.given_poses import GivenPoses, in_frame_of, read_given_poses, triangulated, with_given_cameras
from sfm.ingest import ingest
from sfm.ingest.discover import FoundFile
from sfm.look_alikes import read_suspects
from sfm.loop import LoopResult, Rank, run_closed_loop
from sfm.mapping import MappingResult, ViewGraph, contested_places
from sfm.outputs import finish, write_grown
from sfm.pair_proposal import earlier_edges, propose_pairs, save_pair_list
from sfm.positions import with_positions
from sfm.progress import Progress
from sfm.registration import finished, reconstructed, with_derived_rigs
from sfm.result import Result
from sfm.session import SILENT, AnyPath, Growing, PhotoSession, num_threads
from sfm.types import Collection, Skipped
from sfm.workspace import content_key, opened_workspace

_REGISTER_VERSION = 9
"""Raised when a change of code changes what registration computes: earlier models are then built again."""

_LISTED = 5


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
        graph = matched(session, collection, proposed, database)
        if session.poses is not None:
            return _around_poses(session, session.poses, collection, database, proposed, graph, rank)
        loop = registered(session, collection, database, proposed, graph, rank)
        with session.survived("cameras of their own"):
            better = with_own_cameras(session, collection, database, loop)
            if better is not collection:
                graph = matched(session, better, proposed, database)
                loop = registered(session, better, database, proposed, graph, rank)
                collection = better
        return finish(session, collection, database, loop)


def _around_poses(
    session: PhotoSession,
    poses: GivenPoses,
    collection: Collection,
    database: FeatureDatabase,
    proposed: SceneGraph,
    graph: SceneGraph,
    rank: Rank,
) -> Result:
    """The rest of a run that begins with known poses."""
    with session.stage("triangulate") as counts:
        given = triangulated(
            poses, collection, database, threads=session.threads, seed=session.config.run.seed
        )
        counts.update(photos=given.models[0].num_reg_images(), points=given.models[0].num_points3D())
    new = frozenset(collection.names) - poses.images.keys()
    loop = registered(session, collection, database, proposed, graph, rank, Growing(given, new, poses.key))
    if not poses.fixed:
        with session.survived("frame of the known poses"):
            loop = write_grown(session, replace(loop, models=in_frame_of(loop.models, poses)))
    return finish(
        session, collection, database, loop, given=GivenFrame.of(poses.path, frozenset(poses.images))
    )


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
        return match_edges(session, collection, database, proposed.edges)


@contextmanager
def photo_session(source: Path, output: Path, config: Config, progress: Progress) -> Iterator[PhotoSession]:
    """A run over the photos below `source`, with its workspace open and its matcher loaded."""
    pycolmap.set_random_seed(config.run.seed)
    with opened_workspace(output, source=source) as workspace:
        backend = open_backend(Surroundings(workspace, config, num_threads(config), progress))
        workspace.events.emit("run", "backend", name=backend.name, notice=backend.notice)
        yield PhotoSession(
            workspace, config, progress, backend=backend, poses=read_given_poses(config.register)
        )


def _described(session: PhotoSession, photos: Path) -> tuple[Collection, FeatureDatabase]:
    return with_features(session, ingested(session, photos))


def ingested(
    session: PhotoSession, photos: Path, *, earlier: Sequence[FoundFile] = (), min_photos: int = 2
) -> Collection:
    """Stage: the photos, read and checked; `earlier` ones come from elsewhere and keep their names."""
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
            min_photos=min_photos,
            earlier=earlier,
        )
        collection = with_positions(with_splits(collection, space.cache), config.georeference)
        session.files.update(file_states(collection.photos))
        counts.update(photos=len(collection.photos), skipped=len(collection.skipped))
    return with_given_cameras(collection, session.poses) if session.poses else collection


def with_features(session: PhotoSession, collection: Collection) -> tuple[Collection, FeatureDatabase]:
    """Stage: the photos described, without those that could not be."""
    with session.stage("describe") as counts:
        database = FeatureDatabase(session.workspace.database)
        database.sync(collection, session.backend.keys())
        report = session.backend.describe(collection, database)
        counts.update(described=report.described, cached=report.cached, failed=len(report.failed))
    if not report.failed:
        return collection, database
    changed = file_changes(collection.photos, session.files)
    described = _without(collection, {name: changed.get(name, why) for name, why in report.failed.items()})
    database.sync(described, session.backend.keys())
    return described, database


def _without(collection: Collection, failed: Mapping[str, str]) -> Collection:
    """The collection without photos that the backend could not use although our decoder could read them."""
    kept = tuple(photo for photo in collection.photos if photo.name not in failed)
    skipped = tuple(Skipped(name, reason) for name, reason in failed.items())
    if len(kept) < 2:
        listed = "; ".join(f"{s.name}: {s.reason}" for s in skipped[:_LISTED])
        rest = f"; and {len(skipped) - _LISTED} more" if len(skipped) > _LISTED else ""
        raise InputError(
            f"fewer than two photos could be used: {listed}{rest}",
            hint="a model needs at least two different photos",
        )
    return replace(collection, photos=kept, skipped=collection.skipped + skipped)


def _proposed(
    session: PhotoSession, collection: Collection, database: FeatureDatabase
) -> tuple[SceneGraph, Rank]:
    with session.stage("retrieve") as counts:
        graph, rank = propose_pairs(
            collection,
            database,
            cache_dir=session.workspace.cache,
            backend=session.backend,
            config=first_graph_options(session.config),
            seed=session.config.run.seed,
            events=session.workspace.events,
        )
        counts.update(pairs=len(graph), components=len(graph.components()))
    return graph, rank


def first_graph_options(config: Config) -> RetrievalConfig:
    """Options of the first scene graph: thinner where the closed loop follows."""
    loop_follows = config.register.max_rounds > 0 and config.register.poses is None
    return config.retrieval.before_loop() if loop_follows else config.retrieval


def match_edges(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    edges: Mapping[Pair, Edge],
    guides: Guides = NO_GUIDES,
) -> MatchReport:
    """Match and verify pairs that the database does not hold yet."""
    report = session.backend.match(edges, collection, database, guides=guides)
    FailedPairs.read(session.workspace.cache).note(edges.keys(), report.failed.keys())
    return report


def matched(
    session: PhotoSession, collection: Collection, proposed: SceneGraph, database: FeatureDatabase
) -> SceneGraph:
    """Stage: match the proposed pairs; the graph that comes back also holds pairs matched in earlier runs."""
    graph = proposed.merged(earlier_edges(session.workspace.cache, database))
    with session.stage("match") as counts:
        report = match_edges(session, collection, database, graph.edges)
        counts.update(matched=report.matched, cached=report.cached, verified=report.verified)
        if report.failed:
            counts.update(failed=len(report.failed))
    return graph


def registered(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    proposed: SceneGraph,
    graph: SceneGraph,
    rank: Rank,
    growing: Growing | None = None,
) -> LoopResult:
    """Stage: models from the matched pairs and from those that they show to be missing."""
    config, space = session.backend.adapted(session.config, collection), session.workspace
    given = growing.given if growing else None
    failed = FailedPairs.read(space.cache)
    failed.forget_all_but(graph.edges.keys())

    def reconstruct_from(
        start: Sequence[pycolmap.Reconstruction], suspects: frozenset[Pair], events: EventSink, fresh: bool
    ) -> MappingResult:
        return reconstructed(
            session, collection, database, start, suspects, events, given=given, finished=False, fresh=fresh
        )

    def finish_last(
        models: Sequence[pycolmap.Reconstruction], suspects: frozenset[Pair], events: EventSink
    ) -> Sequence[pycolmap.Reconstruction]:
        return finished(session, collection, database, models, suspects, events, given=given)

    def match_requested(edges: Mapping[Pair, Edge], guides: Guides) -> MatchReport:
        return match_edges(session, collection, database, edges, guides)

    with session.stage("register") as counts:
        loop = run_closed_loop(
            graph,
            folder=space.cache
            / "rounds"
            / _loop_key(session, collection, proposed, growing, failed.generation),
            reconstruct=reconstruct_from,
            finish=finish_last,
            match=match_requested,
            read_view_graph=lambda: ViewGraph.read(database.path),
            read_suspects=lambda tried: read_suspects(database.path, tried),
            read_contested=partial(
                contested_places, database.path, config=config.register, seed=config.run.seed
            ),
            rank=rank,
            config=config.register,
            events=space.events,
            models=growing.given.models if growing else (),
            scope=growing.new if growing else None,
            survived=session.survived,
        )
        loop = write_grown(session, loop)
        with session.survived("rigs"):
            loop = with_derived_rigs(session, collection, database, loop)
        counts.update(models=len(loop.models), rounds=len(loop.rounds), pairs=len(loop.scene_graph))
    return loop


def _loop_key(
    session: PhotoSession,
    collection: Collection,
    proposed: SceneGraph,
    growing: Growing | None,
    generation: int,
) -> str:
    config = session.config
    photos = [(p.name, p.sha256, collection.cameras[p.camera_id]) for p in collection.photos]
    return content_key(
        "register",
        _REGISTER_VERSION,
        session.backend.keys(),
        photos,
        sorted(proposed.edges),
        collection.rigs,
        config.register,
        config.refine,
        config.run.seed,
        *([growing.key] if growing else []),
        *([generation] if generation else []),
    )
