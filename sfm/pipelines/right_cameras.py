"""Registration, and once more where photos turn out not to have the cameras that they were taken to share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from retrieval import SceneGraph
from sfm.colmap.database import FeatureDatabase
from sfm.loop import LoopResult, Rank, registered_names
from sfm.mapping import ModelEvidence, gain_of
from sfm.stages.register import SessionMapper, match_edges
from sfm.stages.session import PhotoSession
from sfm.stages.split_cameras import (
    OtherCameras,
    continuable,
    other_cameras,
    remember_splits,
    remembered_splits,
    take_cameras,
)
from sfm.stages.stages import matched, registered
from sfm.stages.write_results import write_refined
from sfm.types import Collection

_MAX_REGROUPINGS = 3
"""A model that wrong focal lengths bent shows them only roughly; the next one shows them well."""


def registered_with_right_cameras(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    proposed: SceneGraph,
    graph: SceneGraph,
    rank: Rank,
) -> tuple[LoopResult, Collection]:
    """Models, and the collection with the cameras that they have.

    Finished models are asked: first ones may be bent where a few more pairs straighten them, and in a bent
    model, and on a flat scene, wrong cameras explain single photos better. Models of which few photos get
    other cameras are continued without these, others begun anew. They are asked again where they have more
    photos than those before, or where photos have cameras of their own, which bent models show only roughly.
    The cameras before stand where registration with the others fails, or where its models are less likely
    right.
    """
    loop = registered(session, collection, database, proposed, graph, rank)
    asked: set[str] = set()
    for _ in range(_MAX_REGROUPINGS):
        found = None
        if not registered_names(loop.models) <= asked or _has_splits(collection):
            with session.survived("cameras of their own"):
                found = other_cameras(session, collection, database, loop.models)
        if found is None:
            break
        asked |= registered_names(loop.models)
        before = collection, loop
        again = partial(_registered_again, session, database, proposed, rank, before)
        collection, loop = with_other_cameras(session, database, before, found, again)
        if collection is before[0]:
            break
    return loop, collection


def _registered_again(
    session: PhotoSession,
    database: FeatureDatabase,
    proposed: SceneGraph,
    rank: Rank,
    before: tuple[Collection, LoopResult],
    better: Collection,
) -> LoopResult:
    graph = matched(session, better, proposed, database)
    start = continuable(before[1].models, before[0], better)
    return registered(session, better, database, proposed, graph, rank, start=start)


def _has_splits(collection: Collection) -> bool:
    return any(camera.split_from is not None for camera in collection.cameras.values())


def with_other_cameras(
    session: PhotoSession,
    database: FeatureDatabase,
    before: tuple[Collection, LoopResult],
    found: OtherCameras,
    register: Callable[[Collection], LoopResult],
) -> tuple[Collection, LoopResult]:
    """The collection with the cameras found, and what `register` makes of it.

    As `before` where that fails, or where those models are likelier right, with all pairs matched since.
    """
    (collection, finished), splits = before, remembered_splits(session)
    tried = finished.scene_graph.edges
    with session.survived("registration with other cameras"):
        evidence = SessionMapper(session, collection, database).evidence(finished.models)
        better = take_cameras(session, database, found)
        other = register(better)
        tried = other.scene_graph.edges
        after = SessionMapper(session, better, database).evidence(other.models)
        if not _are_less_likely(session, after, evidence):
            return better, other
    graph = finished.scene_graph.merged(tried)
    remember_splits(session, splits)
    database.sync(collection, session.backend.keys())
    match_edges(session, collection, database, graph.edges)
    verified = SessionMapper(session, collection, database).view_graph()
    stays = replace(finished, scene_graph=graph, view_graph=verified, inconsistent_pairs=None)
    return collection, write_refined(session, stays)


def _are_less_likely(
    session: PhotoSession, after: Sequence[ModelEvidence] | None, before: Sequence[ModelEvidence] | None
) -> bool:
    """Whether models with other cameras are less likely right than those before; False where nobody knows."""
    if after is None or before is None or (gain := gain_of(after, before)) >= 0:
        return False
    why = f"models with other cameras are less likely right than those before (log ratio {gain:.2f})"
    session.workspace.events.emit("register", "step_refused", step="other cameras", why=why)
    return True
