"""The reduced camera system of one camera's intrinsics, with poses and points free to follow.

These are the normal equations of bundle adjustment at a finished model without points and poses (Schur
complement; Triggs et al. 2000, Bundle Adjustment: A Modern Synthesis, section 6.1). They give the step of any
set of intrinsics, the fall of the residuals and the covariance: a score test (Rao 1948) without an
adjustment.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from .linearized_observations import LinearizedObservations

Array = npt.NDArray[np.float64]

# In the model scaled to unit size, relative to the diagonal: keeps the seven free directions of a model
# invertible, and too weak to be felt in the others.
_DAMPING = 1e-10


@dataclass(frozen=True, slots=True)
class Step:
    """Where one set of intrinsics would move, with all poses and points."""

    intrinsics: Array
    """(D,), zero where not free."""
    poses: Array
    """(N, 6)"""
    points: Array
    """(P, 3)"""


@dataclass(frozen=True, slots=True)
class ReducedSystem:
    """Normal equations of the intrinsics, and what leads from their step to that of poses and points.

    Attributes:
        hessian: (D, D) of half the sum of squared residuals, px^2.
        gradient: (D,).
    """

    hessian: Array
    gradient: Array
    _pose_step: Array
    """(6 N,) with intrinsics held."""
    _pose_by_intrinsics: Array
    """(6 N, D)"""
    _point_step: Array
    """(P, 3) with poses and intrinsics held."""
    _point_by_others: sparse.bsr_matrix
    """(3 P, 6 N)"""
    _point_by_intrinsics: Array
    """(P, 3, D)"""

    @classmethod
    def of(cls, seen: LinearizedObservations) -> ReducedSystem:
        """Eliminate points, then poses."""
        num_images, num_points = seen.num_images, seen.num_points
        weight = seen.weight[:, None, None]
        by_pose, by_point, by_intrinsics = seen.by_pose, seen.by_point, seen.by_intrinsics
        residual = seen.residual[:, :, None]
        pose_t, point_t = weight * by_pose.swapaxes(1, 2), weight * by_point.swapaxes(1, 2)
        intrinsics_t = weight * by_intrinsics.swapaxes(1, 2)

        point_h = summed(point_t @ by_point, seen.point, num_points)
        size = np.trace(point_h, axis1=1, axis2=2)[:, None, None]
        point_h += np.where(size > 0, _DAMPING * size, 1.0) * np.eye(3)  # a point without observations stays
        inverse = np.linalg.inv(point_h)
        point_g = summed(point_t @ residual, seen.point, num_points)
        point_q = summed(point_t @ by_intrinsics, seen.point, num_points)

        cross = _blocks(pose_t @ by_point, seen.image, seen.point, (num_images, num_points))
        scaled = _blocks(
            pose_t @ by_point @ inverse[seen.point], seen.image, seen.point, (num_images, num_points)
        )
        pose_h = _block_diagonal(summed(pose_t @ by_pose, seen.image, num_images))
        pose_h -= (scaled @ cross.T).toarray()
        pose_q = summed(pose_t @ by_intrinsics, seen.image, num_images).reshape(-1, by_intrinsics.shape[2])
        pose_q -= scaled @ point_q.reshape(3 * num_points, -1)
        pose_g = summed(pose_t @ residual, seen.image, num_images).ravel() - scaled @ point_g.ravel()

        hessian = (intrinsics_t @ by_intrinsics).sum(axis=0)
        hessian -= np.einsum("pij,pik,pkl->jl", point_q, inverse, point_q)
        gradient = (intrinsics_t @ residual).sum(axis=0)[:, 0]
        gradient -= np.einsum("pij,pik,pkl->j", point_q, inverse, point_g)

        factor = _factorised(pose_h)
        pose_step = linalg.cho_solve(factor, -pose_g)
        pose_by_intrinsics = linalg.cho_solve(factor, -pose_q)
        return cls(
            hessian=hessian + pose_q.T @ pose_by_intrinsics,
            gradient=gradient + pose_q.T @ pose_step,
            _pose_step=pose_step,
            _pose_by_intrinsics=pose_by_intrinsics,
            _point_step=-(inverse @ point_g)[:, :, 0],
            _point_by_others=-scaled.T,
            _point_by_intrinsics=-(inverse @ point_q),
        )

    def step(self, free: Sequence[int], prior: Array) -> Step:
        """The step to the optimum with the intrinsics in `free`, and priors on them.

        Args:
            free: indices of intrinsics; all others stay as they are.
            prior: (D,) variance of a residual over that of each intrinsic; 0 for none.
        """
        intrinsics = np.zeros(len(self.gradient))
        at = list(free)
        if at:
            hessian = self.hessian[np.ix_(at, at)] + np.diag(prior[at])
            intrinsics[at] = np.linalg.solve(hessian, -self.gradient[at])
        poses = self._pose_step + self._pose_by_intrinsics @ intrinsics
        points = self._point_step + self._point_by_intrinsics @ intrinsics
        points += (self._point_by_others @ poses).reshape(-1, 3)
        return Step(intrinsics, poses.reshape(-1, 6), points)

    def gain(self, free: Sequence[int], prior: Array) -> float:
        """By how much freeing these lowers the sum of squared residuals, px^2."""
        at = list(free)
        if not at:
            return 0.0
        hessian = self.hessian[np.ix_(at, at)] + np.diag(prior[at])
        return float(self.gradient[at] @ np.linalg.solve(hessian, self.gradient[at]))

    def covariance(self, free: Sequence[int], prior: Array) -> Array:
        """(F, F) of these intrinsics, for residuals of unit variance."""
        at = list(free)
        return np.asarray(np.linalg.inv(self.hessian[np.ix_(at, at)] + np.diag(prior[at])))


def summed(values: Array, owner: npt.NDArray[np.int64], num: int) -> Array:
    """Sums of (M, a, b) over the rows of each owner, (num, a, b)."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    pick = sparse.csr_matrix((np.ones(len(owner)), (owner, np.arange(len(owner)))), shape=(num, len(owner)))
    return np.asarray(pick @ flat).reshape(num, *values.shape[1:])


def _blocks(
    values: Array, row: npt.NDArray[np.int64], column: npt.NDArray[np.int64], shape: tuple[int, int]
) -> sparse.bsr_matrix:
    order = np.argsort(row, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=shape[0]))))
    size = (values.shape[1] * shape[0], values.shape[2] * shape[1])
    return sparse.bsr_matrix((values[order], column[order], starts), shape=size)


def _block_diagonal(blocks: Array) -> Array:
    num, size, _ = blocks.shape
    dense = np.zeros((num, size, num, size))
    dense[np.arange(num), :, np.arange(num)] = blocks
    return dense.reshape(num * size, num * size)


def _factorised(matrix: Array) -> tuple[Array, bool]:
    """Cholesky factor, damped as little as rounding allows: poses are free to move as a whole.

    Raises:
        numpy.linalg.LinAlgError: the matrix is not one of a least squares problem.
    """
    diagonal = np.diagonal(matrix)
    size = np.diag(np.maximum(diagonal, diagonal.max() * 1e-6))
    for factor in (1.0, 1e1, 1e2):
        with contextlib.suppress(np.linalg.LinAlgError):
            return linalg.cho_factor(matrix + factor * _DAMPING * size, lower=True, check_finite=False)
    return linalg.cho_factor(matrix + 1e3 * _DAMPING * size, lower=True, check_finite=False)
