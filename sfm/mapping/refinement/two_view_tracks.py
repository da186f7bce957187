"""Tracks of length 2, which no third image confirms, yet some images have few others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pycolmap

from ..growing.steps import FIRM

_MOSTLY_FIRM = 0.95  # of the images


def drop_points_of_pairs(
    model: pycolmap.Reconstruction, delete: Callable[[int], object] | None = None
) -> None:
    """Delete tracks of length 2 where both images see enough other points.

    Args:
        model: changed.
        delete: how to, of a model that a mapper is at work on.
    """
    delete = delete or model.delete_point3D
    pairs = _points_of_pairs(model)
    firm = _firm(model, pairs.values())
    for point_id, (first, second) in pairs.items():
        if first in firm and second in firm:
            delete(point_id)


def is_weak(model: pycolmap.Reconstruction) -> bool:
    """Whether more than a few images see few points with tracks longer than 2."""
    return len(_firm(model, _points_of_pairs(model).values())) < _MOSTLY_FIRM * model.num_reg_images()


def _points_of_pairs(model: pycolmap.Reconstruction) -> dict[int, tuple[int, int]]:
    """Id of each such point to those of the two images."""
    pairs = {}
    for point_id, point in model.points3D.items():
        track = point.track
        if track.length() == 2:
            first, second = track.elements
            pairs[point_id] = (first.image_id, second.image_id)
    return pairs


def _firm(model: pycolmap.Reconstruction, pairs: Iterable[tuple[int, int]]) -> set[int]:
    """Ids of the images that see enough points with tracks longer than 2; the other points are `pairs`."""
    alone = Counter(image_id for pair in pairs for image_id in pair)
    return {i for i in model.reg_image_ids() if model.image(i).num_points3D - alone[i] >= FIRM}
