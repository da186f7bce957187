"""Cross-validation of freed intrinsics: how well those of some images suit the images left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .linearized_observations import LinearizedObservations
from .reduced_system import ReducedSystem, Step, summed

Array = npt.NDArray[np.float64]

_NUM_FOLDS = 8  # an image in eight: without a quarter of them, weakly connected images lose their hold
_NUM_FOLDS_OF_MANY = 4
_MANY = 32  # images
_MIN_OBSERVATIONS = 10  # of an image that is held out, of points that others fix


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What freeing more did to images that were left out of the adjustment."""

    gain: float
    """Share of the sum of squared residuals that falls away; negative: it grows."""
    sigmas: float
    """Mean fall of the logarithm of an image's sum, weighted by observations, in its standard errors."""


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Systems of normal equations without a part of the images each."""

    seen: LinearizedObservations
    systems: Sequence[ReducedSystem]
    tested: Sequence[npt.NDArray[np.bool_]]
    """Observations by the images left out, of points that the others see twice."""

    @classmethod
    def of(cls, seen: LinearizedObservations) -> Folds:
        """Parts of the camera's images, spread over all of them, are left out in turn."""
        systems, tested = [], []
        num = min(_NUM_FOLDS if len(seen.own) <= _MANY else _NUM_FOLDS_OF_MANY, len(seen.own))
        for fold in range(num):
            out = np.isin(seen.image, seen.own[fold::num])
            known = np.bincount(seen.point[~out], minlength=seen.num_points)[seen.point] >= 2
            systems.append(ReducedSystem.of(seen.where(~out & known)))
            tested.append(out & known)
        return cls(seen, systems, tested)

    def steps(self, free: Sequence[int], prior: Array) -> Array:
        """(F, D) where the intrinsics go without each part of the images."""
        return np.array([system.step(free, prior).intrinsics for system in self.systems])

    def compare(self, before: Sequence[int], after: Sequence[int], prior: Array) -> HeldOut:
        """Images left out, their poses fitted to points and intrinsics that the others came to."""
        old, new = [np.zeros((0, 2))], [np.zeros((0, 2))]
        for system, tested in zip(self.systems, self.tested, strict=True):
            seen = self.seen.where(tested)
            old.append(_squares(seen, system.step(before, prior)))
            new.append(_squares(seen, system.step(after, prior)))
        weight, was = np.concatenate(old).T
        now = np.concatenate(new)[:, 1]
        if len(was) < _NUM_FOLDS or not min(was.min(), now.min()) > 0:
            return HeldOut(0.0, 0.0)
        weight = weight / weight.sum()
        falls = np.log(was / now)
        mean = float(weight @ falls)
        error = math.sqrt(float(weight**2 @ (falls - mean) ** 2) * len(falls) / (len(falls) - 1))
        return HeldOut(1 - float(now.sum() / was.sum()), mean / max(error, 1e-12))


def _squares(seen: LinearizedObservations, step: Step) -> Array:
    """(N, 2) number of observations and weighted sum of squared residuals of each image, its pose fitted."""
    moved = seen.residual + seen.by_intrinsics @ step.intrinsics
    moved += np.einsum("mij,mj->mi", seen.by_point, step.points[seen.point])
    weighted = seen.weight[:, None, None] * seen.by_pose.swapaxes(1, 2)
    gradient = summed(weighted @ moved[:, :, None], seen.image, seen.num_images)
    hessian = summed(weighted @ seen.by_pose, seen.image, seen.num_images)
    squares = np.bincount(seen.image, seen.weight * np.sum(moved**2, axis=1), seen.num_images)
    count = np.bincount(seen.image, minlength=seen.num_images)
    at = count >= _MIN_OBSERVATIONS
    pose = np.linalg.pinv(hessian[at], rcond=1e-12, hermitian=True) @ gradient[at]
    return np.stack((count[at], squares[at] - np.sum(gradient[at] * pose, axis=(1, 2))), axis=1)


def jackknife(steps: Array) -> Array:
    """(D,) standard deviations from estimates (F, D) without one part of F each (Efron 1982)."""
    num = len(steps)
    return np.asarray(np.sqrt((num - 1) / num * np.sum((steps - steps.mean(axis=0)) ** 2, axis=0)))
