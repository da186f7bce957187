"""The stages of a run up to registration, in the order of the picture in ARCHITECTURE.md.

What follows a registration is `write_results.finish`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from retrieval import RetrievalConfig, SceneGraph
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_sync import photo_content
from sfm.config.schema import Config
from sfm.errors import InputError
from sfm.files.changes import file_changes, file_states
from sfm.ingest import ingest
from sfm.ingest.discover import FoundFile
from sfm.ingest.photo_positions import with_positions
from sfm.ingest.stage import needed_photos
from sfm.loop import LoopResult, Models, Rank, run_closed_loop
from sfm.pairs.failed_pairs import FailedPairs
from sfm.pairs.first_pairs import check_first_graph, earlier_edges, propose_pairs
from sfm.stages.known_poses import with_known_cameras
from sfm.stages.masked_overlays import with_known_overlays
from sfm.stages.recognised_lenses import with_known_lenses
from sfm.stages.register import SessionMapper, match_edges, with_derived_rigs
from sfm.stages.session import ImageAddition, PhotoSession, one_blas_thread
from sfm.stages.split_cameras import with_splits
from sfm.stages.write_results import write_refined
from sfm.types import Collection, Skipped
from sfm.workspace.workspace import content_key

_REGISTER_VERSION = 41
"""Raised when a change of code changes what registration computes: earlier models are then built again."""

_LISTED = 5


def described(
    session: PhotoSession, photos: Path, *, min_photos: int = 2
) -> tuple[Collection, FeatureDatabase]:
    """The first two stages: the photos read, and described."""
    found = ingested(session, photos, min_photos=min_photos)
    check_first_graph(session.config.retrieval, len(found.photos))
    return with_features(session, found, min_photos=min_photos)


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
        collection = with_splits(with_known_lenses(collection, space.cache, config.images), space.cache)
        collection = with_known_overlays(collection, space.cache)
        collection = with_positions(collection, config.georeference)
        session.files.update(file_states(collection.photos))
        counts.update(photos=len(collection.photos), skipped=len(collection.skipped))
    return with_known_cameras(collection, session.poses) if session.poses else collection


def with_features(
    session: PhotoSession, collection: Collection, *, min_photos: int = 2
) -> tuple[Collection, FeatureDatabase]:
    """Stage: the photos described, without those that could not be."""
    with session.stage("describe") as counts:
        database = FeatureDatabase(session.workspace.database)
        database.sync(collection, session.backend.keys())
        report = session.backend.describe(collection, database)
        counts.update(described=report.described, cached=report.cached, failed=len(report.failed))
    if not report.failed:
        return collection, database
    changed = file_changes(collection.photos, session.files)
    failed = {name: changed.get(name, why) for name, why in report.failed.items()}
    described = _without(collection, failed, min_photos)
    database.sync(described, session.backend.keys())
    return described, database


def _without(collection: Collection, failed: Mapping[str, str], min_photos: int) -> Collection:
    """The collection without photos that the backend could not use although our decoder could read them."""
    kept = tuple(photo for photo in collection.photos if photo.name not in failed)
    skipped = tuple(Skipped(name, reason) for name, reason in failed.items())
    if len(kept) < min_photos:
        listed = "; ".join(f"{s.name}: {s.reason}" for s in skipped[:_LISTED])
        rest = f"; and {len(skipped) - _LISTED} more" if len(skipped) > _LISTED else ""
        raise InputError(
            f"{'no photo' if min_photos == 1 else 'fewer than two photos'} could be used: {listed}{rest}",
            hint=needed_photos(min_photos),
        )
    return replace(collection, photos=kept, skipped=collection.skipped + skipped)


def proposed_pairs(
    session: PhotoSession, collection: Collection, database: FeatureDatabase
) -> tuple[SceneGraph, Rank]:
    """Stage: the pairs worth matching, and a ranking of photos by how alike they are for later requests.

    Raises:
        InputError: there is no pair, and the closed loop, which would ask for more, does not follow.
    """
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
    if not len(graph) and not _loop_follows(session.config):
        options = session.config.retrieval
        form = f" with mast3r_sfm_graph={options.mast3r_sfm_graph}" if "mast3r-sfm" in options.modes else ""
        raise InputError(
            f"retrieval.mode={options.mode}{form} gives the {len(collection.photos)} photos no pair",
            hint="choose other pairs, such as those of retrieval.mode=exhaustive",
        )
    return graph, rank


def first_graph_options(config: Config) -> RetrievalConfig:
    """Options of the first scene graph: thinner where the closed loop follows."""
    return config.retrieval.before_loop() if _loop_follows(config) else config.retrieval


def _loop_follows(config: Config) -> bool:
    return config.register.max_rounds > 0 and config.register.poses is None


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


@one_blas_thread()
def registered(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    proposed: SceneGraph,
    graph: SceneGraph,
    rank: Rank,
    addition: ImageAddition | None = None,
    start: Models = (),
) -> LoopResult:
    """Stage: models from the matched pairs, and from the pairs that the closed loop requests.

    Models to `start` from are continued.
    """
    space, existing = session.workspace, addition.existing if addition else None
    failed = FailedPairs.read(space.cache)
    failed.forget_all_but(graph.edges.keys())
    key = _loop_key(session, collection, proposed, addition, failed.attempt)
    with session.stage("register") as counts:
        loop = run_closed_loop(
            graph,
            SessionMapper(session, collection, database, existing),
            rank,
            session.config.register,
            folder=space.cache / "rounds" / key,
            events=space.events,
            models=existing.models if existing else start,
            new_images=addition.new if addition else None,
            survived=session.survived,
        )
        if session.history.lost:
            FailedPairs.read(space.cache).renew()
        loop = write_refined(session, loop)
        with session.survived("rigs"):
            loop = with_derived_rigs(session, collection, database, loop)
        counts.update(models=len(loop.models), rounds=len(loop.rounds), pairs=len(loop.scene_graph))
    return loop


def _loop_key(
    session: PhotoSession,
    collection: Collection,
    proposed: SceneGraph,
    addition: ImageAddition | None,
    attempt: int,
) -> str:
    config, backend = session.config, session.backend
    photos = [(p.name, photo_content(p), collection.cameras[p.camera_id]) for p in collection.photos]
    return content_key(
        "register",
        _REGISTER_VERSION,
        backend.keys(),
        photos,
        sorted(proposed.edges),
        collection.rigs,
        config.register,
        config.refine,
        config.alignment,
        config.retrieval,  # ranks the pairs of later rounds
        config.images.camera_sharing,
        config.mast3r.depth_lifting,
        config.run.seed,
        *([config.aliked.detector, config.aliked.max_keypoints] if backend.stronger else []),
        *([addition.key] if addition else []),
        *([attempt] if attempt else []),
    )
