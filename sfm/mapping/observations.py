"""What registered photos see, as arrays: pycolmap hands it out one object an observation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pycolmap


def seen_by(image: pycolmap.Image) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Ids of the points that a photo observes, (N,), and where it sees them, (N, 2) px."""
    return _arrays(image.get_observation_points2D())


def some_seen_by(image: pycolmap.Image, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """As `seen_by`, of at most so many of the observations, evenly spread over their list."""
    points2D = image.get_observation_points2D()
    return _arrays(points2D[:: -(-len(points2D) // count) or 1])


def points_of_pairs(model: pycolmap.Reconstruction) -> dict[int, tuple[int, int]]:
    """The points that two photos alone observe: id of the point to those of the images."""
    pairs = {}
    for point_id, point in model.points3D.items():
        track = point.track
        if track.length() == 2:
            first, second = track.elements
            pairs[point_id] = (first.image_id, second.image_id)
    return pairs


def _arrays(
    points2D: Iterable[pycolmap.Point2D],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    points2D = list(points2D)
    ids = np.array([point.point3D_id for point in points2D], np.int64)
    return ids, np.array([point.xy for point in points2D], np.float64).reshape(-1, 2)
