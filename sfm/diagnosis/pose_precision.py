"""The probability that noise leaves poses near the true ones, from their standard deviations.

Poses that agree with all of their pairs are exact only where these determine them. Few points, small angles,
and a focal length or distortion that the photos leave open let whole models bend.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sfm.mapping.pose_consistency.pose_probability import WRONG_SHARE

from .pose_covariance import PoseSigma

_MAX_TURN_DEG, _MAX_SHIFT = 2.0, 0.02
"""Of a right pose, the shift as a share of the extent of its model."""
_UNDERSTATED = 4.0
"""Ratio of errors to formal standard deviations, which take observations for independent."""


def precision(sigmas: Iterable[PoseSigma], extent: float) -> float | None:
    """The probability that as many poses of a model as it needs are within 2° and 2 % of its extent.

    The larger of both errors is taken for normal. None where no standard deviation is known.

    Args:
        sigmas: as for `formal_deviation`.
        extent: likewise.
    """
    formal = formal_deviation(sigmas, extent)
    return None if formal is None else round(chance_within(_UNDERSTATED * formal), 4)


def formal_deviation(sigmas: Iterable[PoseSigma], extent: float) -> float | None:
    """The standard deviation of the pose up to which a model may lack, in units of the largest error.

    Errors of photos that share a camera come together, so one stands for all. None where none is known.

    Args:
        sigmas: formal, with points and free intrinsics marginalised.
        extent: diagonal of the box around the cameras, in the model's unit; positive.
    """
    largest = sorted(
        (max(one.rotation_deg / _MAX_TURN_DEG, one.position / (_MAX_SHIFT * extent)) for one in sigmas),
        reverse=True,
    )
    return largest[int(WRONG_SHARE * len(largest))] if largest else None


def chance_within(deviation: float) -> float:
    """That a normal error of this standard deviation is at most 1."""
    return math.erf(1 / (math.sqrt(2) * deviation)) if deviation > 0 else 1.0
