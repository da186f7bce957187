"""Whether images are consistent with their placement to each other, by photos or by what they observe."""

from __future__ import annotations

from collections.abc import Iterable

import pycolmap

from retrieval import Pair

from ..scene.scene import Scene
from .covisibility import PredictedCovisibility
from .photo_consistency import photo_consistencies
from .repeatability import repeatabilities


def image_consistencies(
    scene: Scene,
    model: pycolmap.Reconstruction,
    matched: Iterable[Pair],
    *,
    covisibility: PredictedCovisibility | None = None,
) -> dict[Pair, float]:
    """Log-odds that speak for or against the placement of pairs of images to each other.

    Photo-consistency of all pairs that observe common points, where the scene has photos. Otherwise the
    repeatability of these pairs: a database alone knows only of pairs that were matched.

    Args:
        scene: of the model.
        model: left unchanged.
        matched: pairs by whose repeatability the model is judged.
        covisibility: of the model, where it is known.
    """
    if scene.photos is not None:
        return photo_consistencies(model, scene.photos)
    return repeatabilities(model, matched, scene.first_of_second, covisibility=covisibility)
