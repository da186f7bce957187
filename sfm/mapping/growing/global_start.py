"""Models that start from all poses at once, for photos that no chain of registrations joins.

Incremental mapping is lost where no photo sees enough points of the model; averaging the relative poses of
all pairs needs no points. It never doubts, though. So what COLMAP's global mapper (GLOMAP, Pan et al. 2024)
says is taken as a start: photos that their own pairs contradict leave it, the others are adjusted, and the
rest may still register. Parts that share hardly a point do not stay together: where one lies to the other is
a guess that adjustment cannot mend.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import pycolmap

from sfm.files.scratch import scratch_folder

from ..cameras.focal_priors import holds_given
from ..measures.agreement import agreement
from ..measures.soundness import tied_parts
from ..scene.colmap_mappers import global_options, restore_intrinsics
from ..scene.journal import Journal
from ..scene.part_database import write_part
from ..scene.session import MapperSession, open_session
from .trials import Trial, Workbench, extend, judged

_MIN_AGREEMENT = 0.6
"""Of the matches of a photo with the others of its model."""


def global_models(bench: Workbench, candidates: Set[str], *, seed: int | None = None) -> list[Trial]:
    """Models of `candidates` whose poses were found together, largest first.

    Args:
        bench: with the scene that the models are to fit; its cameras and pairs are used.
        candidates: photos to place.
        seed: where the search for positions starts; None: the run's.
    """
    options = global_options(bench.options.pipeline, bench.options.colmap)
    if seed is not None:
        options.random_seed = options.mapper.random_seed = seed
    found = []
    cameras = dict(bench.scene.cache.cameras.items())
    for model in sorted(_mapped(bench, candidates, options), key=lambda model: -model.num_reg_images()):
        restore_intrinsics(model, cameras, bench.options.mapper.constant_cameras)
        trial = _corrected(bench, model)
        if len(trial.names) >= bench.options.pipeline.min_model_size:
            extend(bench, trial, candidates)
            _drop_loose_parts(bench, trial)
            found.append(judged(bench, trial))
    return found


def _mapped(
    bench: Workbench, candidates: Set[str], options: pycolmap.GlobalPipelineOptions
) -> list[pycolmap.Reconstruction]:
    """Models of the global mapper, with given focal lengths where it does not determine better ones."""
    with scratch_folder() as folder:
        scratch = folder / "database.db"
        write_part(bench.scene, candidates, scratch)
        models = pycolmap.global_mapping(scratch, folder, folder, options).values()
        adjustment = options.mapper.bundle_adjustment
        if adjustment.refine_focal_length and any(
            holds_given(bench.scene, model, bench.options) for model in models
        ):
            adjustment.refine_focal_length = False
            models = pycolmap.global_mapping(scratch, folder, folder, options).values()
    return list(models)


def _drop_loose_parts(bench: Workbench, trial: Trial) -> None:
    """Keep the photos that points tie together.

    The others agree with each other and so pass for right one by one, however wrong they are together.
    """
    tied, *loose = tied_parts(trial.reconstruction)
    if loose:
        with open_session(bench.scene, bench.options, trial.reconstruction) as session:
            for frame in session.frames():
                if tied.isdisjoint(image.name for image in frame):
                    _drop(session, frame, "no points tie it to the rest of its model", trial.journal)
            trial.names = session.registered


def _drop(session: MapperSession, frame: Sequence[pycolmap.Image], why: str, journal: Journal) -> None:
    session.observations.deregister_frame(frame[0].frame_id)
    for image in frame:
        journal.note("filtered", name=image.name, why=why)


def _corrected(bench: Workbench, model: pycolmap.Reconstruction) -> Trial:
    """The model as a trial, without the photos whose own matches contradict their poses."""
    trial = Trial(None, model)
    with open_session(bench.scene, bench.options, model) as session:
        for frame in session.frames():
            if agreement(session, *(image.name for image in frame)) < _MIN_AGREEMENT:
                _drop(session, frame, "its matches contradict its pose", trial.journal)
                continue
            for image in frame:
                num = image.num_points3D
                noted = {"name": image.name, "num_visible": num, "num_inliers": num}
                trial.journal.note("registered", how="global", **noted)
        trial.names = session.registered
    return trial
