"""The pose of a pair by PnP: the points of photo a, from its depth, against the pixels of b."""

from __future__ import annotations

import numpy as np
import pycolmap
from scipy.spatial.transform import Rotation

from kernels.median_deviation import median_deviation

from .scatter import scatter_covariance
from .values import Array, MetricPose, PairObservations

_STEP = 1e-6
_MIN_INLIERS = 8


def depth_pose(pair: PairObservations, *, max_error_px: float, seed: int) -> MetricPose | None:
    """The pose that most points agree with, by LO-RANSAC and refinement of the inliers; None: none does."""
    rays = pair.rays[0]
    rows = np.flatnonzero((pair.depth_a > 0) & np.isfinite(rays).all(axis=1))
    if len(rows) < _MIN_INLIERS:
        return None
    points, xy = rays[rows] * pair.depth_a[rows, None], pair.xy_b[rows]
    estimation = pycolmap.AbsolutePoseEstimationOptions()
    estimation.ransac.max_error, estimation.ransac.random_seed = max_error_px, seed
    refinement = pycolmap.AbsolutePoseRefinementOptions()
    refinement.gradient_tolerance = 1e-6
    found = pycolmap.estimate_and_refine_absolute_pose(xy, points, pair.camera_b, estimation, refinement)
    if found is None or found["num_inliers"] < _MIN_INLIERS:
        return None
    agree = np.asarray(found["inlier_mask"], bool)
    pose: pycolmap.Rigid3d = found["cam_from_world"]
    turned, translation = points[agree] @ pose.rotation.matrix().T, np.asarray(pose.translation, np.float64)
    residuals = _projected(pair.camera_b, turned, translation, np.zeros(6)) - xy[agree].ravel()
    jacobian = np.column_stack(
        [
            _projected(pair.camera_b, turned, translation, step)
            - _projected(pair.camera_b, turned, translation, -step)
            for step in np.diag([_STEP] * 6)
        ]
    ) / (2 * _STEP)
    if not np.isfinite(residuals).all():
        return None
    kept = rows[agree]
    covariance = scatter_covariance(jacobian, residuals, np.repeat(pair.cells[kept], 2))
    if covariance is None:
        return None
    depth = turned[:, 2] + translation[2]
    covariance[3:, 3:] += _scale_variance(pair.depth_b[kept] / depth) * np.outer(translation, translation)
    inliers = np.zeros(len(pair.xy_a), bool)
    inliers[kept] = True
    error_px = float(np.sqrt(2 * np.mean(residuals**2)))
    return MetricPose(pose, "pnp", inliers, error_px, covariance)


def _scale_variance(ratios: Array) -> float:
    """Relative, of the depths of a: half of the mean square logarithm of the ratios of both photos' depths,
    since each of the two has half of the error; 0 where b has none."""
    logs = np.log(ratios[ratios > 0])
    if not len(logs):
        return 0.0
    middle = float(np.median(logs))
    spread = median_deviation(logs - middle)
    return 0.5 * (middle**2 + spread**2)


def _projected(camera: pycolmap.Camera, turned: Array, translation: Array, change: Array) -> Array:
    """Image points (2N,) of points after rotation (N, 3), after a change of the pose."""
    in_camera = Rotation.from_rotvec(change[:3]).apply(turned) + translation + change[3:]
    return np.asarray(camera.img_from_cam(in_camera), np.float64).ravel()
