"""Robust similarity transforms: of points, and of cameras whose orientation is known on both sides.

Least median of squares (Rousseeuw 1984): no threshold is needed, and up to half of the correspondences may be
wrong. What lies within 2.5 robust standard deviations is then fitted by least squares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sfm.geometry.horn import Similarity, extent

_TRIALS = 300
_SIGMAS = 2.5
_FLOOR = 1e-9
"""Of the extent: residuals below are rounding."""
_LINE = 0.02
"""Second over first singular value of centred points, below which they count for a line."""

Array = NDArray[np.float64]
Fit = Callable[[NDArray[np.int64]], Similarity | None]


@dataclass(frozen=True, slots=True, eq=False)
class RobustFit:
    """A similarity and how well it fits.

    Attributes:
        target_from_source: the transform.
        residuals: (N,), distance of each point from its target, in the target's unit.
        inliers: (N,) whether it had a say.
    """

    target_from_source: Similarity
    residuals: Array
    inliers: NDArray[np.bool_]

    @property
    def sim3(self) -> pycolmap.Sim3d:
        """As pycolmap has it."""
        fit = self.target_from_source
        return pycolmap.Sim3d(fit.scale, pycolmap.Rotation3d(fit.rotation), fit.translation)


def is_line(points: Array) -> bool:
    """Whether points (N, 3) lie on a line, so that they leave the rotation about it open."""
    if len(points) < 3:
        return True
    singular = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(singular[1] <= _LINE * singular[0])


def fit_points(source: Array, target: Array, *, seed: int = 0) -> RobustFit | None:
    """The similarity that takes `source` to `target`, both (N, 3); None with two points, or on a line."""
    if is_line(source) or is_line(target):
        return None

    def fit(rows: NDArray[np.int64]) -> Similarity | None:
        if len(rows) <= 3 and (is_line(source[rows]) or is_line(target[rows])):
            return None
        found = pycolmap.estimate_sim3d(source[rows], target[rows])
        if found is None:
            return None
        return Similarity(float(found.scale), found.rotation.matrix(), found.translation)

    return _least_median(source, target, fit, 3, seed)


def fit_cameras(
    source: Array, target: Array, source_rotations: Array, target_rotations: Array, *, seed: int = 0
) -> RobustFit | None:
    """The similarity that takes cameras to cameras; also of two, and of those on a line.

    The rotation is the one that most cameras agree on; scale and translation follow from the centres.

    Args:
        source: (N, 3), centres.
        target: (N, 3), likewise.
        source_rotations: (N, 3, 3), cam_from_world.
        target_rotations: (N, 3, 3), cam_from_world.
        seed: of the trials.

    Returns:
        None with fewer than two cameras, or where all stand in one place.
    """
    if len(source) < 2 or extent(source) == 0 or extent(target) == 0:
        return None
    turn = _rotation(np.einsum("nji,njk->nik", target_rotations, source_rotations))
    turned = source @ turn.T

    def fit(rows: NDArray[np.int64]) -> Similarity | None:
        a, b = turned[rows], target[rows]
        from_a, from_b = a - a.mean(axis=0), b - b.mean(axis=0)
        spread = float(np.sum(from_a**2))
        scale = float(np.sum(from_a * from_b)) / spread if spread > 0 else 0.0
        if scale <= 0:
            return None
        return Similarity(scale, turn, b.mean(axis=0) - scale * a.mean(axis=0))

    return _least_median(source, target, fit, 2, seed)


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
    near = angles[best] <= max(_SIGMAS * 1.4826 * float(median[best]), 1e-9)
    return np.asarray(Rotation.from_matrix(candidates[near]).mean().as_matrix())


def _angles(rotation: Array, others: Array) -> Array:
    cosine = (np.einsum("ij,nij->n", rotation, others) - 1) / 2
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))


def _least_median(source: Array, target: Array, fit: Fit, least: int, seed: int) -> RobustFit | None:
    rng = np.random.default_rng(seed)
    best: tuple[float, Similarity] | None = None
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


def _residuals(similarity: Similarity, source: Array, target: Array) -> Array:
    return np.asarray(np.linalg.norm(similarity.apply(source) - target, axis=1))
