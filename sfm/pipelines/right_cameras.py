"""Registration, and once more where photos turn out not to have the cameras that they were taken to share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from retrieval import SceneGraph
from sfm.colmap.database import FeatureDatabase
from sfm.loop import LoopResult, Rank, registered_names
from sfm.mapping import ModelEvidence, gain_of
from sfm.stages.register import SessionMapper, match_edges
from sfm.stages.session import PhotoSession
from sfm.stages.split_cameras import (
    Entry,
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
        splits, before, finished = remembered_splits(session), collection, loop
        is_better = False
        with session.survived("registration with other cameras"):
            evidence = SessionMapper(session, before, database).evidence(finished.models)
            collection = take_cameras(session, database, found)
            graph = matched(session, collection, proposed, database)
            start = continuable(loop.models, before, collection)
            loop = registered(session, collection, database, proposed, graph, rank, start=start)
            after = SessionMapper(session, collection, database).evidence(loop.models)
            is_better = not are_less_likely(session, after, evidence)
        if not is_better:
            tried = replace(finished, scene_graph=finished.scene_graph.merged(loop.scene_graph.edges))
            return put_back(session, database, before, splits, tried), before
    return loop, collection


def _has_splits(collection: Collection) -> bool:
    return any(camera.split_from is not None for camera in collection.cameras.values())


def are_less_likely(
    session: PhotoSession, after: Sequence[ModelEvidence] | None, before: Sequence[ModelEvidence] | None
) -> bool:
    """Whether models with other cameras are less likely right than those before; False where nobody knows."""
    if after is None or before is None or (gain := gain_of(after, before)) >= 0:
        return False
    why = f"models with other cameras are less likely right than those before (log ratio {gain:.2f})"
    session.workspace.events.emit("register", "step_refused", step="other cameras", why=why)
    return True


def put_back(
    session: PhotoSession,
    database: FeatureDatabase,
    collection: Collection,
    splits: Mapping[str, Entry],
    finished: LoopResult,
) -> LoopResult:
    """Models that were finished before other cameras were tried, with these and their files.

    Pairs that were matched since stay, with the cameras before.
    """
    remember_splits(session, splits)
    database.sync(collection, session.backend.keys())
    match_edges(session, collection, database, finished.scene_graph.edges)
    verified = SessionMapper(session, collection, database).view_graph()
    return write_refined(session, replace(finished, view_graph=verified, inconsistent_pairs=None))
