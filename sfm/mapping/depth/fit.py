"""How the depth of one image relates to a model: a robust scale, with a shift where one is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.median_deviation import NORMAL

MIN_POINTS = 12
_MAX_SPREAD = 0.2  # relative; beyond it the image's depth is not used for other points
_FINE_SPREAD = 0.12  # the length of a translation is off by less, whatever the depth is worth
_MAX_OF_PLAIN = 0.8  # of the spread that one depth for all points would have; wrong depth explains nothing
_MIN_SPREAD = 0.01  # no depth is trusted beyond this, however well it fits
_MIN_RANGE = 1.5  # of the depths that a shift is fitted to: 90th over 10th percentile
_MIN_GAIN = 0.7  # of the spread, for a shift to be worth its freedom
_FAR = 1.5  # how far beyond the depths that the fit has seen a depth is still used
_NUM_STEPS = 10

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DepthFit:
    """Model depth = scale * depth + shift, for depths near those from `low` to `high`."""

    scale: float
    shift: float
    spread: float
    """Standard deviation of the relative error, from its median absolute deviation."""
    low: float
    high: float
    """5th and 95th percentile of the depths that were fitted, in the unit of the image."""
    confidence: float
    """Median of the confidences that were fitted."""

    def lift(self, depth: Array, confidence: Array) -> tuple[Array, Array]:
        """Depth in the model and its relative standard deviation, both (N,); NaN where it can't be trusted.

        The deviation grows where the image's confidence is below what it was at the fitted points, and
        outside the fitted range.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            lifted = self.scale * depth + self.shift
            beyond = np.maximum(depth / self.high, self.low / depth)
            doubt = np.sqrt((self.confidence - 1) / (confidence - 1))
            usable = is_known(depth, confidence) & (lifted > 0) & (beyond < _FAR) & (doubt < 3)
        sigma = self.spread * np.maximum(doubt, 1.0) * np.maximum(beyond, 1.0)
        return np.where(usable, lifted, np.nan), np.where(usable, sigma, np.nan)


def fit_depth(depth: Array, confidence: Array, model_depth: Array) -> DepthFit | None:
    """The robust relation of depths to those of a model at the same keypoints, all (N,); NaN where unknown.

    The scale is the median ratio. With many points over a wide range of depth, a shift is fitted too and kept
    if it lowers the spread clearly. None when there are too few points, or when depth explains them no better
    than one depth for all would.
    """
    known = is_known(depth, confidence) & (model_depth > 0)
    if np.count_nonzero(known) < MIN_POINTS:
        return None
    depth, confidence, model_depth = depth[known], confidence[known], model_depth[known]
    weights = confidence - 1
    weights = np.clip(weights, None, 3 * np.median(weights))
    scale, shift = weighted_median(model_depth / depth, weights), 0.0
    spread = _spread(scale * depth, model_depth, weights)
    if len(depth) >= 3 * MIN_POINTS and np.divide(*np.quantile(depth, [0.9, 0.1])) >= _MIN_RANGE:
        line = _line(depth, model_depth, weights, scale)
        if line is not None:
            better = _spread(line[0] * depth + line[1], model_depth, weights)
            if better < _MIN_GAIN * spread:
                (scale, shift), spread = line, better
    plain = _spread(np.full_like(depth, weighted_median(model_depth, weights)), model_depth, weights)
    if spread > _MAX_SPREAD or spread > max(_FINE_SPREAD, _MAX_OF_PLAIN * plain):
        return None
    low, high = np.quantile(depth, [0.05, 0.95])
    spread = max(spread, _MIN_SPREAD)
    return DepthFit(scale, shift, spread, float(low), float(high), float(np.median(confidence)))


def is_known(depth: Array, confidence: Array) -> NDArray[np.bool_]:
    """Where depth is known, (N,); a confidence of 1 counts as unknown."""
    with np.errstate(invalid="ignore"):
        return np.asarray((depth > 0) & (depth < np.inf) & (confidence > 1))


def weighted_median(values: Array, weights: Array) -> float:
    """The value at which half of the weight lies below."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])


def relative_spread(values: Array, weights: Array, centre: float) -> float:
    """Standard deviation relative to `centre`, from the weighted median absolute deviation."""
    return NORMAL * weighted_median(np.abs(values / centre - 1), weights)


def _spread(fitted: Array, model_depth: Array, weights: Array) -> float:
    return relative_spread(fitted / model_depth, weights, 1.0)


def _line(depth: Array, model_depth: Array, weights: Array, scale: float) -> tuple[float, float] | None:
    """Scale and shift by iteratively reweighted least squares on relative errors (Huber's loss)."""
    slope, shift = scale, 0.0
    for _ in range(_NUM_STEPS):
        error = (slope * depth + shift) / model_depth - 1
        width = 1.345 * max(NORMAL * weighted_median(np.abs(error), weights), 1e-4)
        root = np.sqrt(weights * np.minimum(1.0, width / np.maximum(np.abs(error), 1e-12))) / model_depth
        system = np.column_stack((depth, np.ones_like(depth))) * root[:, None]
        (slope, shift), *_ = np.linalg.lstsq(system, model_depth * root, rcond=None)
    low = float(np.quantile(depth, 0.05))
    return (float(slope), float(shift)) if slope > 0 and slope * low + shift > 0 else None
