"""The registrar: from verified pairs to models, one per component where the photos allow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path

import pycolmap

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.events import EventSink
from sfm.progress import Progress, Task

from .depth import DepthSource
from .depth_model import has_parallax
from .focal import estimate_focal_lengths
from .intrinsics import free_principal_points
from .journal import STAGE, Journal
from .merge import merge_models
from .metric_scale import metric_scale, scale_to_metres
from .options import MapperOptions, mapper_options, pipeline_options
from .peers import Peer, run_peer
from .session import Scene
from .trials import MAX_CONTRADICTED, Trial, Workbench, best_model, continued, rebuilt
from .view_graph import ViewGraph

_MIN_TRACK_LENGTH = 2.5  # tracks of two photos, one redundant measurement each, pass for evidence too easily
_MAX_RENEWED = 100  # photos of a component that later rounds may try to map afresh


@dataclass(frozen=True, slots=True)
class MappingResult:
    """Models, largest first, and the view graph that they were built from."""

    models: tuple[pycolmap.Reconstruction, ...]
    view_graph: ViewGraph


def reconstruct_graph(
    database: Path,
    *,
    config: RegisterConfig,
    refine: RefineConfig,
    fixed_cameras: frozenset[int],
    threads: int,
    seed: int,
    events: EventSink,
    progress: Progress,
    start: Sequence[pycolmap.Reconstruction],
    focal_guesses: Mapping[int, float],
    depth: DepthSource | None,
) -> MappingResult:
    """Our own loop: models from several seeds per component of the view graph; see `sfm.mapping`."""
    scene = Scene.open(database, depth)
    focal_lengths = {**_unknown_only(scene, focal_guesses), **estimate_focal_lengths(database, seed=seed)}
    for camera_id, focal_px in focal_lengths.items():
        if camera_id in scene.cache.cameras and camera_id not in fixed_cameras:
            _set_focal_length(scene.cache.camera(camera_id), focal_px)
            events.emit(STAGE, "focal_length", camera_id=camera_id, focal_px=round(focal_px, 1))
    options = mapper_options(config, refine, fixed_cameras=fixed_cameras, threads=threads, seed=seed)
    discarded = Journal()
    with progress.task("register", len(scene.name_of), unit="photos") as task:
        bench = Workbench(scene, options, _CountOnce(task))
        trials = _continued_models(bench, start)
        trials += _new_models(bench, config, trials, discarded)
        trials = _merged_models(bench, trials, discarded)
        if start:
            trials = _renewed_models(bench, trials, discarded)
    kept = _kept(trials, config, discarded)
    for trial in kept:
        if refine.principal_point != "never" and _has_evidence(scene, trial):
            _free_principal_points(
                trial, options, fixed_cameras, evidence=refine.principal_point == "evidence"
            )
        _scale_to_metres(scene, trial)
    for event, fields in discarded.entries:
        events.emit(STAGE, event, **fields)
    for index, trial in enumerate(kept):
        _note_model(trial.journal, trial.reconstruction)
        trial.journal.publish(events, index)
    return MappingResult(tuple(trial.reconstruction for trial in kept), scene.view_graph)


def reconstruct_with_peer(
    database: Path,
    *,
    mapper: Peer,
    config: RegisterConfig,
    refine: RefineConfig,
    fixed_cameras: frozenset[int],
    threads: int,
    seed: int,
    events: EventSink,
) -> MappingResult:
    """COLMAP's own `mapper`, on the same database and with the same result."""
    options = pipeline_options(config, refine, fixed_cameras=fixed_cameras, threads=threads, seed=seed)
    options.ba_refine_principal_point = refine.principal_point == "always"
    models = run_peer(mapper, database, options)
    for index, model in enumerate(models):
        journal = Journal()
        for image_id in sorted(model.reg_image_ids()):
            name, num = model.image(image_id).name, model.image(image_id).num_points3D
            journal.note("registered", name=name, how=mapper, num_visible=num, num_inliers=num)
        _note_model(journal, model)
        journal.publish(events, index)
    return MappingResult(models, ViewGraph.read(database))


def _unknown_only(scene: Scene, focal_guesses: Mapping[int, float]) -> dict[int, float]:
    """Guesses for cameras whose focal length nobody gave."""
    cameras = scene.cache.cameras
    return {
        camera_id: focal_px
        for camera_id, focal_px in focal_guesses.items()
        if camera_id in cameras and not cameras[camera_id].has_prior_focal_length
    }


def _set_focal_length(camera: pycolmap.Camera, focal_px: float) -> None:
    params = list(camera.params)
    for index in camera.focal_length_idxs():
        params[index] = focal_px
    camera.params = params


class _CountOnce:
    """Counts each photo the first time that any trial registers it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._seen: set[str] = set()

    def __call__(self, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            self._task.advance()


def _continued_models(bench: Workbench, start: Sequence[pycolmap.Reconstruction]) -> list[Trial]:
    """The models of an earlier round, each grown by photos that no other one holds, largest first."""
    everyone = frozenset(bench.scene.id_of)
    taken = frozenset(image.name for model in start for image in _registered(model))
    trials: list[Trial] = []
    min_angle = bench.options.mapper.filter_min_tri_angle
    for model in sorted(start, key=lambda model: -model.num_reg_images()):
        if bench.scene.depth is None or has_parallax(model, min_angle):
            trial = continued(bench, model, everyone - taken)
        else:
            near = bench.scene.view_graph.component(min(image.name for image in _registered(model)))
            trial = rebuilt(bench, model, near - taken)
        taken |= trial.names
        trials.append(trial)
    return trials


def _registered(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    return [model.image(image_id) for image_id in model.reg_image_ids()]


def _new_models(
    bench: Workbench, config: RegisterConfig, models: Sequence[Trial], discarded: Journal
) -> list[Trial]:
    """Models of the photos that `models` leave over, component by component."""
    trials: list[Trial] = []
    taken = frozenset().union(*(trial.names for trial in models))
    for component in bench.scene.view_graph.components():
        while len(left := component - taken) >= config.min_model_size and len(trials) < config.max_models:
            trial = best_model(bench, left, discarded)
            if trial is None or len(trial.names) < config.min_model_size:
                break
            trials.append(trial)
            taken |= trial.names
    return trials


def _merged_models(bench: Workbench, trials: Sequence[Trial], discarded: Journal) -> list[Trial]:
    """The models, with those joined that fit together; models from depth alone stay as they are."""
    lifted = [trial for trial in trials if trial.from_depth]
    return merge_models(bench, [trial for trial in trials if not trial.from_depth], discarded) + lifted


def _renewed_models(bench: Workbench, models: Sequence[Trial], discarded: Journal) -> list[Trial]:
    """The models, unless a fresh start joins what they, grown from fewer pairs, hold apart or leave out."""
    renewed = list(models)
    for component in bench.scene.view_graph.components():
        old = [trial for trial in renewed if trial.names & component]
        held = frozenset().union(*(trial.names for trial in old))
        sound = all(trial.contradicted <= MAX_CONTRADICTED for trial in old)
        complete = len(old) == 1 and held >= component and sound
        if complete or not old or len(component) > _MAX_RENEWED:
            continue
        fresh = best_model(bench, component, discarded, max_trials=1)
        if fresh and fresh.names >= held and _is_better(fresh, old, held, sound=sound):
            renewed = [trial for trial in renewed if trial not in old] + [fresh]
    return renewed


def _is_better(fresh: Trial, old: Sequence[Trial], held: Set[str], *, sound: bool) -> bool:
    """Whether a new model of all photos that some models hold is worth more than they."""
    if not sound and len(old) == 1:
        return fresh.quality > old[0].quality
    return (len(fresh.names), -1) > (len(held), -len(old))


def _kept(trials: Sequence[Trial], config: RegisterConfig, discarded: Journal) -> list[Trial]:
    """Models that are large enough, largest first, ties by their first photo."""
    kept = [trial for trial in trials if len(trial.names) >= config.min_model_size]
    for trial in trials:
        if trial not in kept:
            why = f"fewer than {config.min_model_size} photos"
            discarded.note("dropped_model", names=sorted(trial.names), why=why)
    return sorted(kept, key=lambda trial: (-len(trial.names), min(trial.names)))


def _has_evidence(scene: Scene, trial: Trial) -> bool:
    """Whether the observations of a model could tell of principal points."""
    if scene.depth is None:
        return True
    return not trial.from_depth and trial.reconstruction.compute_mean_track_length() >= _MIN_TRACK_LENGTH


def _scale_to_metres(scene: Scene, trial: Trial) -> None:
    if found := metric_scale(scene, trial.reconstruction):
        scale_to_metres(trial.reconstruction, found)
        trial.journal.note(
            "metric_scale",
            source="mast3r",
            scale=round(found.scale, 6),
            spread=round(found.spread, 4),
            num_images=found.num_images,
        )


def _free_principal_points(
    trial: Trial, options: MapperOptions, fixed_cameras: frozenset[int], *, evidence: bool
) -> None:
    trial.reconstruction, found = free_principal_points(
        trial.reconstruction, options.global_ba, fixed_cameras=fixed_cameras, only_with_evidence=evidence
    )
    for point in found:
        trial.journal.note("principal_point", **asdict(point))


def _note_model(journal: Journal, model: pycolmap.Reconstruction) -> None:
    journal.note(
        "model",
        num_images=model.num_reg_images(),
        num_points=model.num_points3D(),
        mean_reprojection_error_px=round(model.compute_mean_reprojection_error(), 4),
        mean_track_length=round(model.compute_mean_track_length(), 3),
    )
