"""Similarity transforms between points and between cameras, by least squares and robustly.

The robust fits start from the least median of squares (Rousseeuw 1984), which needs no threshold and bears up
to half of wrong correspondences. Least squares then fits all within 2.5 robust standard deviations.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from kernels.median_deviation import median_deviation

_TRIALS = 300
_REWEIGHTINGS = 50
_SIGMAS = 2.5
_FLOOR = 1e-9
"""Residuals below this share of the extent are rounding errors."""
_LINE = 0.02
"""Ratio of the second to the first singular value of centred points, below which they count as collinear."""

Array = NDArray[np.float64]
Fit = Callable[[NDArray[np.int64]], pycolmap.Sim3d | None]


@dataclass(frozen=True, slots=True, eq=False)
class RobustFit:
    """A similarity and how well it fits.

    Attributes:
        sim3: target from source.
        residuals: (N,) distance of each point from its target, in the target's unit.
        inliers: (N,) whether the last least-squares fit used the point.
    """

    sim3: pycolmap.Sim3d
    residuals: Array
    inliers: NDArray[np.bool_]


def extent(points: Array) -> float:
    """Root mean square distance from the mean."""
    return (
        float(np.sqrt(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1)))) if len(points) else 0.0
    )


def is_line(points: Array) -> bool:
    """Whether points (N, 3) are collinear, so that they leave the rotation about the line open."""
    if len(points) < 3:
        return True
    singular = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(singular[1] <= _LINE * singular[0])


def fit_similarity(source: Array, target: Array, weights: Array | None = None) -> pycolmap.Sim3d | None:
    """Least-squares similarity that takes `source` to `target`, both (N, 3) (Umeyama 1991).

    None where it is not determined: fewer than three points, or all in one place. Collinear points leave the
    rotation about their line open; the result has any one.
    """
    if (
        len(source) < 3
        or extent(source) <= 1e-12 * max(float(np.abs(source).max()), 1e-300)
        or extent(target) == 0
    ):
        return None
    share = np.full(len(source), 1 / len(source)) if weights is None else weights / weights.sum()
    a, b = source - share @ source, target - share @ target
    u, singular, vt = np.linalg.svd((share[:, None] * b).T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn, scale = (u * signs) @ vt, float(singular @ signs / (share @ np.sum(a**2, axis=1)))
    shift = share @ target - scale * turn @ (share @ source)
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(turn), shift)


def fit_similarity_robustly(source: Array, target: Array) -> pycolmap.Sim3d | None:
    """The similarity of the least sum of distances, by iteratively reweighted least squares."""
    fit = fit_similarity(source, target)
    floor = 1e-9 * max(extent(target), 1e-300)
    for _ in range(_REWEIGHTINGS):
        if fit is None:
            return None
        fit = fit_similarity(source, target, 1.0 / np.maximum(_residuals(fit, source, target), floor))
    return fit


def fit_points(source: Array, target: Array) -> RobustFit | None:
    """The robust similarity that takes `source` to `target`, both (N, 3); None if either is collinear."""
    if is_line(source) or is_line(target):
        return None

    def fit(rows: NDArray[np.int64]) -> pycolmap.Sim3d | None:
        if len(rows) <= 3 and (is_line(source[rows]) or is_line(target[rows])):
            return None
        return fit_similarity(source[rows], target[rows])

    return _least_median(source, target, fit, 3)


def fit_cameras(
    source: Array, target: Array, source_rotations: Array, target_rotations: Array
) -> RobustFit | None:
    """The similarity that takes cameras to cameras; also of two, and of those on a line.

    The rotation is the one that most cameras agree on; scale and translation follow from the centres.

    Args:
        source: (N, 3), centres.
        target: (N, 3), likewise.
        source_rotations: (N, 3, 3), cam_from_world.
        target_rotations: (N, 3, 3), cam_from_world.

    Returns:
        None with fewer than two cameras, or where all stand in one place.
    """
    if len(source) < 2 or extent(source) == 0 or extent(target) == 0:
        return None
    turn = _rotation(np.einsum("nji,njk->nik", target_rotations, source_rotations))
    turned, rotation = source @ turn.T, pycolmap.Rotation3d(turn)

    def fit(rows: NDArray[np.int64]) -> pycolmap.Sim3d | None:
        a, b = turned[rows], target[rows]
        from_a, from_b = a - a.mean(axis=0), b - b.mean(axis=0)
        spread = float(np.sum(from_a**2))
        scale = float(np.sum(from_a * from_b)) / spread if spread > 0 else 0.0
        if scale <= 0:
            return None
        return pycolmap.Sim3d(scale, rotation, b.mean(axis=0) - scale * a.mean(axis=0))

    return _least_median(source, target, fit, 2)


def fit_models(source: pycolmap.Reconstruction, target: pycolmap.Reconstruction) -> RobustFit | None:
    """The similarity that takes a model to another one, by the cameras of images that both have, by id."""
    common = sorted(set(source.reg_image_ids()) & set(target.reg_image_ids()))
    images = [[model.image(i) for i in common] for model in (source, target)]
    centres = [np.array([i.projection_center() for i in side]).reshape(-1, 3) for side in images]
    turns = [
        np.array([i.cam_from_world().rotation.matrix() for i in side]).reshape(-1, 3, 3) for side in images
    ]
    return fit_cameras(*centres, *turns)


def _rotation(candidates: Array) -> Array:
    """The mean of those near the one from which the median of the angles to all (N, 3, 3) is least."""
    angles = np.array([_angles(candidate, candidates) for candidate in candidates])
    median = np.median(angles, axis=1)
    best = int(np.argmin(median))
    near = angles[best] <= max(_SIGMAS * median_deviation(angles[best]), 1e-9)
    return np.asarray(Rotation.from_matrix(candidates[near]).mean().as_matrix())


def _angles(rotation: Array, others: Array) -> Array:
    cosine = (np.einsum("ij,nij->n", rotation, others) - 1) / 2
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))


def _least_median(source: Array, target: Array, fit: Fit, least: int) -> RobustFit | None:
    rng = np.random.default_rng(0)
    best: tuple[float, pycolmap.Sim3d] | None = None
    for _ in range(_TRIALS):
        found = fit(rng.choice(len(source), least, replace=False))
        if found is not None:
            median = float(np.median(_residuals(found, source, target)))
            if best is None or median < best[0]:
                best = median, found
    if best is None:
        return None
    floor, similarity = _FLOOR * extent(target), best[1]
    for _ in range(3):
        residuals = _residuals(similarity, source, target)
        # of three coordinates, the median distance is 1.54 standard deviations of one
        sigma = max(float(np.median(residuals)) / 1.54, floor)
        inliers = residuals <= _SIGMAS * np.sqrt(3) * sigma
        similarity = fit(np.flatnonzero(inliers)) or similarity
    return RobustFit(similarity, _residuals(similarity, source, target), inliers)


def _residuals(similarity: pycolmap.Sim3d, source: Array, target: Array) -> Array:
    return np.asarray(np.linalg.norm(similarity * source - target, axis=1))
