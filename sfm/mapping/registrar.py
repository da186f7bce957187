"""The registrar: from verified pairs to models, one per component where the photos allow it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pycolmap

from retrieval import Pair
from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.workspace.events import EventSink
from sfm.workspace.progress import Progress, Task

from .cameras.focal import estimate_focal_lengths
from .cameras.focal_priors import starting_values
from .clusters.clustered import clustered_models
from .depth.depth_model import has_parallax
from .edits.admit_pairs import admit_pairs
from .edits.bridge import bridge_gaps
from .edits.judge import Judge, apply_step
from .edits.merge import merge_models
from .edits.rejoin import rejoin_parts
from .edits.relocate import relocate_parts
from .edits.split import split_at_articulations
from .growing.components import new_models
from .growing.global_sfm import global_models
from .growing.submodels import (
    MAX_CONTRADICTED,
    MappingContext,
    Submodel,
    best_model,
    continued,
    judged,
    rebuilt,
)
from .measures.pure_rotation import why_pure_rotation
from .measures.soundness import why_undetermined
from .refinement.final_refinement import finish, note_model
from .scene.colmap_mappers import Peer, run_peer
from .scene.depth_source import DepthSource
from .scene.existing_models import ExistingModels, grafted, known_part
from .scene.journal import STAGE, Journal
from .scene.options import mapper_options, pipeline_options, with_frozen_poses
from .scene.scene import Scene
from .scene.view_graph import ViewGraph

_MAX_RENEWED = 100  # photos of a component that is mapped afresh whenever it is not complete
_MIN_RENEWED = 3
_MOST = 0.9  # of a larger component: fewer photos, and it is mapped afresh


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
    deferred: frozenset[Pair],
    finished: bool,
    fresh: bool = True,
    existing: ExistingModels | None = None,
    scratch: Path | None = None,
) -> MappingResult:
    """Our own loop: models from several seeds per component of the view graph; see `sfm.mapping`."""
    whole = Scene.open(database, depth)
    guesses = _unknown_only(whole, focal_guesses)
    focal_lengths = starting_values(whole, guesses, estimate_focal_lengths(database, seed=seed))
    _set_focal_lengths(whole, focal_lengths, fixed_cameras, events)
    frozen = existing if existing is not None and existing.frozen else None
    if frozen:
        fixed_cameras |= frozen.cameras
    options = mapper_options(
        config,
        refine,
        fixed_cameras=fixed_cameras,
        guessed_cameras=guesses.keys(),
        threads=threads,
        seed=seed,
    )
    if frozen:
        options = with_frozen_poses(options)
    discarded = Journal()
    known = [model for model in start if _has_pairs(whole, model)]
    strange = [model for model in start if not _has_pairs(whole, model)]
    with progress.task("register", len(whole.name_of), unit="photos") as task:
        context = MappingContext(whole, options, _CountOnce(task))
        submodels = _grown_models(
            context, config, known, existing, deferred, discarded, fresh=fresh, scratch=scratch
        )
    kept = _kept(whole, [*submodels, *map(Submodel.of, strange)], config, existing, discarded)
    for event, fields in discarded.entries:
        events.emit(STAGE, event, **fields)
    for index, submodel in enumerate(kept):
        if frozen and (base := frozen.base_of(submodel.reconstruction)):
            submodel.reconstruction = grafted(base, submodel.reconstruction, options)
        elif finished and _has_pairs(whole, submodel.reconstruction):
            submodel = finish(
                whole, submodel, options, refine, deferred=deferred, fixed_cameras=fixed_cameras
            )
            kept[index] = submodel
        note_model(submodel.journal, submodel.reconstruction)
        submodel.journal.publish(events, index)
    return MappingResult(tuple(submodel.reconstruction for submodel in kept), whole.view_graph)


def finish_graph_models(
    database: Path,
    models: Sequence[pycolmap.Reconstruction],
    *,
    config: RegisterConfig,
    refine: RefineConfig,
    fixed_cameras: frozenset[int],
    threads: int,
    seed: int,
    events: EventSink,
    focal_guesses: Mapping[int, float],
    depth: DepthSource | None,
    deferred: frozenset[Pair],
    existing: ExistingModels | None = None,
) -> tuple[pycolmap.Reconstruction, ...]:
    """Models of our own loop, adjusted for the last time unless frozen; those passed are left unchanged."""
    whole = Scene.open(database, depth)
    options = mapper_options(
        config,
        refine,
        fixed_cameras=fixed_cameras,
        guessed_cameras=_unknown_only(whole, focal_guesses).keys(),
        threads=threads,
        seed=seed,
    )
    done = []
    for index, model in enumerate(models):
        is_frozen = existing is not None and existing.frozen and existing.base_of(model)
        if is_frozen or not _has_pairs(whole, model):
            done.append(copy.deepcopy(model))
            continue
        submodel = finish(
            whole, Submodel.of(model), options, refine, deferred=deferred, fixed_cameras=fixed_cameras
        )
        done.append(copy.deepcopy(model) if submodel.reconstruction is model else submodel.reconstruction)
        note_model(submodel.journal, done[-1])
        submodel.journal.publish(events, index)
    return tuple(done)


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
    models = run_peer(mapper, database, options, config.colmap)
    for index, model in enumerate(models):
        journal = Journal()
        for image_id in sorted(model.reg_image_ids()):
            name, num = model.image(image_id).name, model.image(image_id).num_points3D
            journal.note("registered", name=name, how=mapper, num_visible=num, num_inliers=num)
        note_model(journal, model)
        journal.publish(events, index)
    return MappingResult(models, ViewGraph.read(database))


def _has_pairs(scene: Scene, model: pycolmap.Reconstruction) -> bool:
    """Whether verified pairs join any of its photos; without one no mapper can do anything for a model."""
    return any(image_id in scene.name_of for image_id in model.reg_image_ids())


def _unknown_only(scene: Scene, focal_guesses: Mapping[int, float]) -> dict[int, float]:
    """Guesses for cameras whose focal length nobody gave."""
    cameras = scene.cache.cameras
    return {
        camera_id: focal_px
        for camera_id, focal_px in focal_guesses.items()
        if camera_id in cameras and not cameras[camera_id].has_prior_focal_length
    }


def _set_focal_lengths(
    scene: Scene, focal_lengths: Mapping[int, float], fixed_cameras: Set[int], events: EventSink
) -> None:
    """Focal lengths, px by camera id, for the cameras of the scene that may change."""
    for camera_id, focal_px in focal_lengths.items():
        if camera_id in scene.cache.cameras and camera_id not in fixed_cameras:
            camera = scene.cache.camera(camera_id)
            params = list(camera.params)
            for index in camera.focal_length_idxs():
                params[index] = focal_px
            camera.params = params
            events.emit(STAGE, "focal_length", camera_id=camera_id, focal_px=round(focal_px, 1))


class _CountOnce:
    """Counts each photo the first time that any trial registers it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._seen: set[str] = set()

    def __call__(self, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            self._task.advance()


def _grown_models(
    context: MappingContext,
    config: RegisterConfig,
    start: Sequence[pycolmap.Reconstruction],
    existing: ExistingModels | None,
    deferred: Set[Pair],
    discarded: Journal,
    *,
    fresh: bool,
    scratch: Path | None,
) -> list[Submodel]:
    """Models of all photos, grown without the suspect pairs, which are let in last where they agree."""
    frozen = context.options.frozen
    sure = replace(context, scene=context.scene.without(deferred))
    submodels = _continued_models(sure, start, existing)
    submodels += clustered_models(sure, config, submodels, discarded, scratch=scratch)
    submodels += new_models(sure, config, submodels, discarded)
    if not frozen:
        submodels = _merged_models(sure, submodels, discarded)
    if existing is None and fresh:
        submodels = _renewed_models(sure, submodels, discarded, again=bool(start))
    if deferred and not frozen:
        submodels = admit_pairs(context, submodels, deferred, discarded)
    if existing is not None:
        return submodels
    judge = Judge.of(context.scene, context.options)
    submodels = apply_step(judge, submodels, partial(split_at_articulations, context), "parting", discarded)
    submodels = apply_step(
        judge,
        submodels,
        lambda parts: rejoin_parts(context, parts, deferred, discarded),
        "rejoining",
        discarded,
    )
    return apply_step(judge, submodels, partial(_reconsidered, context, deferred), "moving parts", discarded)


def _reconsidered(
    context: MappingContext, deferred: Set[Pair], submodels: Sequence[Submodel]
) -> list[Submodel]:
    """Models whose parts stand where most of their matches would have them.

    What is asked for next depends on where they are.
    """
    models = []
    for submodel in submodels:
        moved = None
        if not submodel.is_depth_only:
            moved = relocate_parts(
                context.scene, submodel.reconstruction, context.options, deferred, submodel.journal
            )
        models.append(
            judged(context, replace(submodel, reconstruction=moved)) if moved is not None else submodel
        )
    return models


def _continued_models(
    context: MappingContext, start: Sequence[pycolmap.Reconstruction], existing: ExistingModels | None
) -> list[Submodel]:
    """The models of an earlier round, each grown by photos that no other one holds, largest first."""
    everyone = frozenset(context.scene.id_of)
    apply_step = frozenset(image.name for model in start for image in _registered(model))
    submodels: list[Submodel] = []
    min_angle = context.options.mapper.filter_min_tri_angle
    for model in sorted(start, key=lambda model: -model.num_reg_images()):
        if existing is not None or context.scene.depth is None or has_parallax(model, min_angle):
            reopen = existing is None or not any(model is one for one in existing.models)
            known = known_part(model, context.scene.name_of)
            submodel = continued(context, known, everyone - apply_step, reopen=reopen)
            for image in _registered(model):
                if image.name not in context.scene.id_of:
                    submodel.journal.note(
                        "filtered", name=image.name, why="no verified pair joins it to others"
                    )
        else:
            near = context.scene.view_graph.component(min(image.name for image in _registered(model)))
            submodel = rebuilt(context, model, near - apply_step)
        apply_step |= submodel.names
        submodels.append(submodel)
    return submodels


def _registered(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    return [model.image(image_id) for image_id in model.reg_image_ids()]


def _merged_models(
    context: MappingContext, submodels: Sequence[Submodel], discarded: Journal
) -> list[Submodel]:
    """The models, with those joined that fit together; models from depth alone stay as they are."""
    lifted = [submodel for submodel in submodels if submodel.is_depth_only]
    return (
        merge_models(context, [submodel for submodel in submodels if not submodel.is_depth_only], discarded)
        + lifted
    )


def _renewed_models(
    context: MappingContext, models: Sequence[Submodel], discarded: Journal, *, again: bool
) -> list[Submodel]:
    """The models, unless a fresh start joins what they hold apart or leave out.

    Args:
        context: what trials work with.
        models: so far.
        discarded: told of the trials that were given up.
        again: whether the models were grown from fewer pairs than there are now.
    """
    renewed = list(models)
    for component in context.scene.view_graph.components():
        old = sorted((t for t in renewed if t.names & component), key=lambda t: -len(t.names))
        held = frozenset().union(*(submodel.names for submodel in old))
        sound = all(submodel.contradicted <= MAX_CONTRADICTED for submodel in old)
        if (len(old) == 1 and held >= component and sound) or len(component) < _MIN_RENEWED:
            continue
        if sound and old and len(component) > _MAX_RENEWED:
            bridged = bridge_gaps(context, old, component, discarded)
            renewed = [one for one in renewed if one not in old] + bridged
            old, held = bridged, frozenset().union(*(submodel.names for submodel in bridged))
            if len(old) == 1 and held >= component:
                continue
        fresh: list[Submodel] = []
        if again and old and len(component) <= _MAX_RENEWED:
            found = best_model(context, component, discarded, max_trials=1)
            fresh += [found] if found else []
        if len(component) <= _MAX_RENEWED or len(held) < _MOST * len(component) or len(old) > 1:
            fresh += global_models(context, component)[:1]
        for submodel in fresh:
            if submodel.names >= held and _is_better(submodel, old, held, sound=sound):
                renewed = [one for one in renewed if one not in old] + [submodel]
                old, held = [submodel], submodel.names
                sound = submodel.contradicted <= MAX_CONTRADICTED
    return renewed


def _is_better(fresh: Submodel, old: Sequence[Submodel], held: Set[str], *, sound: bool) -> bool:
    """Whether a new model of all photos that some models hold is worth more than they."""
    if not sound and len(old) == 1:
        return fresh.quality > old[0].quality
    if fresh.contradicted > MAX_CONTRADICTED:
        return False
    return (len(fresh.names), -1) > (len(held), -len(old))


def _kept(
    scene: Scene,
    submodels: Sequence[Submodel],
    config: RegisterConfig,
    existing: ExistingModels | None,
    discarded: Journal,
) -> list[Submodel]:
    """Models that are large enough and hold together, largest first, ties by their first photo.

    Those that were given stay, whatever they are like.
    """
    kept: list[Submodel] = []
    num_new = 0
    for submodel in sorted(submodels, key=lambda submodel: (-len(submodel.names), min(submodel.names))):
        if existing is not None and existing.base_of(submodel.reconstruction):
            kept.append(submodel)
            continue
        if len(submodel.names) < config.min_model_size:
            why = f"fewer than {config.min_model_size} photos"
        elif num_new >= config.max_models:
            why = f"{config.max_models} models are larger (register.max_models)"
        else:
            model = submodel.reconstruction
            why = "" if submodel.is_depth_only else why_undetermined(model) or why_pure_rotation(scene, model)
        if why:
            discarded.note("dropped_model", names=sorted(submodel.names), why=why)
        else:
            kept.append(submodel)
            num_new += 1
    return kept
