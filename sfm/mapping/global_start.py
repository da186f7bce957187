"""Models that start from all poses at once, for photos that no chain of registrations joins.

Incremental mapping is lost where no photo sees enough points of the model; averaging the relative poses of
all pairs needs no points. It never doubts, though. So what COLMAP's global mapper (GLOMAP, Pan et al. 2024)
says is taken as a start: photos that their own pairs contradict leave it, the others are adjusted, and the
rest may still register.
"""

from __future__ import annotations

import tempfile
from collections.abc import Set
from pathlib import Path

import pycolmap

from .agreement import agreement
from .part_database import write_part
from .peers import global_options
from .session import open_session
from .trials import Trial, Workbench, extend, judged

_MIN_AGREEMENT = 0.6
"""Of the matches of a photo with the others of its model."""


def global_models(bench: Workbench, candidates: Set[str]) -> list[Trial]:
    """Models of `candidates` whose poses were found together, largest first.

    Args:
        bench: with the scene that the models are to fit; its cameras and pairs are used.
        candidates: photos to place.
    """
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "database.db"
        write_part(bench.scene, candidates, scratch)
        models = pycolmap.global_mapping(scratch, folder, folder, global_options(bench.options.pipeline))
    found = []
    for model in sorted(models.values(), key=lambda model: -model.num_reg_images()):
        trial = _corrected(bench, model)
        if len(trial.names) >= bench.options.pipeline.min_model_size:
            extend(bench, trial, candidates)
            found.append(judged(bench, trial))
    return found


def _corrected(bench: Workbench, model: pycolmap.Reconstruction) -> Trial:
    """The model as a trial, without the photos whose own matches contradict their poses."""
    trial = Trial(None, model)
    with open_session(bench.scene, bench.options, model) as session:
        for name in sorted(session.registered):
            if agreement(session, name) < _MIN_AGREEMENT:
                frame_id = model.image(bench.scene.id_of[name]).frame_id
                session.observations.deregister_frame(frame_id)
                trial.journal.note("filtered", name=name, why="its matches contradict its pose")
            else:
                num = model.image(bench.scene.id_of[name]).num_points3D
                trial.journal.note("registered", name=name, how="global", num_visible=num, num_inliers=num)
        trial.names = session.registered
    return trial
