"""Photos whose pose is unlikely to be right, left out of the models on request."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pycolmap

from sfm.diagnosis.quality import Judgement
from sfm.diagnosis.unregistered import Diagnosis


@dataclass(frozen=True, slots=True)
class LikelyModels:
    """Models without unlikely photos, largest first."""

    models: tuple[pycolmap.Reconstruction, ...]
    indices: tuple[int, ...]
    """Of the model that each was made from."""
    left_out: Mapping[str, Diagnosis]
    """Why each unlikely photo is left out, by name."""


def without_unlikely(
    models: Sequence[pycolmap.Reconstruction], judged: Mapping[str, Judgement], min_probability: float
) -> LikelyModels:
    """The models without photos of a smaller probability and the others of their frames.

    Args:
        models: left unchanged.
        judged: the poses, with their probabilities.
        min_probability: `register.min_probability`.
    """
    chances = {name: found.quality.probability for name, found in judged.items()}
    unlikely = {name: p for name, p in chances.items() if p is not None and p < min_probability}
    kept = [(_without(model, unlikely), index) for index, model in enumerate(models)]
    kept = [(model, index) for model, index in kept if model.num_reg_images()]
    kept.sort(key=lambda one: (-one[0].num_reg_images(), one[1]))
    why = {
        name: Diagnosis(
            f"its pose is right with a probability of {100 * chance:.0f} % only",
            "register.min_probability=0 keeps it",
        )
        for name, chance in unlikely.items()
    }
    return LikelyModels(tuple(model for model, _ in kept), tuple(index for _, index in kept), why)


def _without(model: pycolmap.Reconstruction, names: Mapping[str, float]) -> pycolmap.Reconstruction:
    frames = {image.frame_id for image in map(model.image, model.reg_image_ids()) if image.name in names}
    if not frames:
        return model
    rest = copy.deepcopy(model)
    for frame_id in sorted(frames):
        rest.deregister_frame(frame_id)
    return rest
