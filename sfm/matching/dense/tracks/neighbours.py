"""Nearest points in the plane, as arrays of one shape and type."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float32]


def nearest_points(
    points: NDArray[np.floating], queries: NDArray[np.floating], count: int
) -> tuple[Array, NDArray[np.intp]]:
    """Distances and rows (N, count) of the nearest of `points` (M, 2), nearest first; count <= M."""
    distance, index = cKDTree(points).query(queries, [*range(1, count + 1)])
    return np.asarray(distance, np.float32), np.asarray(index, np.intp)


def nearest_within(
    points: NDArray[np.floating], queries: NDArray[np.floating], radius: float, *, square: bool = False
) -> tuple[Array, NDArray[np.intp]]:
    """Distance (N,) and row (N,) of the nearest of `points` (M, 2); infinite and meaningless beyond `radius`.

    `square` measures along the axis of the larger difference.
    """
    if len(points) == 0:
        return np.full(len(queries), np.inf, np.float32), np.zeros(len(queries), np.intp)
    tree = cKDTree(points)
    distance, index = tree.query(queries, p=np.inf if square else 2, distance_upper_bound=radius)
    row = np.where(np.isfinite(distance), index, 0)
    return np.asarray(distance, np.float32), np.asarray(row, np.intp)
