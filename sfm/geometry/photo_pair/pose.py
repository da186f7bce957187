"""The pose of a pair of photos in metres: the better of two ways to find it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .depth_pose import depth_pose
from .essential_pose import essential_pose
from .values import MetricPose, PairObservations


def metric_pose(pair: PairObservations, *, max_error_px: float, seed: int) -> MetricPose | None:
    """The pose that more matches agree with, of that by the essential matrix and that by PnP; None: neither.

    The essential matrix uses no depth for rotation and direction, so it is more exact wherever the camera
    has moved; where it only turned, its direction is arbitrary, and the rays of many matches meet behind a
    camera for it.

    Args:
        pair: the matches with their depth.
        max_error_px: largest error of an inlier, to its epipolar line or of its point.
        seed: of RANSAC.
    """
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(np.hstack(pair.rays)).all(axis=1))
    if not finite.all():
        return _of_all(metric_pose(_selected(pair, finite), max_error_px=max_error_px, seed=seed), finite)
    if not len(pair.xy_a):
        return None
    ways = [way(pair, max_error_px=max_error_px, seed=seed) for way in (essential_pose, depth_pose)]
    return max((pose for pose in ways if pose is not None), key=lambda pose: pose.num_inliers, default=None)


def _selected(pair: PairObservations, rows: NDArray[np.bool_]) -> PairObservations:
    """Some of the matches."""
    return replace(
        pair,
        xy_a=pair.xy_a[rows],
        xy_b=pair.xy_b[rows],
        depth_a=pair.depth_a[rows],
        depth_b=pair.depth_b[rows],
    )


def _of_all(pose: MetricPose | None, rows: NDArray[np.bool_]) -> MetricPose | None:
    """A pose by some of the matches, with inliers among all."""
    if pose is None:
        return None
    inliers = np.zeros(len(rows), bool)
    inliers[rows] = pose.inliers
    return replace(pose, inliers=inliers)
