"""Parts that hang on a single photo become models of their own.

Left in, such a part has a size that nobody measured, and the pairs that bring it pull at the rest. Apart,
both are as exact as their own points; and more pairs between them are looked for, as between any two models.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence, Set

import pycolmap

from ..growing.trials import Trial, Workbench, copied, judged, without_photos
from ..measures.articulation import hinged_parts


def parted(bench: Workbench, trials: Sequence[Trial]) -> list[Trial]:
    """The models, unchanged, with each hinged part large enough for a model taken off its own.

    Models from depth stay whole: depth says how large their parts are.
    """
    if bench.scene.depth is not None:
        return list(trials)
    apart: list[Trial] = []
    for trial in trials:
        apart += _apart(bench, trial)
    return apart


def is_hinged(bench: Workbench, model: pycolmap.Reconstruction, names: Set[str]) -> bool:
    """Whether some of these photos belong to a hinged part that is large enough for a model."""
    return any(not names.isdisjoint(part) for part, _ in _large_parts(bench, model))


def _large_parts(bench: Workbench, model: pycolmap.Reconstruction) -> list[tuple[frozenset[str], str]]:
    """Hinged parts and their hinges; the distances in a rig say how large a part is that has rigs."""
    least = bench.options.pipeline.min_model_size
    in_rigs = {
        image.name
        for image in (model.image(image_id) for image_id in model.reg_image_ids())
        if len(model.frame(image.frame_id).data_ids) > 1
    }
    parts = [(part.names, part.hinge) for part in hinged_parts(model) if len(part.names) >= least]
    return [(names, hinge) for names, hinge in parts if in_rigs.isdisjoint(names)]


def _apart(bench: Workbench, trial: Trial) -> list[Trial]:
    """The model without its hinged parts, and these, as models; they may have such parts themselves."""
    parts = _large_parts(bench, trial.reconstruction)
    if not parts:
        return [trial]
    models, trial = [], copied(trial)
    for names, hinge in parts:
        model = copy.deepcopy(trial.reconstruction)
        part = Trial(None, model, names=without_photos(bench, model, trial.names - names), hinge=hinge)
        trial.journal.note("hinged", names=sorted(names), hinge=hinge)
        for name in sorted(part.names):
            num = model.image(bench.scene.id_of[name]).num_points3D
            part.journal.note("registered", name=name, how="parted", num_visible=num, num_inliers=num)
        models += _apart(bench, judged(bench, part))
    trial.names = without_photos(
        bench, trial.reconstruction, frozenset().union(*(names for names, _ in parts))
    )
    return [*_apart(bench, judged(bench, trial)), *models]
