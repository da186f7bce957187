"""How near points are to a scan, and a scan to points: accuracy, completeness and their F-score.

Knapitsch et al., Tanks and Temples (SIGGRAPH 2017): precision P(d) is the share of reconstructed points
nearer to the scan than d, recall R(d) the share of the scan's points nearer to the reconstruction than d, and
F(d) = 2 P R / (P + R). Schöps et al., ETH3D (CVPR 2017), call the first two accuracy and completeness. Their
own program also knows which space the scanner saw and leaves out points where it did not look; this does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PointScore:
    """At one distance, in per cent."""

    distance: float
    accuracy: float
    completeness: float
    f_score: float


def score_points(points: Array, scan: Array, distances: Sequence[float]) -> tuple[PointScore, ...]:
    """Scores at each distance, of points (N, 3) against a scan (M, 3); zeros where either is empty."""
    to_scan, to_points = _nearest(points, scan), _nearest(scan, points)
    scores = []
    for distance in distances:
        accuracy, completeness = _share(to_scan, distance), _share(to_points, distance)
        both = accuracy + completeness
        f_score = 2 * accuracy * completeness / both if both else 0.0
        scores.append(PointScore(distance, accuracy, completeness, f_score))
    return tuple(scores)


def thinned(points: Array, voxel: float) -> Array:
    """The mean of the points in each cell of a grid: dense spots count no more than others."""
    if not len(points):
        return points
    cells = np.floor(points / voxel).astype(np.int64)
    _, index, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), 3))
    np.add.at(sums, index.ravel(), points)
    return np.asarray(sums / counts[:, None], dtype=np.float64)


def _nearest(points: Array, others: Array) -> Array:
    """Distance of each point to the nearest of the others, (N,); infinite where there are none."""
    if not len(points) or not len(others):
        return np.full(len(points), np.inf)
    return np.asarray(cKDTree(others).query(points)[0], dtype=np.float64)


def _share(distances: Array, limit: float) -> float:
    return float(100 * np.mean(distances < limit)) if len(distances) else 0.0
