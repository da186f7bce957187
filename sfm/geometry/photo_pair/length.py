"""The length of a translation whose direction is known, from the depth of matches in both photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .epipolar import unit_depths

Array = NDArray[np.float64]

_DEPTH_ERROR = 0.02
"""Relative, of single pixels; weighs matches against the errors of their parallax."""
_WINDOW = 0.05
"""Logarithms of lengths farther than this from the mode, and four standard deviations, do not count."""
_STEPS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """The length that each match gives with the depth of one photo, and how much it counts.

    Attributes:
        sigmas: (N,), what the errors of positions alone make of them.
        weights: (N,), after outliers have lost theirs.
        mode: their robust mean.
        spread: standard deviation beyond what the positions explain.
    """

    sigmas: Array
    weights: Array
    mode: float
    spread: float

    def again(self, log_lengths: Array) -> float:
        """The mean of other votes with the same weights."""
        counted = self.weights > 0
        weights = self.weights[counted]
        return float(weights @ np.nan_to_num(log_lengths[counted]) / weights.sum())


def log_lengths(
    rays: tuple[Array, Array], depths: tuple[Array, Array], turn: Array, way: Array
) -> tuple[Array, Array, Array]:
    """Logarithms (N,) of the lengths by the depth of a and by that of b, and the sines of the parallax.

    A match with metric depth z whose rays meet at depth u for a baseline of length 1 says that the length is
    z / u. NaN where it has no depth, or its rays meet behind a camera.
    """
    unit_a, unit_b, sines = unit_depths(rays, turn, way)
    before = (unit_a > 0) & (unit_b > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = [
            np.where(before & (depth > 0), np.log(depth / np.where(before, unit, 1.0)), np.nan)
            for depth, unit in zip(depths, (unit_a, unit_b), strict=True)
        ]
    return logs[0], logs[1], sines


def votes(values: Array, sines: Array, error_rad: float) -> Votes | None:
    """The mode of votes by Tukey's biweight around their weighted median; None where there are none.

    Args:
        values: (N,), logarithms of lengths.
        sines: (N,), of the parallax.
        error_rad: standard deviation of the direction of a ray.
    """
    sigmas = error_rad / np.maximum(sines, 1e-9)
    certain = 1 / (_DEPTH_ERROR**2 + sigmas**2)
    known = np.isfinite(values)
    if not known.any():
        return None
    filled, window = np.where(known, values, 0.0), _WINDOW + 4 / np.sqrt(certain)
    mode = _weighted_median(values[known], certain[known])
    for _ in range(_STEPS):
        inside = np.clip(1 - ((filled - mode) / window) ** 2, 0, 1)
        weights = np.where(known, certain * inside**2, 0.0)
        mode = float(weights @ filled / weights.sum())
    variance = float(weights @ (filled - mode) ** 2 / weights.sum())
    explained = float(weights @ sigmas**2 / weights.sum())
    return Votes(sigmas, weights, mode, np.sqrt(max(variance - explained, 0.0)))


def _weighted_median(values: Array, weights: Array) -> float:
    order = np.argsort(values)
    summed = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(summed, summed[-1] / 2)])
