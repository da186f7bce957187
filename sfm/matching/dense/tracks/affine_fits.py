"""Many small maps at once, each fitted robustly to a few neighbours.

Between two photos of a plane the map is a homography. Around a point it is affine but for a common divisor,
y = o + J x / (1 + v x). Without v, o would be off by half of the curvature times the variance of the
neighbours. The error has one sign all over a surface, so that it adds up from pair to pair along a walk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Matrices = TypeVar("Matrices", NDArray[np.float32], NDArray[np.float64])

_ROUNDS = 12
"""Of reweighting: neighbours on another surface a few pixels off lose their weight late."""
_AFFINE_ROUNDS = 2
"""Rounds without v, until the worst of the wrong matches have no weight."""
_FIRST_SCALE = 4.0
_MIN_SCALE = 0.35
"""Rounding alone gives residuals of this size, px."""
_MIN_DEVIATION = 0.1
"""Least standard deviation of the residuals that a fit is given, px."""
_USUAL_BEND = 0.05
"""Standard deviation of a component of v, 1 / px: holds v where the neighbours don't determine it."""
_RIDGE = 1e-3
"""Added to the variance of positions, px squared, so that every map is determined."""
_MAX_TILT = 0.6
"""Divisors differ from 1 by this at most: beyond, a map is extrapolated."""


@dataclass(frozen=True, slots=True)
class AffineFits:
    """n maps y = o + J x / (1 + v x) and how well their data agree; lengths in the unit of the data (network
    px)."""

    jacobian: Array
    """(n, 2, 2) J."""
    offset: Array
    """(n, 2) o."""
    bend: Array
    """(n, 2) v."""
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
    bend = np.zeros((len(prior), 2), prior.dtype)
    for number in range(_ROUNDS):
        if number < _AFFINE_ROUNDS:
            fit = _affine_fit(dx, dy, weight)
        else:
            fit = _bent_fit(dx, dy, weight, scale, bend)
        bend = fit.bend
        # The first maps are pulled by wrong matches: what counts as typical shrinks round by round.
        typical = np.sqrt(_dot(weight, fit.square) / np.maximum(weight.sum(1), 1e-6))
        scale = np.clip(typical, _MIN_SCALE, scale)
        weight = prior / (1 + fit.square / (4 * scale[:, None] ** 2)) ** 2
    total = np.maximum(weight.sum(1), 1e-6)
    effective = total**2 / np.maximum(_dot(weight, weight), 1e-6)
    variance = np.maximum(_dot(weight, fit.square) / total / 2, _MIN_DEVIATION**2)
    agrees = fit.square < (3 * scale[:, None] + 0.5) ** 2
    return AffineFits(
        fit.jacobian,
        fit.offset,
        fit.bend,
        scale,
        (prior * agrees).sum(1) / np.maximum(prior.sum(1), 1e-6),
        np.sqrt(variance / np.maximum(effective - 4, 1)),
        effective,
        fit.spread,
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


class _Fit(NamedTuple):
    """Maps by weighted least squares."""

    jacobian: Array
    """(n, 2, 2)."""
    offset: Array
    """(n, 2)."""
    bend: Array
    """(n, 2)."""
    spread: Array
    """(n,) see `AffineFits`."""
    square: Array
    """(n, k) squared residuals."""


def _affine_fit(dx: Array, dy: Array, weight: Array) -> _Fit:
    jacobian, offset, spread = _weighted_fit(dx, dy, weight)
    square = (_residuals(jacobian, offset, dx, dy) ** 2).sum(0)
    return _Fit(jacobian, offset, np.zeros_like(offset), spread, square)


def _bent_fit(dx: Array, dy: Array, weight: Array, scale: Array, bend: Array) -> _Fit:
    """Maps with v, by a Gauss-Newton step from `bend`.

    With z = x / (1 + v x), a change u of v turns o + J z, to first order, into o + J z - J z (u z). A
    weighted affine fit is removed from the targets and from the products of z. Damped least squares of these
    residuals then give u.
    """
    z = dx / divisors((bend.T[..., None] * dx).sum(0))
    values = np.concatenate((dy, z[:1] * z[:1], z[:1] * z[1:], z[1:] * z[1:]))
    slope, constant, spread = _weighted_fit(z, values, weight)
    rest = _residuals(slope, constant, z, values)
    jacobian = slope[:, :2]
    curve = _curves(jacobian, rest[2:])
    heavy = weight * curve
    a, b, d = ((heavy[:, i] * curve[:, j]).sum((0, 2)) for i, j in ((0, 0), (0, 1), (1, 1)))
    damping = (scale / _USUAL_BEND) ** 2 / 2 * _dot(weight, weight) / np.maximum(weight.sum(1), 1e-6)
    damping = np.maximum(damping, 1e-6)  # no neighbour may have any weight left
    pull = -(heavy * rest[:2, None]).sum((0, 3)) - damping * bend.T
    a, d = a + damping, d + damping
    solved: Array = np.stack((pull[0] * d - pull[1] * b, pull[1] * a - pull[0] * b), 1)
    step: Array = np.divide(solved, _determinant(a, b, d, damping)[:, None])
    square = ((rest[:2] + np.einsum("na,iank->ink", step, curve)) ** 2).sum(0)
    offset = constant[:, :2] + np.einsum("na,ian->ni", step, _curves(jacobian, constant[:, 2:].T))
    turned = np.einsum("na,ianj->nij", step, _curves(jacobian, slope[:, 2:].swapaxes(0, 1)))
    return _Fit(jacobian + turned, offset, bend + step, spread, square)


def divisors(tilt: Array) -> Array:
    """1 + v x, of v x."""
    return np.asarray(1 + np.clip(tilt, -_MAX_TILT, _MAX_TILT))


def _curves(jacobian: Array, products: Array) -> Array:
    """(2, 2, n, ...) components of J x (v x) per component of v, from products (3, n, ...): xx, xy, yy."""
    factor = jacobian.reshape(len(jacobian), 2, 2, *[1] * (products.ndim - 2))
    return np.stack(
        [
            np.stack([factor[:, i, 0] * products[j] + factor[:, i, 1] * products[j + 1] for j in range(2)])
            for i in range(2)
        ]
    )


def _residuals(jacobian: Array, offset: Array, dx: Array, values: Array) -> Array:
    return np.stack(
        [
            value - (jacobian[:, i, :1] * dx[0] + jacobian[:, i, 1:] * dx[1] + offset[:, i, None])
            for i, value in enumerate(values)
        ]
    )


def _weighted_fit(dx: Array, dy: Array, weight: Array) -> tuple[Array, Array, Array]:
    """J (n, m, 2), o (n, m) of values (m, n, k), and the spread (n,) by weighted least squares."""
    total = np.maximum(weight.sum(1), 1e-6)
    wx = (weight * dx[0], weight * dx[1])
    mean_x = [part.sum(1) / total for part in wx]
    mean_y = [_dot(weight, part) / total for part in dy]
    xx = [[_dot(wx[i], dx[j]) / total - mean_x[i] * mean_x[j] for j in range(2)] for i in range(2)]
    yx = [[_dot(wx[j], dy[i]) / total - mean_y[i] * mean_x[j] for j in range(2)] for i in range(len(dy))]
    a, b, d = np.maximum(xx[0][0], 0) + _RIDGE, xx[0][1], np.maximum(xx[1][1], 0) + _RIDGE
    determinant = _determinant(a, b, d, _RIDGE)
    jacobian = np.empty((len(weight), len(dy), 2), weight.dtype)
    for i in range(len(dy)):
        jacobian[:, i, 0] = (yx[i][0] * d - yx[i][1] * b) / determinant
        jacobian[:, i, 1] = (yx[i][1] * a - yx[i][0] * b) / determinant
    offset = (
        np.stack(mean_y, 1) - jacobian[..., 0] * mean_x[0][:, None] - jacobian[..., 1] * mean_x[1][:, None]
    )
    half = (a + d) / 2
    narrow = half - np.sqrt(np.maximum(half**2 - determinant, 0))
    return jacobian, offset, np.sqrt(np.maximum(narrow, 0))


def _determinant(a: Array, b: Array, d: Array, ridge: Array | float) -> Array:
    """a d - b b of sums of products with `ridge` added to a and d; never less than it is but for rounding.

    The difference for neighbours in a line is rounding, of either sign: maps would be of any size.
    """
    return np.asarray(np.maximum(a * d - b * b, ridge * (a + d - ridge)), a.dtype)


def _dot(first: Array, second: Array) -> Array:
    """Row by row; einsum over contiguous planes is several times faster than over an (n, k, 2) array."""
    return np.asarray(np.einsum("nk,nk->n", first, second))
