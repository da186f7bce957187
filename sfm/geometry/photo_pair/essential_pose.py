"""The pose of a pair by its essential matrix, with a length from the depth of both photos."""

from __future__ import annotations

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.optimize import least_squares

from kernels.median_deviation import median_deviation

from .epipolar import moved, signed_sampson_px, tangents
from .length import Votes, log_lengths, votes
from .scatter import scatter_covariance
from .values import Array, MetricPose, PairObservations

_STEP = 1e-6
_ROUNDS = 4
_MAX_SIGMAS = 3.0
_MIN_INLIERS = 8
"""With fewer, five parameters and their scatter are not known."""


def essential_pose(pair: PairObservations, *, max_error_px: float, seed: int) -> MetricPose | None:
    """Rotation and direction that most matches agree with, by LO-RANSAC and refinement, then the length.

    None where no essential matrix is found, or no match tells the length.
    """
    found = _rotation_and_direction(pair, max_error_px, seed)
    if found is None:
        return None
    turn, way, epipolar = found
    rays = (pair.rays[0][epipolar], pair.rays[1][epipolar])
    depths = pair.depth_a[epipolar], pair.depth_b[epipolar]
    focals = pair.camera_a.mean_focal_length(), pair.camera_b.mean_focal_length()
    residuals = signed_sampson_px(rays, focals, turn, way)
    error_px = float(np.sqrt(np.mean(residuals**2)))
    *logs, sines = log_lengths(rays, depths, turn, way)
    by_photo = [votes(values, sines, error_px / min(focals)) for values in logs]
    both = [found for found in by_photo if found is not None]
    if not both:
        return None
    log_length = float(np.mean([found.mode for found in both]))
    jacobian, slope = np.zeros((len(residuals), 5)), np.zeros(5)
    for column, change in enumerate(np.diag([_STEP] * 5)):
        ends = [moved(turn, way, sign * change) for sign in (1, -1)]
        errors = [signed_sampson_px(rays, focals, *end) for end in ends]
        lengths = [_mean_length(by_photo, log_lengths(rays, depths, *end)) for end in ends]
        jacobian[:, column] = (errors[0] - errors[1]) / (2 * _STEP)
        slope[column] = (lengths[0] - lengths[1]) / (2 * _STEP)
    kept = np.abs(residuals) <= _reach(residuals)
    scatter = scatter_covariance(jacobian[kept], residuals[kept], pair.cells[epipolar][kept])
    if scatter is None:
        return None
    length = float(np.exp(log_length))
    inliers = np.zeros(len(pair.xy_a), bool)
    inliers[np.flatnonzero(epipolar)] = np.sum([found.weights for found in both], axis=0) > 0
    covariance = _covariance(length, way, scatter, slope, _length_variance(both))
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(turn), length * way)
    return MetricPose(pose, "essential", inliers, error_px, covariance)


def _rotation_and_direction(
    pair: PairObservations, max_error_px: float, seed: int
) -> tuple[Array, Array, NDArray[np.bool_]] | None:
    """Of b from a, and which matches (N,) lie within the error of their epipolar lines."""
    options = pycolmap.RANSACOptions()
    options.max_error, options.random_seed = max_error_px, seed
    options.min_num_trials, options.confidence = 200, 0.9999
    sides = pair.camera_a, pair.xy_a, pair.camera_b, pair.xy_b
    found = pycolmap.estimate_relative_pose(*sides, options)
    if found is None or found["num_inliers"] < _MIN_INLIERS:
        return None
    pose: pycolmap.Rigid3d = found["cam2_from_cam1"]
    turn, way = pose.rotation.matrix(), np.asarray(pose.translation, np.float64)
    if not np.linalg.norm(way) > 0:
        return None
    way = way / np.linalg.norm(way)
    rays, focals = pair.rays, (pair.camera_a.mean_focal_length(), pair.camera_b.mean_focal_length())
    for _ in range(_ROUNDS):
        errors = signed_sampson_px(rays, focals, turn, way)
        inliers = np.abs(errors) <= max_error_px
        if np.count_nonzero(inliers) < _MIN_INLIERS:
            return None
        kept = np.abs(errors) <= min(max_error_px, _reach(errors[inliers]))
        turn, way = _refined((rays[0][kept], rays[1][kept]), focals, turn, way)
    return turn, way, inliers


def _refined(
    rays: tuple[Array, Array], focals: tuple[float, float], turn: Array, way: Array
) -> tuple[Array, Array]:
    """The pose after an adjustment of these matches alone."""

    def errors(change: Array) -> Array:
        return signed_sampson_px(rays, focals, *moved(turn, way, change))

    found = least_squares(errors, np.zeros(5), x_scale="jac")
    return moved(turn, way, np.asarray(found.x, np.float64))


def _reach(residuals: Array) -> float:
    """Up to which errors matches count: at the edges of things dense matches err by pixels."""
    return _MAX_SIGMAS * median_deviation(residuals)


def _mean_length(by_photo: list[Votes | None], moved_logs: tuple[Array, Array, Array]) -> float:
    """The logarithm of the length after a small change of the pose, with the same weights of the matches."""
    means = [old.again(new) for old, new in zip(by_photo, moved_logs[:2], strict=True) if old is not None]
    return float(np.mean(means))


def _length_variance(both: list[Votes]) -> float:
    """Of the logarithm of the length: half of the mean square by which the two photos' depths differ.

    They differ as a whole, because each direction of the network has a scale of its own, and from place to
    place. Half, because that is the variance of one of two alike; their mean may be better, but is not where
    both are wrong in the same sense.
    """
    apart = both[0].mode - both[-1].mode
    return 0.5 * (apart**2 + both[0].spread ** 2 + both[-1].spread ** 2)


def _covariance(length: float, way: Array, scatter: Array, slope: Array, variance: float) -> Array:
    """(6, 6), from the covariance of rotation and direction (5, 5), on which the length depends, too."""
    change = np.zeros((6, 5))
    change[:3, :3] = np.eye(3)
    change[3:, 3:] = length * tangents(way)
    change[3:] += length * np.outer(way, slope)
    covariance = change @ scatter @ change.T
    covariance[3:, 3:] += variance * length**2 * np.outer(way, way)
    return np.asarray(covariance)
