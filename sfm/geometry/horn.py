"""Similarity transforms between camera centres, and the distances that remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfm.colmap.model_poses import Poses

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """x -> scale * rotation @ x + translation."""

    scale: float
    rotation: Array
    translation: Array

    def apply(self, points: Array) -> Array:
        """Transform points (N, 3)."""
        return np.asarray(self.scale * points @ self.rotation.T + self.translation, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class TrajectoryError:
    """Root mean square distance of camera centres after a similarity fit (ATE)."""

    raw: float
    """In the unit of the ground truth."""
    normalised: float
    """Divided by the root mean square distance of the true centres from their mean."""
    frobenius: float
    """Divided by the root of the sum of their squared distances from it, the Frobenius norm of the centred
    trajectory, as FlowMap has it: `normalised` over the root of the number of photos."""
    num_photos: int
    metres: float | None = None
    """`raw` in metres, where the ground truth knows what they are."""


def centres(poses: Poses, names: Sequence[str]) -> Array:
    """Camera centres in the world, (N, 3)."""
    found = [poses[name].inverse().translation for name in names]
    return np.array(found, dtype=np.float64).reshape(-1, 3)


def extent(points: Array) -> float:
    """Root mean square distance from the mean."""
    return (
        float(np.sqrt(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1)))) if len(points) else 0.0
    )


def fit_similarity(source: Array, target: Array, weights: Array | None = None) -> Similarity | None:
    """Least-squares similarity that takes `source` to `target`, both (N, 3) (Umeyama 1991).

    None where it is not determined: fewer than three points, or all in one place. Points on a line leave the
    rotation about that line open; any one is returned.
    """
    if (
        len(source) < 3
        or extent(source) <= 1e-12 * max(float(np.abs(source).max()), 1e-300)
        or extent(target) == 0
    ):
        return None
    import roma  # these two take longer to load than all else, and most commands never come here
    import torch

    weight = None if weights is None else torch.from_numpy(weights)
    fit = roma.rigid_points_registration(
        torch.from_numpy(source), torch.from_numpy(target), weights=weight, compute_scaling=True
    )
    rotation, translation, scale = (np.asarray(part, dtype=np.float64) for part in fit)
    return Similarity(float(scale), rotation, translation)


def fit_similarity_robustly(source: Array, target: Array, *, iterations: int = 50) -> Similarity | None:
    """The similarity of the least sum of distances instead of their squares: a few strays do not move it."""
    fit = fit_similarity(source, target)
    floor = 1e-9 * max(extent(target), 1e-300)
    for _ in range(iterations):
        if fit is None:
            return None
        distance = np.linalg.norm(fit.apply(source) - target, axis=1)
        fit = fit_similarity(source, target, 1.0 / np.maximum(distance, floor))
    return fit


def trajectory_error(
    estimated: Poses, true: Poses, names: Sequence[str], *, metres_per_unit: float | None = None
) -> TrajectoryError | None:
    """ATE over the photos of `names` that are in the model; None with fewer than three of them.

    The root mean square distance of centres of the same photo, after the similarity that makes it least; of
    photos that are not in the model it says nothing.
    """
    common = [name for name in names if name in estimated]
    source, target = centres(estimated, common), centres(true, common)
    fit = fit_similarity(source, target)
    if fit is None:
        return None
    distance = np.linalg.norm(fit.apply(source) - target, axis=1)
    raw = float(np.sqrt(np.mean(distance**2)))
    normalised = raw / extent(target)
    return TrajectoryError(
        raw=raw,
        normalised=normalised,
        frobenius=normalised / len(common) ** 0.5,
        num_photos=len(common),
        metres=None if metres_per_unit is None else raw * metres_per_unit,
    )
