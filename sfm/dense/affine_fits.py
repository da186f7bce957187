"""Many small affine maps at once, each fitted robustly to a few neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Matrices = TypeVar("Matrices", NDArray[np.float32], NDArray[np.float64])

_ROUNDS = 4
_FIRST_SCALE = 4.0
_MIN_SCALE = 0.35
"""Rounding alone gives residuals of this size, px."""
_MIN_DEVIATION = 0.1
"""No fit is believed to know its residuals better than this, px."""


@dataclass(frozen=True, slots=True)
class AffineFits:
    """n maps y = J x + o and how well their data agree; lengths in the unit of the data (network px)."""

    jacobian: Array
    """(n, 2, 2)."""
    offset: Array
    """(n, 2)."""
    scale: Array
    """(n,) typical residual of the neighbours that count."""
    support: Array
    """(n,) share of the prior weight that agrees with the map."""
    sigma: Array
    """(n,) standard error of a coordinate of the offset."""
    effective: Array
    """(n,) number of neighbours that count, by weight."""
    spread: Array
    """(n,) standard deviation of x along its narrow direction: small leaves the map undetermined across
    it."""


def fit_affine_maps(dx: Array, dy: Array, prior: Array) -> AffineFits:
    """Fit n maps to k neighbours each, by iteratively reweighted least squares with squared Cauchy weights.

    Args:
        dx: (2, n, k) positions around the origin.
        dy: (2, n, k) where they go.
        prior: (n, k) weights >= 0; zero leaves a neighbour out.
    """
    weight, scale = prior, np.full(len(prior), _FIRST_SCALE, prior.dtype)
    for _ in range(_ROUNDS):
        jacobian, offset, spread = _weighted_fit(dx, dy, weight)
        square = np.zeros_like(prior)
        for i in range(2):
            said = jacobian[:, i, :1] * dx[0] + jacobian[:, i, 1:] * dx[1] + offset[:, i, None]
            square += (dy[i] - said) ** 2
        # The first maps are pulled by wrong matches: what counts as typical shrinks round by round.
        typical = np.sqrt(_dot(weight, square) / np.maximum(weight.sum(1), 1e-6))
        scale = np.clip(typical, _MIN_SCALE, scale)
        weight = prior / (1 + square / (4 * scale[:, None] ** 2)) ** 2
    total = np.maximum(weight.sum(1), 1e-6)
    effective = total**2 / np.maximum(_dot(weight, weight), 1e-6)
    variance = np.maximum(_dot(weight, square) / total / 2, _MIN_DEVIATION**2)
    agrees = square < (3 * scale[:, None] + 0.5) ** 2
    return AffineFits(
        jacobian,
        offset,
        scale,
        (prior * agrees).sum(1) / np.maximum(prior.sum(1), 1e-6),
        np.sqrt(variance / np.maximum(effective - 3, 1)),
        effective,
        spread,
    )


def areas(matrices: Matrices) -> Matrices:
    """(n,) sizes of the determinants of (n, 2, 2): how much larger the target shows a surface."""
    return np.abs(_determinants(matrices))


def turns_over(matrices: Array) -> NDArray[np.bool_]:
    """(n,) whether (n, 2, 2) mirror: between a photo and one that is stored mirrored, all do."""
    return np.asarray(_determinants(matrices) < 0)


def inverses(matrices: Matrices) -> Matrices:
    """(n, 2, 2) inverses of (n, 2, 2) that have one."""
    inverse = np.empty_like(matrices)
    inverse[:, 0, 0], inverse[:, 1, 1] = matrices[:, 1, 1], matrices[:, 0, 0]
    inverse[:, 0, 1], inverse[:, 1, 0] = -matrices[:, 0, 1], -matrices[:, 1, 0]
    inverse /= _determinants(matrices)[:, None, None]
    return inverse


def _determinants(matrices: Matrices) -> Matrices:
    return matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]


def _weighted_fit(dx: Array, dy: Array, weight: Array) -> tuple[Array, Array, Array]:
    """J (n, 2, 2), o (n, 2) and the spread (n,) by weighted least squares."""
    total = np.maximum(weight.sum(1), 1e-6)
    wx = (weight * dx[0], weight * dx[1])
    mean_x = [part.sum(1) / total for part in wx]
    mean_y = [_dot(weight, part) / total for part in dy]
    xx = [[_dot(wx[i], dx[j]) / total - mean_x[i] * mean_x[j] for j in range(2)] for i in range(2)]
    yx = [[_dot(wx[j], dy[i]) / total - mean_y[i] * mean_x[j] for j in range(2)] for i in range(2)]
    a, b, d = xx[0][0] + 1e-3, xx[0][1], xx[1][1] + 1e-3
    determinant = np.maximum(a * d - b * b, 1e-6)
    jacobian = np.empty((len(weight), 2, 2), weight.dtype)
    for i in range(2):
        jacobian[:, i, 0] = (yx[i][0] * d - yx[i][1] * b) / determinant
        jacobian[:, i, 1] = (yx[i][1] * a - yx[i][0] * b) / determinant
    offset = np.stack(
        [mean_y[i] - jacobian[:, i, 0] * mean_x[0] - jacobian[:, i, 1] * mean_x[1] for i in range(2)], 1
    )
    half = (a + d) / 2
    narrow = half - np.sqrt(np.maximum(half**2 - determinant, 0))
    return jacobian, offset, np.sqrt(np.maximum(narrow, 0))


def _dot(first: Array, second: Array) -> Array:
    """Row by row; einsum over contiguous planes is several times faster than over an (n, k, 2) array."""
    return np.asarray(np.einsum("nk,nk->n", first, second))
