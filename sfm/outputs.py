"""Last stage: models, points, figures and the report, from what registration found."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pycolmap

from sfm.config.schema import Config
from sfm.database import FeatureDatabase
from sfm.diagnosis import EventIndex
from sfm.events import read_events
from sfm.exports.models import write_models, write_points_ply
from sfm.failed_pairs import Failures
from sfm.georeferencing import (
    GEOREFERENCE_FILE,
    Georeference,
    GivenFrame,
    Surveying,
    georeference,
)
from sfm.georeferencing import STAGE as GEOREFERENCING
from sfm.ingest import thumbnail_path
from sfm.look_alikes import LookAlikes, look_alikes, read_suspects
from sfm.loop import LoopResult
from sfm.mapping.options import MapperOptions, mapper_options
from sfm.pair_proposal import save_scene_graph
from sfm.quality import STAGE, Judgement, judged_models
from sfm.record import PairsRecord, PhotosRecord, RunRecord, model_records, peak_memory_mb, versions
from sfm.report import write_report
from sfm.result import Result
from sfm.types import Collection, PhotoOutcome, PhotoStatus
from sfm.workspace import atomic_write_json

if TYPE_CHECKING:
    from sfm.pipeline import Session


def finish(
    session: Session,
    collection: Collection,
    database: FeatureDatabase,
    loop: LoopResult,
    *,
    given: GivenFrame | None = None,
) -> Result:
    """Write everything that the user gets, and say what became of each photo.

    An earlier run's models, points and report are replaced only by complete new ones. Models that grew
    from a `given` one are not moved.
    """
    space, config = session.workspace, session.config
    loop, places = _georeferenced(session, collection, database, loop, given)
    with session.stage("export"):
        if space.images.is_dir():
            for model in loop.models:
                model.extract_colors_for_all_images(space.images)
        notes = [{GEOREFERENCE_FILE: asdict(place)} for place in places]
        write_models(loop.models, space.root, text=config.export.text, notes=notes)
        if config.export.points_ply:
            write_points_ply(loop.models, space.root / "points.ply")
        save_scene_graph(loop.scene_graph, space.cache)
    with session.stage("suspects") as counts:
        report = loop.suspects or read_suspects(database.path, frozenset())
        counts.update(named=len(report.suspects) if report else 0)
    with session.stage(STAGE) as counts:
        judged = judged_models(
            database.path,
            loop.models,
            _mapper_options(session, collection).global_ba,
            fixed_cameras=collection.fixed_cameras,
            doubtful=report.doubtful if report else frozenset(),
        )
        left = report.without(judged.vindicated) if report and _suspects_waited(config) else report
        counts.update(in_doubt=sum(bool(photo.doubt) for photo in judged.photos.values()))
        counts.update(vindicated=len(report.suspects) - len(left.suspects) if report and left else 0)
    alike = look_alikes(left)
    for suspect in alike.suspects:
        space.events.emit("suspects", "suspect", **asdict(suspect))
    index = EventIndex(read_events(space.events_path), verify=config.verify, register=config.register)
    outcomes = _with_quality(photo_outcomes(collection, loop.models, index), judged.photos)
    failures = Failures.among(index.history.pairs.values())
    record = _record(session, collection, database, loop, places, outcomes, alike, failures)
    atomic_write_json(space.run_json, record)
    space.publish_events()
    if config.export.report:
        thumbnails = {photo.name: thumbnail_path(space.cache, photo) for photo in collection.photos}
        write_report(space.root, thumbnails={n: path for n, path in thumbnails.items() if path.exists()})
    return Result(space.root, loop.models, record)


def _georeferenced(
    session: Session,
    collection: Collection,
    database: FeatureDatabase,
    loop: LoopResult,
    given: GivenFrame | None,
) -> tuple[LoopResult, tuple[Georeference, ...]]:
    """Stage: the models where their positions say that they stand, and what that rests on."""
    config = session.config
    tools = Surveying(
        database.path,
        config.georeference,
        _mapper_options(session, collection),
        collection.fixed_cameras,
        {photo.name: photo.orientation for photo in collection.photos},
        config.run.seed,
        given,
        collection.rigs,
        _metric_by_depth(session),
        config.refine.loss_function,
    )
    with session.stage(GEOREFERENCING) as counts:
        models, places = georeference(loop.models, tools, session.workspace.events)
        counts.update(georeferenced=sum(place.is_placed for place in places))
    return replace(loop, models=models), places


def _mapper_options(session: Session, collection: Collection) -> MapperOptions:
    """Options of adjustments of whole models."""
    config = session.config
    return mapper_options(
        config.register,
        config.refine,
        fixed_cameras=collection.fixed_cameras,
        threads=session.threads,
        seed=config.run.seed,
    )


def _metric_by_depth(session: Session) -> frozenset[int]:
    """Models that registration scaled to metres by the depth of their photos."""
    events = read_events(session.workspace.events_path)
    return frozenset(
        model
        for event in events
        if event.get("event") == "metric_scale" and isinstance(model := event.get("model"), int)
    )


def _suspects_waited(config: Config) -> bool:
    """Whether models were made without suspects, so that these can be judged by them."""
    return config.register.mapper == "graph" and config.register.suspects == "hold_back"


def _with_quality(outcomes: Sequence[PhotoOutcome], judged: Mapping[str, Judgement]) -> list[PhotoOutcome]:
    """The outcomes, those of registered photos with their quality."""
    return [
        replace(outcome, quality=found.quality, doubt=found.doubt)
        if (found := judged.get(outcome.name))
        else outcome
        for outcome in outcomes
    ]


def _record(
    session: Session,
    collection: Collection,
    database: FeatureDatabase,
    loop: LoopResult,
    places: Sequence[Georeference],
    outcomes: Sequence[PhotoOutcome],
    alike: LookAlikes,
    failures: Failures,
) -> RunRecord:
    pairs = database.pairs()
    registered = sum(outcome.status is PhotoStatus.REGISTERED for outcome in outcomes)
    num_files = len(collection.photos) + len(collection.skipped)
    return RunRecord(
        status="ok" if loop.models else "no_model",
        message=verdict(loop, len(collection.photos), registered, failures),
        backend=session.backend_name,
        notice=session.notice,
        config=session.config,
        photos=PhotosRecord(num_files, len(collection.photos), registered, collection.skipped),
        models=model_records(loop.models, places),
        pairs=PairsRecord.of(
            len(pairs), sum(r.verified for r in pairs.values()), len(collection.photos), failures
        ),
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


_FEWEST = 3
_NO_PARALLAX = ("planar", "panoramic", "planar_or_panoramic")


def verdict(loop: LoopResult, num_photos: int, registered: int, failures: Failures) -> str:
    """A few plain sentences on how the run went and, where it failed, at what."""
    if not loop.models and 2 * failures.count > len(loop.scene_graph):
        # What photographers can do is no help against a run that came to nothing by itself.
        return f"No model: {failures.words}"
    return f"{_verdict_on_photos(loop, num_photos, registered)} {failures.words}".rstrip()


def _verdict_on_photos(loop: LoopResult, num_photos: int, registered: int) -> str:
    if loop.models:
        parts = f" in {len(loop.models)} separate models" if len(loop.models) > 1 else ""
        return f"{registered} of {num_photos} photos registered{parts}."
    best = max((edge.num_inliers for edge in loop.view_graph.edges.values()), default=0)
    if not best:
        return (
            "No model: no two photos share enough matching keypoints. "
            "Take photos with more overlap (60 % or more between neighbours) and more texture in view."
        )
    if num_photos < _FEWEST:
        return f"No model: {num_photos} photos are too few; {_FEWEST} that show the same things are needed."
    count = len(loop.view_graph.edges)
    flat = sum(edge.config in _NO_PARALLAX for edge in loop.view_graph.edges.values())
    if 2 * flat > count:
        return (
            f"No model: {flat} of {count} matching pairs fit a camera that only turned, or a plane: these "
            "photos show too little depth. "
            "Take photos from different places, moving sideways a step at a time."
        )
    return (
        f"No model: {count} pairs match (the best with {best} inliers), but from none "
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
