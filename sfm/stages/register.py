"""Registration by all that a run knows: options, depth, models that were given, rigs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pycolmap

from retrieval import Pair
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.rigs import derive_rigs
from sfm.diagnosis.visual_aliasing import deferred_pairs
from sfm.loop import LoopResult, registered_names
from sfm.mapping import ExistingModels, MappingResult, finish_models, reconstruct
from sfm.types import Collection
from sfm.workspace.events import EventSink

if TYPE_CHECKING:
    from sfm.stages.session import PhotoSession


def reconstructed(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    start: Sequence[pycolmap.Reconstruction],
    deferred: frozenset[Pair],
    events: EventSink,
    *,
    existing: ExistingModels | None = None,
    finished: bool = True,
    fresh: bool = True,
) -> MappingResult:
    """Models from the verified pairs, by all that a run knows; see `sfm.mapping.reconstruct`."""
    config = session.backend.adapted(session.config, collection)
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
        deferred=deferred,
        finished=finished,
        fresh=fresh,
        existing=existing,
        scratch=session.workspace.scratch,
    )


def finished(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    models: Sequence[pycolmap.Reconstruction],
    deferred: frozenset[Pair],
    events: EventSink,
    *,
    existing: ExistingModels | None = None,
) -> Sequence[pycolmap.Reconstruction]:
    """Models after what comes last; see `sfm.mapping.finish_models`."""
    config = session.backend.adapted(session.config, collection)
    return finish_models(
        database.path,
        models,
        config=config.register,
        refine=config.refine,
        fixed_cameras=collection.fixed_cameras,
        threads=session.threads,
        seed=config.run.seed,
        events=events,
        focal_guesses=session.backend.focal_guesses(collection),
        depth=session.backend.depth(collection),
        deferred=deferred,
        existing=existing,
    )


def with_derived_rigs(
    session: PhotoSession, collection: Collection, database: FeatureDatabase, loop: LoopResult
) -> LoopResult:
    """Models in which rigs move as one, once photos on their own have told the poses of their cameras."""
    if not loop.models or all(rig.has_poses for rig in collection.rigs):
        return loop
    largest, events = copy.deepcopy(loop.models[0]), session.workspace.events
    rigs = derive_rigs(database.path, collection.rigs, largest)
    if rigs is None:
        events.emit("register", "rigs", derived=False)
        return loop
    for sensor in (sensor for rig in rigs for sensor in rig.sensors):
        events.emit("register", "rig_sensor", **asdict(sensor))
    deferred = deferred_pairs(database.path)
    result = reconstructed(session, collection, database, (largest,), deferred, events)
    held, before = registered_names(result.models), registered_names(loop.models)
    if len(held) < len(before):  # cameras that are not fixed to each other
        events.emit("register", "rigs", derived=True, kept=False, lost=sorted(before - held))
        return loop
    return replace(loop, models=result.models)
