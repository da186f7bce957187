"""Log evidence for parameters of a camera: how much likelier the observations are with them than without.

Laplace's approximation: the estimate and its covariance stand for the likelihood, the prior of real lenses
for what may be, and their determinants pay for the freedom (Occam's factor). Observations of one image err
alike, as where a lens moves or matches are wrong, and so do those of images that follow each other and see
the same points. So the covariance is that of independent observations together with the scatter between runs
of images (jackknife; Efron 1982; of blocks: Künsch 1989, "The Jackknife and the Bootstrap for General
Stationary Observations"), and known no better than their number allows: the likelihood is Student's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .linearized_observations import LinearizedObservations
from .reduced_system import ReducedSystem

Array = npt.NDArray[np.float64]

MIN_IMAGES = 3
"""Of a camera; two say nothing of what differs between them."""
_NUM_FOLDS = 8
_PRIOR_FREEDOM = 4  # as many images as independent observations count for, in the covariance
_UNDETERMINED = 1e-2  # of the prior's precision, which keeps normal equations invertible


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Where parameters go when their prior is left out, and how sure that is."""

    shift: Array
    """(d,)"""
    covariance: Array
    """(d, d)"""
    independent: Array
    """(d, d): the covariance if all observations were independent."""
    degrees_of_freedom: int
    """Of the covariance."""

    @property
    def design_effects(self) -> Array:
        """(d,) how many times larger the variances are than of independent observations (Kish 1965)."""
        return np.asarray(np.diagonal(self.covariance) / np.diagonal(self.independent))

    def log_evidence(self, prior: Array, offset: Array) -> float:
        """Natural logarithm of the Bayes factor for freeing the parameters, against the mean of the prior.

        Args:
            prior: (d,) standard deviations.
            offset: (d,) present values less the mean of the prior.
        """
        scale, num = np.outer(prior, prior), len(prior)
        shift, covariance = (self.shift + offset) / prior, self.covariance / scale
        freed = covariance + np.eye(num)
        occam = np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(freed)[1]
        away = shift @ np.linalg.solve(freed, shift)
        return self.log_likelihood_ratio(offset) + float(occam - away) / 2

    def log_likelihood_ratio(self, offset: Array) -> float:
        """Natural logarithm of how much likelier the estimate is than the mean of the prior, by Student's t.

        Args:
            offset: as for `log_evidence`.
        """
        shift, freedom = self.shift + offset, self.degrees_of_freedom
        off = float(shift @ np.linalg.solve(self.covariance, shift))
        return float((freedom + len(shift)) * np.log1p(off / freedom)) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Systems of normal equations of all images, and without a part of the camera's images each."""

    seen: LinearizedObservations
    whole: ReducedSystem
    parts: Sequence[ReducedSystem]

    @classmethod
    def of(cls, seen: LinearizedObservations, whole: ReducedSystem) -> Folds:
        """Images of the camera that follow each other are left out together, one part after the other."""
        parts = np.array_split(seen.own, min(_NUM_FOLDS, len(seen.own)))
        remain = (seen.where(~np.isin(seen.image, part)) for part in parts)
        return cls(seen, whole, [ReducedSystem.of(rest.of_several_images()) for rest in remain])

    def steps(self, free: Sequence[int], prior: Array) -> Array:
        """(F, D) where the intrinsics go without each part of the images."""
        return np.array([part.step(free, prior).intrinsics for part in self.parts])

    def estimate(self, free: Sequence[int], block: Sequence[int], prior: Array) -> Estimate:
        """Parameters of a block, which is among the free ones.

        Args:
            free: indices of intrinsics.
            block: indices of intrinsics.
            prior: (D,) variance of a residual over that of each intrinsic.
        """
        at, loose = list(block), prior.copy()
        loose[at] *= _UNDETERMINED
        where = [list(free).index(i) for i in at]
        independent = self.whole.covariance(free, loose)[np.ix_(where, where)] * self.seen.variance
        scatter = jackknife(self.steps(free, loose)[:, at])
        num = len(self.parts) - 1
        freedom = _PRIOR_FREEDOM + num
        covariance = (_PRIOR_FREEDOM * independent + num * scatter) / freedom
        return Estimate(self.whole.step(free, loose).intrinsics[at], covariance, independent, freedom)


def jackknife(steps: Array) -> Array:
    """(D, D) covariance from estimates (F, D) without one part of F each."""
    apart = steps - steps.mean(axis=0)
    return np.asarray((len(steps) - 1) / len(steps) * apart.T @ apart)
