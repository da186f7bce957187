"""Which loss suits the residuals of a finished model: squares where they are Gaussian, Cauchy's where not.

Least squares are best for Gaussian residuals alone. Residuals of images have heavy tails, since filters let
many standard deviations pass. A few outliers then weigh as much as all good observations.
"""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import pycolmap

from sfm.config.schema import LossFunction

from ..measures.residuals import noise_px, residual_lengths

_HEAVY = 1.15  # ratio of two estimates of sigma; Gaussian residuals cut at 4 px come to 1.03
_SCALE = 2.0  # sigmas


def with_fitting_loss(
    options: pycolmap.BundleAdjustmentOptions, model: pycolmap.Reconstruction, loss_function: LossFunction
) -> pycolmap.BundleAdjustmentOptions:
    """A copy of the options of an adjustment with the loss that suits the model's residuals, or the user."""
    chosen = copy.deepcopy(options)
    sigma, tail = _spread(residual_lengths(model))
    if loss_function == "CAUCHY" or (loss_function == "evidence" and tail > _HEAVY):
        chosen.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
        chosen.ceres.loss_function_scale = max(_SCALE * sigma, 1e-3)
    return chosen


def is_robust(options: pycolmap.BundleAdjustmentOptions) -> bool:
    """Whether an adjustment minimises something else than squares."""
    return bool(options.ceres.loss_function_type != pycolmap.LossFunctionType.TRIVIAL)


def _spread(lengths: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Sigma of a coordinate by the median, px, and the root mean square's ratio to it: 1 for a Gaussian."""
    if not (sigma := noise_px(lengths)) > 0:
        return 0.0, 1.0
    return sigma, float(np.sqrt(np.mean(lengths**2) / 2)) / sigma
