"""The registrar: from verified pairs to models, if possible one for each connected component."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import pycolmap

from retrieval import Pair
from sfm.workspace.events import EventSink
from sfm.workspace.progress import Progress, Task

from .cameras.focal import likely_focal_lengths
from .cameras.focal_priors import starting_values
from .clusters.clustered import clustered_models
from .depth.depth_model import has_parallax
from .edits.admit_pairs import admit_pairs, supported_pairs
from .edits.alternative_models import likelier_models
from .edits.judge import Judge, Step, apply_step
from .edits.merge import merge_models
from .edits.relocate import relocate_parts
from .edits.split import split_at_articulations
from .evidence_of_models import deferred_pairs, has_pairs, judge_of
from .growing.components import new_models
from .growing.global_sfm import global_models
from .growing.known_poses import with_existing
from .growing.posed_models import aligned_models
from .growing.submodels import MappingContext, Submodel, continued, why_dropped
from .growing.trials import rebuilt
from .pair_consistency.inconsistent_pairs import NO_DOUBT, InconsistencyReport
from .problem import MappingProblem
from .refinement.final_refinement import note_model, refine_model
from .scene.camera_models import with_focal_length
from .scene.colmap_mappers import PEERS, Peer, run_peer
from .scene.existing_models import ExistingModels, grafted, known_part
from .scene.journal import STAGE, Journal
from .scene.options import MapperOptions, mapper_options, pipeline_options, with_frozen_poses
from .scene.rigs import cameras_of_rigs
from .scene.scene import Scene
from .scene.view_graph import ViewGraph


@dataclass(frozen=True, slots=True)
class MappingResult:
    """Models, largest first, and the view graph of the problem."""

    models: tuple[pycolmap.Reconstruction, ...]
    view_graph: ViewGraph


def reconstruct(
    problem: MappingProblem,
    *,
    start: Sequence[pycolmap.Reconstruction] = (),
    consistency: InconsistencyReport = NO_DOUBT,
    compares: bool = True,
    events: EventSink,
    progress: Progress,
) -> MappingResult:
    """Build models, which `refine_models` then refines; a result without models is not an error.

    Args:
        problem: verified pairs and options.
        start: models of an earlier round to continue from; they are left unchanged. Existing models are
            among them as the earlier round left them. COLMAP's mappers ignore them.
        consistency: of the verified pairs. Models are grown without the deferred ones; the pairs that agree
            with the models are then admitted. With `register.inconsistent_pairs=trust` none is deferred.
        compares: whether models that are in parts or probably wrong are compared with others.
        events: receives every decision, stage `register`.
        progress: counts registered images.

    Returns:
        Models of at least `config.min_model_size` images, largest first, and the view graph.
    """
    mapper = problem.config.mapper
    if mapper in PEERS:
        return _reconstruct_with_peer(mapper, problem, events)
    scene = Scene.open(problem.database, problem.depth, problem.photos)
    known = [model for model in start if has_pairs(scene, model)]
    unknown_focal = _set_focal_lengths(scene, problem, known, events)
    frozen, options = problem.frozen, _options(scene, problem)
    if frozen:
        fixed = replace(problem, fixed_cameras=problem.fixed_cameras | frozen.cameras)
        options = with_frozen_poses(_options(scene, fixed))
    discarded = Journal()
    with progress.task("register", len(scene.name_of), unit="photos") as task:
        context = MappingContext(
            scene, options, _CountOnce(task), poses=problem.poses, unknown_focal=unknown_focal
        )
        if problem.config.aligns:
            submodels = _aligned_models(context, problem, discarded)
            start = () if problem.existing else start
        else:
            submodels = _grown_models(context, problem, known, consistency, discarded, compares=compares)
    unknown = (Submodel.of(model) for model in start if not has_pairs(scene, model))
    kept = _kept(context, [*submodels, *unknown], problem, discarded)
    for event, fields in discarded.entries:
        events.emit(STAGE, event, **fields)
    for index, submodel in enumerate(kept):
        if frozen and (base := frozen.base_of(submodel.reconstruction)):
            submodel.reconstruction = grafted(
                base, submodel.reconstruction, options, adjusts=not problem.keeps_aligned
            )
        _publish(submodel.journal, submodel.reconstruction, index, events)
    return MappingResult(tuple(submodel.reconstruction for submodel in kept), scene.view_graph)


def refine_models(
    problem: MappingProblem,
    models: Sequence[pycolmap.Reconstruction],
    *,
    consistency: InconsistencyReport = NO_DOUBT,
    events: EventSink,
) -> tuple[pycolmap.Reconstruction, ...]:
    """Refine the models of `reconstruct`, which are left unchanged; those of COLMAP's mappers stay so.

    Models that lose so many images that they are too small are dropped.

    Args:
        problem: as for `reconstruct`.
        models: to refine.
        consistency: of the verified pairs. Deferred ones that contradict the models are left out.
        events: receives every decision, stage `register`.
    """
    if problem.config.mapper in PEERS or problem.keeps_aligned:
        return tuple(models)
    scene = Scene.open(problem.database, problem.depth, problem.photos)
    judge = judge_of(scene, problem, consistency)
    context = MappingContext(scene, _options(scene, problem), lambda name: None, judge)
    refined: list[pycolmap.Reconstruction] = []
    for index, model in enumerate(models):
        if (problem.frozen and problem.frozen.base_of(model)) or not has_pairs(scene, model):
            refined.append(copy.deepcopy(model))
            continue
        submodel = refine_model(
            context,
            Submodel.of(scene.with_all_keypoints(model)),
            problem.refine,
            deferred=deferred_pairs(problem, consistency.deferred),
            fixed_cameras=problem.fixed_cameras,
            cropped_cameras=problem.cropped_cameras,
        )
        if len(submodel.names) < min(problem.config.min_model_size, model.num_reg_images()):
            names = sorted(image.name for image in _registered(model))
            why = f"once it is adjusted, {len(submodel.names)} of {len(names)} photos are left of it"
            events.emit(STAGE, "dropped_model", names=names, why=why)
            continue
        refined.append(submodel.reconstruction)
        _publish(submodel.journal, submodel.reconstruction, index, events)
    return tuple(refined)


def _reconstruct_with_peer(mapper: Peer, problem: MappingProblem, events: EventSink) -> MappingResult:
    """Models of one of COLMAP's own mappers."""
    options = pipeline_options(
        problem.config,
        problem.refine,
        fixed_cameras=problem.fixed_cameras,
        threads=problem.threads,
        seed=problem.seed,
    )
    options.ba_refine_principal_point = problem.refine.principal_point == "always"
    models = run_peer(mapper, problem.database, options, problem.config.colmap)
    for index, model in enumerate(models):
        journal = Journal()
        for image_id in sorted(model.reg_image_ids()):
            name, num = model.image(image_id).name, model.image(image_id).num_points3D
            journal.note("registered", name=name, how=mapper, num_visible=num, num_inliers=num)
        _publish(journal, model, index, events)
    return MappingResult(models, ViewGraph.read(problem.database))


def _publish(journal: Journal, model: pycolmap.Reconstruction, index: int, events: EventSink) -> None:
    note_model(journal, model)
    journal.publish(events, index)


def _options(scene: Scene, problem: MappingProblem) -> MapperOptions:
    return mapper_options(
        problem.config,
        problem.refine,
        fixed_cameras=problem.fixed_cameras,
        guessed_focal_lengths=_focal_guesses(scene, problem),
        longest_prior=scene.longest_prior,
        threads=problem.threads,
        seed=problem.seed,
    )


def _focal_guesses(scene: Scene, problem: MappingProblem) -> dict[int, float]:
    """Guesses for cameras whose focal length is not a prior."""
    cameras = scene.cache.cameras
    return {
        camera_id: focal_px
        for camera_id, focal_px in problem.focal_guesses.items()
        if camera_id in cameras and not cameras[camera_id].has_prior_focal_length
    }


def _set_focal_lengths(
    scene: Scene, problem: MappingProblem, models: Sequence[pycolmap.Reconstruction], events: EventSink
) -> frozenset[int]:
    """Set the focal lengths to start from, for the cameras of the scene that may change.

    Cameras of models start from the nearest likely value to theirs.

    Returns:
        Cameras of whose focal lengths only pairs say anything; none of rigs, which show the motion.
    """
    likely = likely_focal_lengths(scene, seed=problem.seed)
    of_models = {i: m.camera(i).mean_focal_length() for m in reversed(models) for i in m.cameras}
    estimates = {i: one.nearest(of_models.get(i, one.px)) for i, one in likely.items()}
    guesses = _focal_guesses(scene, problem)
    for camera_id, focal_px in starting_values(scene, guesses, estimates).items():
        if camera_id in scene.cache.cameras and camera_id not in problem.fixed_cameras:
            camera = scene.cache.camera(camera_id)
            camera.params = with_focal_length(camera, focal_px).params.tolist()
            events.emit(STAGE, "focal_length", camera_id=camera_id, focal_px=round(focal_px, 1))
    settled = guesses.keys() | problem.fixed_cameras | of_models.keys()
    settled |= cameras_of_rigs(scene.cache.rigs.values())
    return frozenset(likely.keys() - settled)


class _CountOnce:
    """Counts each image when a trial first registers it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._seen: set[str] = set()

    def __call__(self, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            self._task.advance()


def _aligned_models(context: MappingContext, problem: MappingProblem, discarded: Journal) -> list[Submodel]:
    """Models by alignment, which holds the poses of existing models."""
    existing, mapper = problem.existing, problem.config.mapper
    known = existing.poses if existing else None
    found = aligned_models(context, mapper, discarded, keep=problem.keeps_aligned, known=known)
    return with_existing(found, existing, context.options) if existing else found


def _grown_models(
    context: MappingContext,
    problem: MappingProblem,
    start: Sequence[pycolmap.Reconstruction],
    consistency: InconsistencyReport,
    discarded: Journal,
    *,
    compares: bool,
) -> list[Submodel]:
    """Models grown without the deferred pairs, of which the consistent ones are then admitted.

    Models grown with fewer or more pairs deferred take their place where they are likelier right.
    """
    deferred = deferred_pairs(problem, consistency.deferred)
    deferred -= supported_pairs(context.scene, start, deferred)[0]
    judge = judge_of(context.scene, problem, replace(consistency, deferred=deferred))
    judging = replace(context, judge=judge)
    submodels = _grown_without(deferred, judging, problem, start, discarded)
    if problem.existing or not problem.config.defers or not compares or not judge:
        return submodels

    def grow(part: MappingContext, left_out: frozenset[Pair], by_global: bool) -> list[Submodel]:
        trusted = replace(part, scene=part.scene.without(left_out))
        found = global_models(trusted, frozenset().union(*part.scene.view_graph.edges)) if by_global else []
        start = [one.reconstruction for one in found]
        return _grown_without(left_out, part, problem, start, discarded)

    return likelier_models(context, submodels, grow, judge, discarded)


def _grown_without(
    deferred: frozenset[Pair],
    context: MappingContext,
    problem: MappingProblem,
    start: Sequence[pycolmap.Reconstruction],
    discarded: Journal,
) -> list[Submodel]:
    existing = problem.existing
    trusted = replace(context, scene=context.scene.without(deferred))
    submodels = _continued_models(trusted, start, existing)
    submodels = _completed_models(trusted, problem, submodels, discarded)
    if deferred and not context.options.frozen:
        submodels = admit_pairs(context, submodels, deferred, discarded)
    if existing is not None:
        return submodels
    steps: dict[str, Step] = {
        "split": partial(split_at_articulations, context),
        "relocate": lambda models: [relocate_parts(context, one) for one in models],
    }
    of_steps = Judge.of(context.scene, context.options, context.judge)
    for name, step in steps.items():
        submodels = apply_step(of_steps, submodels, step, name, discarded)
    return submodels


def _completed_models(
    context: MappingContext, problem: MappingProblem, models: Sequence[Submodel], discarded: Journal
) -> list[Submodel]:
    """The models, and new ones of the images that they leave over; those that fit together are merged."""
    submodels = list(models)
    submodels += clustered_models(context, problem.config, submodels, discarded, scratch=problem.scratch)
    submodels += new_models(context, problem.config, submodels, discarded)
    return submodels if context.options.frozen else _merged_models(context, submodels, discarded)


def _continued_models(
    context: MappingContext, start: Sequence[pycolmap.Reconstruction], existing: ExistingModels | None
) -> list[Submodel]:
    """The models of an earlier round, largest first, each grown by images that no other one contains."""
    names = frozenset(context.scene.id_of)
    taken = frozenset(image.name for model in start for image in _registered(model))
    submodels: list[Submodel] = []
    min_angle = context.options.mapper.filter_min_tri_angle
    for model in sorted(start, key=lambda model: -model.num_reg_images()):
        if existing is not None or context.scene.depth is None or has_parallax(model, min_angle):
            has_new = existing is None or not any(model is one for one in existing.models)
            known = known_part(model, context.scene.name_of)
            submodel = continued(context, known, names - taken, has_new_pairs=has_new)
            for image in _registered(model):
                if image.name not in context.scene.id_of:
                    submodel.journal.note(
                        "filtered", name=image.name, why="no verified pair joins it to others"
                    )
        else:
            near = context.scene.view_graph.component(min(image.name for image in _registered(model)))
            submodel = rebuilt(context, model, near - taken)
        taken |= submodel.names
        submodels.append(submodel)
    return submodels


def _registered(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    return [model.image(image_id) for image_id in model.reg_image_ids()]


def _merged_models(
    context: MappingContext, submodels: Sequence[Submodel], discarded: Journal
) -> list[Submodel]:
    """Merge the models that share points; models from depth alone stay as they are."""
    lifted = [submodel for submodel in submodels if submodel.is_depth_only]
    return (
        merge_models(context, [submodel for submodel in submodels if not submodel.is_depth_only], discarded)
        + lifted
    )


def _kept(
    context: MappingContext, submodels: Sequence[Submodel], problem: MappingProblem, discarded: Journal
) -> list[Submodel]:
    """Models that are large and stable enough, largest first, ties by their first image.

    Existing models always stay. By alignment, as by MASt3R-SfM's, the largest model stays even of two images.
    """
    config, existing = problem.config, problem.existing
    kept: list[Submodel] = []
    num_new = 0
    for submodel in sorted(submodels, key=lambda submodel: (-len(submodel.names), min(submodel.names))):
        if existing is not None and existing.base_of(submodel.reconstruction):
            kept.append(submodel)
            continue
        least = 2 if config.aligns and not kept else config.min_model_size
        if len(submodel.names) < least:
            why = f"fewer than {least} photos"
        elif num_new >= config.max_models:
            why = f"{config.max_models} models are larger (register.max_models)"
        else:
            why = why_dropped(context, submodel)
        if why:
            discarded.note("dropped_model", names=sorted(submodel.names), why=why)
        else:
            kept.append(submodel)
            num_new += 1
    return kept
