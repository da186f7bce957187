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
from .edits.admit_pairs import let_in
from .edits.bridge import bridged_models
from .edits.merge import merge_models
from .edits.rejoin import rejoined
from .edits.relocate import reconsidered
from .edits.split import parted
from .growing.components import new_models
from .growing.global_start import global_models
from .growing.trials import MAX_CONTRADICTED, Trial, Workbench, best_model, continued, judged, rebuilt
from .measures.one_spot import why_on_one_spot
from .measures.soundness import why_undetermined
from .refinement.final import finish, note_model
from .refinement.transaction import Judge, taken
from .scene.colmap_mappers import Peer, run_peer
from .scene.depth_source import DepthSource
from .scene.given_models import GivenModels, grafted, known_part
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
    suspects: frozenset[Pair],
    finished: bool,
    fresh: bool = True,
    given: GivenModels | None = None,
    scratch: Path | None = None,
) -> MappingResult:
    """Our own loop: models from several seeds per component of the view graph; see `sfm.mapping`."""
    whole = Scene.open(database, depth)
    guesses = _unknown_only(whole, focal_guesses)
    focal_lengths = starting_values(whole, guesses, estimate_focal_lengths(database, seed=seed))
    _set_focal_lengths(whole, focal_lengths, fixed_cameras, events)
    frozen = given if given is not None and given.frozen else None
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
        bench = Workbench(whole, options, _CountOnce(task))
        trials = _grown_models(bench, config, known, given, suspects, discarded, fresh=fresh, scratch=scratch)
    kept = _kept(whole, [*trials, *map(Trial.of, strange)], config, given, discarded)
    for event, fields in discarded.entries:
        events.emit(STAGE, event, **fields)
    for index, trial in enumerate(kept):
        if frozen and (base := frozen.base_of(trial.reconstruction)):
            trial.reconstruction = grafted(base, trial.reconstruction, options)
        elif finished and _has_pairs(whole, trial.reconstruction):
            trial = finish(whole, trial, options, refine, suspects=suspects, fixed_cameras=fixed_cameras)
            kept[index] = trial
        note_model(trial.journal, trial.reconstruction)
        trial.journal.publish(events, index)
    return MappingResult(tuple(trial.reconstruction for trial in kept), whole.view_graph)


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
    suspects: frozenset[Pair],
    given: GivenModels | None = None,
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
        is_frozen = given is not None and given.frozen and given.base_of(model)
        if is_frozen or not _has_pairs(whole, model):
            done.append(copy.deepcopy(model))
            continue
        trial = finish(
            whole, Trial.of(model), options, refine, suspects=suspects, fixed_cameras=fixed_cameras
        )
        done.append(copy.deepcopy(model) if trial.reconstruction is model else trial.reconstruction)
        note_model(trial.journal, done[-1])
        trial.journal.publish(events, index)
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
    bench: Workbench,
    config: RegisterConfig,
    start: Sequence[pycolmap.Reconstruction],
    given: GivenModels | None,
    suspects: Set[Pair],
    discarded: Journal,
    *,
    fresh: bool,
    scratch: Path | None,
) -> list[Trial]:
    """Models of all photos, grown without the suspect pairs, which are let in last where they agree."""
    frozen = bench.options.frozen
    sure = replace(bench, scene=bench.scene.without(suspects))
    trials = _continued_models(sure, start, given)
    trials += clustered_models(sure, config, trials, discarded, scratch=scratch)
    trials += new_models(sure, config, trials, discarded)
    if not frozen:
        trials = _merged_models(sure, trials, discarded)
    if given is None and fresh:
        trials = _renewed_models(sure, trials, discarded, again=bool(start))
    if suspects and not frozen:
        trials = let_in(bench, trials, suspects, discarded)
    if given is not None:
        return trials
    judge = Judge.of(bench.scene, bench.options)
    trials = taken(judge, trials, partial(parted, bench), "parting", discarded)
    trials = taken(
        judge,
        trials,
        lambda parts: rejoined(bench, parts, suspects, discarded),
        "rejoining",
        discarded,
    )
    return taken(judge, trials, partial(_reconsidered, bench, suspects), "moving parts", discarded)


def _reconsidered(bench: Workbench, suspects: Set[Pair], trials: Sequence[Trial]) -> list[Trial]:
    """Models whose parts stand where most of their matches would have them.

    What is asked for next depends on where they are.
    """
    models = []
    for trial in trials:
        moved = None
        if not trial.from_depth:
            moved = reconsidered(bench.scene, trial.reconstruction, bench.options, suspects, trial.journal)
        models.append(judged(bench, replace(trial, reconstruction=moved)) if moved is not None else trial)
    return models


def _continued_models(
    bench: Workbench, start: Sequence[pycolmap.Reconstruction], given: GivenModels | None
) -> list[Trial]:
    """The models of an earlier round, each grown by photos that no other one holds, largest first."""
    everyone = frozenset(bench.scene.id_of)
    taken = frozenset(image.name for model in start for image in _registered(model))
    trials: list[Trial] = []
    min_angle = bench.options.mapper.filter_min_tri_angle
    for model in sorted(start, key=lambda model: -model.num_reg_images()):
        if given is not None or bench.scene.depth is None or has_parallax(model, min_angle):
            reopen = given is None or not any(model is one for one in given.models)
            known = known_part(model, bench.scene.name_of)
            trial = continued(bench, known, everyone - taken, reopen=reopen)
            for image in _registered(model):
                if image.name not in bench.scene.id_of:
                    trial.journal.note("filtered", name=image.name, why="no verified pair joins it to others")
        else:
            near = bench.scene.view_graph.component(min(image.name for image in _registered(model)))
            trial = rebuilt(bench, model, near - taken)
        taken |= trial.names
        trials.append(trial)
    return trials


def _registered(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    return [model.image(image_id) for image_id in model.reg_image_ids()]


def _merged_models(bench: Workbench, trials: Sequence[Trial], discarded: Journal) -> list[Trial]:
    """The models, with those joined that fit together; models from depth alone stay as they are."""
    lifted = [trial for trial in trials if trial.from_depth]
    return merge_models(bench, [trial for trial in trials if not trial.from_depth], discarded) + lifted


def _renewed_models(
    bench: Workbench, models: Sequence[Trial], discarded: Journal, *, again: bool
) -> list[Trial]:
    """The models, unless a fresh start joins what they hold apart or leave out.

    Args:
        bench: what trials work with.
        models: so far.
        discarded: told of the trials that were given up.
        again: whether the models were grown from fewer pairs than there are now.
    """
    renewed = list(models)
    for component in bench.scene.view_graph.components():
        old = sorted((t for t in renewed if t.names & component), key=lambda t: -len(t.names))
        held = frozenset().union(*(trial.names for trial in old))
        sound = all(trial.contradicted <= MAX_CONTRADICTED for trial in old)
        if (len(old) == 1 and held >= component and sound) or len(component) < _MIN_RENEWED:
            continue
        if sound and old and len(component) > _MAX_RENEWED:
            bridged = bridged_models(bench, old, component, discarded)
            renewed = [one for one in renewed if one not in old] + bridged
            old, held = bridged, frozenset().union(*(trial.names for trial in bridged))
            if len(old) == 1 and held >= component:
                continue
        fresh: list[Trial] = []
        if again and old and len(component) <= _MAX_RENEWED:
            found = best_model(bench, component, discarded, max_trials=1)
            fresh += [found] if found else []
        if len(component) <= _MAX_RENEWED or len(held) < _MOST * len(component) or len(old) > 1:
            fresh += global_models(bench, component)[:1]
        for trial in fresh:
            if trial.names >= held and _is_better(trial, old, held, sound=sound):
                renewed = [one for one in renewed if one not in old] + [trial]
                old, held = [trial], trial.names
                sound = trial.contradicted <= MAX_CONTRADICTED
    return renewed


def _is_better(fresh: Trial, old: Sequence[Trial], held: Set[str], *, sound: bool) -> bool:
    """Whether a new model of all photos that some models hold is worth more than they."""
    if not sound and len(old) == 1:
        return fresh.quality > old[0].quality
    if fresh.contradicted > MAX_CONTRADICTED:
        return False
    return (len(fresh.names), -1) > (len(held), -len(old))


def _kept(
    scene: Scene,
    trials: Sequence[Trial],
    config: RegisterConfig,
    given: GivenModels | None,
    discarded: Journal,
) -> list[Trial]:
    """Models that are large enough and hold together, largest first, ties by their first photo.

    Those that were given stay, whatever they are like.
    """
    kept: list[Trial] = []
    num_new = 0
    for trial in sorted(trials, key=lambda trial: (-len(trial.names), min(trial.names))):
        if given is not None and given.base_of(trial.reconstruction):
            kept.append(trial)
            continue
        if len(trial.names) < config.min_model_size:
            why = f"fewer than {config.min_model_size} photos"
        elif num_new >= config.max_models:
            why = f"{config.max_models} models are larger (register.max_models)"
        else:
            model = trial.reconstruction
            why = "" if trial.from_depth else why_undetermined(model) or why_on_one_spot(scene, model)
        if why:
            discarded.note("dropped_model", names=sorted(trial.names), why=why)
        else:
            kept.append(trial)
            num_new += 1
    return kept
