"""Last stage: models, points, figures and the report, from the result of registration."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace

import pycolmap

from sfm.colmap.database import FeatureDatabase
from sfm.colmap.second_matcher import pairs_matched_again
from sfm.diagnosis.quality import STAGE, JudgedModels, Judgement, judged_models
from sfm.diagnosis.unregistered import Diagnosis, EventIndex
from sfm.diagnosis.visual_aliasing import VisualAliasing, read_inconsistent_pairs, visual_aliasing
from sfm.exports.earlier_scene import tell_of_earlier_scene
from sfm.exports.models import (
    holds_final_models,
    largest_first,
    model_indices,
    place_for_earlier,
    read_model,
    write_models,
    write_points_ply,
)
from sfm.exports.source import DepthOptions, SceneOptions, Source
from sfm.files.changes import file_changes
from sfm.georeferencing.georeference import (
    GEOREFERENCE_FILE,
    Georeference,
    GeoreferencingContext,
    GivenFrame,
    georeference,
)
from sfm.georeferencing.georeference import STAGE as GEOREFERENCING
from sfm.ingest import thumbnail_path
from sfm.loop import LoopResult
from sfm.mapping import NO_DOUBT, InconsistencyReport
from sfm.mapping.scene.options import MapperOptions, mapper_options
from sfm.pairs.failed_pairs import Failures
from sfm.pairs.first_pairs import save_scene_graph
from sfm.report import write_report
from sfm.report.record import (
    ModelRecord,
    PairsRecord,
    PhotosRecord,
    RunRecord,
    model_records,
    peak_memory_mb,
    versions,
)
from sfm.report.result import Result
from sfm.report.verdict import message
from sfm.stages.session import Session, one_blas_thread
from sfm.stages.unlikely_photos import without_unlikely
from sfm.types import Collection, PhotoOutcome, PhotoStatus, Skipped
from sfm.workspace.workspace import os_errors_as_workspace_errors

log = logging.getLogger(__name__)

SCENE = "scene"


def write_unrefined(session: Session, models: Sequence[pycolmap.Reconstruction]) -> None:
    """Write models as a registration leaves them, so that no later failure or interrupt loses them.

    The result of an earlier run stays until that of this one takes its place (`write_refined`).

    Raises:
        WorkspaceError: they cannot be written.
    """
    out = session.workspace.root
    if not holds_final_models(out) and (models := _not_empty(models)):
        write_models(models, out, text=False, is_final=False)


def write_refined(session: Session, loop: LoopResult) -> LoopResult:
    """Write models as soon as they are refined.

    Where none came out, those of an earlier run are kept (`place_for_earlier`).

    Returns:
        What registration found, without models in which no photo is left.

    Raises:
        WorkspaceError: they cannot be written.
    """
    out = session.workspace.root
    models = _not_empty(loop.models)
    if len(models) < len(loop.models):
        session.workspace.events.emit("register", "empty_models", count=len(loop.models) - len(models))
    if not models and model_indices(out):
        with os_errors_as_workspace_errors(out):
            session.workspace.sparse.rename(place_for_earlier(out))
    write_models(models, out, text=False)
    return replace(loop, models=models)


def _not_empty(models: Sequence[pycolmap.Reconstruction]) -> tuple[pycolmap.Reconstruction, ...]:
    return tuple(model for model in models if model.num_reg_images())


@one_blas_thread()
def finish(
    session: Session,
    collection: Collection,
    database: FeatureDatabase,
    loop: LoopResult,
    *,
    existing: GivenFrame | None = None,
) -> Result:
    """Write all results, with the outcome of each photo.

    Each step may fail without effect on the others; the record names those that did. Models that contain an
    `existing` one keep its frame.

    Args:
        loop: its models lie in `OUT/sparse` already (`write_refined`).
    """
    space = session.workspace
    loop, places = _georeferenced(session, collection, database, loop, existing)
    inconsistent_pairs, judged = _judged(session, collection, database, loop)
    likely = without_unlikely(loop.models, judged.photos, session.config.register.min_probability)
    loop, places = replace(loop, models=likely.models), tuple(places[i] for i in likely.indices)
    chances = [judged.models[i] for i in likely.indices] if judged.models else []
    _export(session, loop, places)
    alike = VisualAliasing()
    with session.survived("look-alike places"):
        alike = visual_aliasing(inconsistent_pairs, chances)
        for inconsistent in alike.inconsistent_pairs:
            space.events.emit("inconsistent_pairs", "inconsistent_pair", **asdict(inconsistent))
    outcomes, failures = _diagnosed(session, collection, loop, judged, likely.left_out)
    num_photos = len(collection.photos)
    pairs = PairsRecord.of({}, frozenset(), num_photos, failures)
    with session.survived("pairs"):
        pairs = PairsRecord.of(database.pairs(), pairs_matched_again(database), num_photos, failures)
    models: tuple[ModelRecord, ...] = ()
    with session.survived("figures"):
        models = model_records(loop.models, places, chances)
    record = _record(session, collection, loop, models, pairs, outcomes, alike, failures)
    _publish(session, collection, record)
    if len(session.failures) > len(record.failures):
        record = record.told(len(loop.models), session.failures)
        with session.survived("run.json"):
            session.sharing.write_record(record)
    space.require_whole()
    return Result(space.root, loop.models, record)


def _export(session: Session, loop: LoopResult, places: Sequence[Georeference]) -> None:
    """Stages: the models as they are in the end, with colours, and their points; the scene, if wanted."""
    space, config = session.workspace, session.config
    with session.survived_stage("export"):
        with session.survived("colours"):
            if space.images.is_dir():
                for model in loop.models:
                    model.extract_colors_for_all_images(space.images)
        notes = [{GEOREFERENCE_FILE: asdict(place)} for place in places]
        write_models(loop.models, space.root, text=config.export.text, notes=notes)
        write_points_ply(loop.models, space.root / "points.ply")
        save_scene_graph(loop.scene_graph, space.cache)
    if config.export.scene != "never" and loop.models:
        from sfm.exports.scene_files import write_scene  # which brings torch

        with session.survived_stage(SCENE):
            depth = DepthOptions(scene=SceneOptions(config.export.scene))
            largest = largest_first(loop.models)[0]
            source = Source(space.root, largest, 0, depth, session.progress, config, space.events_path)
            write_scene(source, space.scratch)
    else:
        tell_of_earlier_scene(space.root)


def _judged(
    session: Session, collection: Collection, database: FeatureDatabase, loop: LoopResult
) -> tuple[InconsistencyReport, JudgedModels]:
    """Stages: inconsistent pairs, and the quality of each pose."""
    report, judged = loop.inconsistent_pairs or NO_DOUBT, JudgedModels({}, frozenset())
    with session.survived_stage("inconsistent_pairs") as counts:
        if loop.inconsistent_pairs is None:
            report = read_inconsistent_pairs(database.path)
        counts.update(named=len(report.inconsistent_pairs))
    left = report
    with session.survived_stage(STAGE) as counts:
        judged = judged_models(
            database.path,
            loop.models,
            _mapper_options(session, collection).global_ba,
            fixed_cameras=collection.fixed_cameras,
            cropped_cameras=collection.cropped_cameras,
            consistency=report,
            photos=session.photos,
        )
        left = report.without(judged.cleared_pairs) if session.config.register.defers else report
        counts.update(doubtful=sum(bool(photo.doubt) for photo in judged.photos.values()))
        counts.update(cleared=len(report.inconsistent_pairs) - len(left.inconsistent_pairs))
    return left, judged


def _diagnosed(
    session: Session,
    collection: Collection,
    loop: LoopResult,
    judged: JudgedModels,
    left_out: Mapping[str, Diagnosis],
) -> tuple[Sequence[PhotoOutcome], Failures]:
    """The outcome of every file, with the reason if one is known, and the pairs that failed."""
    outcomes, failures = photo_outcomes(collection, loop.models, lambda _: Diagnosis("", "")), Failures()
    with session.survived("diagnosis"):
        config = session.config
        register = config.register.for_photos(len(collection.photos))
        index = EventIndex(session.history, verify=config.verify, register=register)
        failures = Failures.among(session.history.pairs.values())
        outcomes = photo_outcomes(
            collection, loop.models, lambda name: left_out.get(name) or index.diagnose(name)
        )
    return _with_quality(outcomes, judged.photos), failures


def _publish(session: Session, collection: Collection, record: RunRecord) -> None:
    """The record, the events and the report, in the places of those of the last finished run."""
    space = session.workspace
    with session.survived("run.json"):
        session.sharing.write_record(record)
    with session.survived("events"):
        session.sharing.publish_events()
    if not session.config.export.report:
        if (report := space.root / "report.html").exists():
            log.warning("%s is of an earlier run: export.report=true writes it again", report)
        return
    with session.survived("report"):
        thumbnails = {photo.name: thumbnail_path(space.cache, photo) for photo in collection.photos}
        write_report(space.root, thumbnails={n: path for n, path in thumbnails.items() if path.exists()})


def _georeferenced(
    session: Session,
    collection: Collection,
    database: FeatureDatabase,
    loop: LoopResult,
    existing: GivenFrame | None,
) -> tuple[LoopResult, tuple[Georeference, ...]]:
    """Stage: the models in the frame of their positions, with the accuracy of that frame."""
    config = session.config
    placed: list[tuple[tuple[pycolmap.Reconstruction, ...], tuple[Georeference, ...]]] = []
    with session.survived_stage(GEOREFERENCING) as counts:
        context = GeoreferencingContext(
            database.path,
            config.georeference,
            _mapper_options(session, collection),
            collection.fixed_cameras,
            {photo.name: photo.orientation for photo in collection.photos},
            config.run.seed,
            existing,
            collection.rigs,
            frozenset(session.history.metric_models),
            config.refine.loss_function,
        )
        placed.append(georeference(loop.models, context, session.workspace.events))
        counts.update(georeferenced=sum(place.is_placed for place in placed[0][1]))
    if not placed:  # but some of them may have been moved
        grown = tuple(read_model(session.workspace.root, index) for index in range(len(loop.models)))
        return replace(loop, models=grown), tuple(Georeference("model", "this step failed") for _ in grown)
    models, places = placed[0]
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


def _with_quality(outcomes: Sequence[PhotoOutcome], judged: Mapping[str, Judgement]) -> list[PhotoOutcome]:
    """The outcomes, those of registered photos with their quality."""
    return [
        replace(outcome, quality=found.quality, doubt=found.doubt)
        if (found := judged.get(outcome.name)) and outcome.status is PhotoStatus.REGISTERED
        else outcome
        for outcome in outcomes
    ]


def _record(
    session: Session,
    collection: Collection,
    loop: LoopResult,
    models: tuple[ModelRecord, ...],
    pairs: PairsRecord,
    outcomes: Sequence[PhotoOutcome],
    alike: VisualAliasing,
    failures: Failures,
) -> RunRecord:
    registered = sum(outcome.status is PhotoStatus.REGISTERED for outcome in outcomes)
    num_files = len(collection.photos) + len(collection.skipped)
    record = RunRecord(
        message=message(loop, len(collection.photos), registered, failures, session.history.stopped),
        backend=session.backend_name,
        notice=session.notice,
        config=session.config,
        photos=PhotosRecord(num_files, len(collection.photos), registered, collection.skipped),
        models=models,
        pairs=pairs,
        stages=tuple(session.stages),
        rounds=loop.rounds,
        outcomes=tuple(outcomes),
        changed=tuple(
            Skipped(name, what) for name, what in file_changes(collection.photos, session.files).items()
        )
        if session.files
        else (),
        inconsistent_pairs=alike.inconsistent_pairs,
        ambiguous=alike.ambiguous,
        aliasing_note=alike.note,
        stopped=tuple(session.history.stopped),
        seconds=round(time.monotonic() - session.started, 3),
        peak_memory_mb=peak_memory_mb(),
        versions=versions(),
    )
    return record.told(len(loop.models), session.failures)


def photo_outcomes(
    collection: Collection,
    models: Sequence[pycolmap.Reconstruction],
    diagnose: Callable[[str], Diagnosis],
) -> list[PhotoOutcome]:
    """The outcome of every file, in the order of names."""
    registered = dict(_registered(models))
    outcomes = [_outcome(name, registered, diagnose) for name in collection.names]
    skipped = [PhotoOutcome(s.name, PhotoStatus.SKIPPED, reason=s.reason) for s in collection.skipped]
    return sorted(outcomes + skipped, key=lambda outcome: outcome.name)


def _registered(models: Sequence[pycolmap.Reconstruction]) -> Iterable[tuple[str, tuple[int, int]]]:
    # From the smallest model to the largest, so that the largest wins where a photo is in several.
    for number in reversed(range(len(models))):
        for image_id in models[number].reg_image_ids():
            image = models[number].image(image_id)
            yield image.name, (number, image.num_points3D)


def _outcome(
    name: str, registered: Mapping[str, tuple[int, int]], diagnose: Callable[[str], Diagnosis]
) -> PhotoOutcome:
    if name in registered:
        model, observations = registered[name]
        return PhotoOutcome(name, PhotoStatus.REGISTERED, model, observations)
    reason, advice = diagnose(name)
    return PhotoOutcome(name, PhotoStatus.NOT_REGISTERED, reason=reason, advice=advice)
