"""Last stage: models, points, figures and the report, from what registration found."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import pycolmap

from sfm.database import FeatureDatabase
from sfm.diagnosis import EventIndex
from sfm.events import read_events
from sfm.exports.models import write_models, write_points_ply
from sfm.ingest import thumbnail_path
from sfm.look_alikes import LookAlikes, look_alikes
from sfm.loop import LoopResult
from sfm.pair_proposal import save_scene_graph
from sfm.record import PairsRecord, PhotosRecord, RunRecord, model_records, peak_memory_mb, versions
from sfm.report import write_report
from sfm.result import Result
from sfm.types import Collection, PhotoOutcome, PhotoStatus
from sfm.workspace import atomic_write_json

if TYPE_CHECKING:
    from sfm.pipeline import Session


def finish(session: Session, collection: Collection, database: FeatureDatabase, loop: LoopResult) -> Result:
    """Write everything that the user gets, and say what became of each photo.

    An earlier run's models, points and report are replaced only by complete new ones.
    """
    space, config = session.workspace, session.config
    with session.stage("export"):
        if space.images.is_dir():
            for model in loop.models:
                model.extract_colors_for_all_images(space.images)
        write_models(loop.models, space.root, text=config.export.text)
        if config.export.points_ply:
            write_points_ply(loop.models, space.root / "points.ply")
        save_scene_graph(loop.scene_graph, space.cache)
    with session.stage("suspects") as counts:
        alike = look_alikes(database.path)
        counts.update(named=len(alike.suspects))
    for suspect in alike.suspects:
        space.events.emit("suspects", "suspect", **asdict(suspect))
    index = EventIndex(read_events(space.events_path), verify=config.verify, register=config.register)
    outcomes = photo_outcomes(collection, loop.models, index)
    record = _record(session, collection, database, loop, outcomes, alike)
    atomic_write_json(space.run_json, record)
    space.publish_events()
    if config.export.report:
        thumbnails = {photo.name: thumbnail_path(space.cache, photo) for photo in collection.photos}
        write_report(space.root, thumbnails={n: path for n, path in thumbnails.items() if path.exists()})
    return Result(space.root, loop.models, record)


def _record(
    session: Session,
    collection: Collection,
    database: FeatureDatabase,
    loop: LoopResult,
    outcomes: Sequence[PhotoOutcome],
    alike: LookAlikes,
) -> RunRecord:
    pairs = database.pairs()
    registered = sum(outcome.status is PhotoStatus.REGISTERED for outcome in outcomes)
    num_files = len(collection.photos) + len(collection.skipped)
    return RunRecord(
        status="ok" if loop.models else "no_model",
        message=verdict(loop, len(collection.photos), registered),
        backend=session.backend_name,
        notice=session.notice,
        config=session.config,
        photos=PhotosRecord(num_files, len(collection.photos), registered, collection.skipped),
        models=model_records(loop.models),
        pairs=PairsRecord.of(len(pairs), sum(r.verified for r in pairs.values()), len(collection.photos)),
        stages=tuple(session.stages),
        rounds=loop.rounds,
        outcomes=tuple(outcomes),
        suspects=alike.suspects,
        ambiguous=alike.ambiguous,
        look_alikes_note=alike.note,
        seconds=round(time.monotonic() - session.started, 3),
        peak_memory_mb=peak_memory_mb(),
        versions=versions(),
    )


def verdict(loop: LoopResult, num_photos: int, registered: int) -> str:
    """One or two plain sentences on how the run went and, where it failed, at what."""
    if loop.models:
        parts = f" in {len(loop.models)} separate models" if len(loop.models) > 1 else ""
        return f"{registered} of {num_photos} photos registered{parts}."
    best = max((edge.num_inliers for edge in loop.view_graph.edges.values()), default=0)
    if not best:
        return (
            "No model: no two photos share enough matching keypoints. "
            "Take photos with more overlap (60 % or more between neighbours) and more texture in view."
        )
    return (
        f"No model: {len(loop.view_graph.edges)} pairs match (the best with {best} inliers), but from none "
        "of them could a model of three photos be grown. Take photos between the existing ones, moving "
        "sideways a step at a time, so that every part of the scene is in at least three photos."
    )


def photo_outcomes(
    collection: Collection, models: Sequence[pycolmap.Reconstruction], index: EventIndex
) -> list[PhotoOutcome]:
    """What became of every file, in the order of names."""
    registered = dict(_registered(models))
    outcomes = [_outcome(name, registered, index) for name in collection.names]
    skipped = [PhotoOutcome(s.name, PhotoStatus.SKIPPED, reason=s.reason) for s in collection.skipped]
    return sorted(outcomes + skipped, key=lambda outcome: outcome.name)


def _registered(models: Sequence[pycolmap.Reconstruction]) -> Iterable[tuple[str, tuple[int, int]]]:
    # From the smallest model to the largest, so that the largest wins where a photo is in several.
    for number in reversed(range(len(models))):
        for image_id in models[number].reg_image_ids():
            image = models[number].image(image_id)
            yield image.name, (number, image.num_points3D)


def _outcome(name: str, registered: Mapping[str, tuple[int, int]], index: EventIndex) -> PhotoOutcome:
    if name in registered:
        model, observations = registered[name]
        return PhotoOutcome(name, PhotoStatus.REGISTERED, model, observations)
    reason, advice = index.diagnose(name)
    return PhotoOutcome(name, PhotoStatus.NOT_REGISTERED, reason=reason, advice=advice)
