"""Overlaps of images by the poses of models, and what they promise of a pair."""

from __future__ import annotations

from collections.abc import Sequence, Set

import pycolmap

from retrieval import Pair
from sfm.mapping import predicted_overlaps

_MIN_OVERLAP, _FULL_OVERLAP = 0.05, 0.5
"""From here on poses promise a pair, and from here on it nearly always verifies."""


def overlaps_of(models: Sequence[pycolmap.Reconstruction], new_images: Set[str] | None) -> dict[Pair, float]:
    """Predicted overlaps in models that contain new images."""
    found: dict[Pair, float] = {}
    for model in models:
        names = {model.image(i).name for i in model.reg_image_ids()}
        if new_images is not None and new_images.isdisjoint(names):
            continue
        for pair, share in predicted_overlaps(model).items():
            if share >= _MIN_OVERLAP:
                found[pair] = max(found.get(pair, 0.0), share)
    return found


def overlap_chance(share: float) -> float:
    """Chance to verify of a pair that overlaps by this share, by the poses of a model."""
    return round(min(1.0, share / _FULL_OVERLAP), 6)
