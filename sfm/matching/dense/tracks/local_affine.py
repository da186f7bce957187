"""The correspondence field of a pair: where any point of one photo lies in the other, from noisy matches.

Around each match the field is that of a plane: an affine map with a perspective divisor, fitted robustly to
the match's neighbours. A point is transferred by the maps of the matches around it. Averaging over neighbours
takes away most of the rounding of matches to whole pixels. A match without neighbours that agree with it (a
wrong one, or one at a depth edge) gets no map.

All coordinates here are network pixels: photo px over the photo's `photo_px`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .affine_fits import AffineFits, areas, divisors, fit_affine_maps, inverses, turns_over
from .neighbours import nearest_points

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """How a field is fitted; lengths in network px."""

    num_neighbours: int = 20
    """Matches that a map is fitted to beside its own, at most."""
    radius: float = 24.0
    """How far away they may be: three cells of the matcher's grid."""
    min_support: int = 5
    """Neighbours that must be consistent with a match before it is believed."""
    max_stretch: float = 4.0
    """Largest local change of scale between two photos; neighbours that need more are on another surface."""
    slack: float = 2.0
    """Added to what the stretch allows, for noise."""
    reach: float = 6.0
    """How far from the nearest confirmed match a point may be carried over."""
    agreement: float = 1.0
    """How far apart the predictions of the nearest maps may lie."""
    max_residual: float = 1.0
    """Largest typical residual of the neighbours that a map is believed with."""
    max_lopsided: float = 0.6
    """Points are transferred among matches, not beyond them. Length of the mean of the directions to the
    matches around a point: 0 in their midst and 1 where all lie on one side."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Points carried over; rows that aren't `valid` mean nothing."""

    xy: Array
    """(N, 2)."""
    jacobian: Array
    """(N, 2, 2), of the target with respect to the source."""
    sigma: Array
    """(N,) standard error of a coordinate, px, from how well the matches around agree."""
    confidence: Array
    """(N,) mean confidence of the matches around."""
    valid: Mask
    """(N,)."""

    def select(self, rows: NDArray[np.intp]) -> Prediction:
        """Some of the points."""
        return Prediction(
            self.xy[rows], self.jacobian[rows], self.sigma[rows], self.confidence[rows], self.valid[rows]
        )


@dataclass(frozen=True, slots=True)
class AffineField:
    """Matches a -> b that their neighbours confirm, each with its affine map."""

    source: Array
    """(M, 2) in a."""
    target: Array
    """(M, 2) in b: not the match's own position, but where the map takes `source`."""
    jacobian: Array
    """(M, 2, 2), b with respect to a."""
    bend: Array
    """(M, 2) v of each map `target` + J x / (1 + v x), 1 / px."""
    sigma: Array
    """(M,) standard error of a coordinate of `target`, px."""
    confidence: Array
    """(M,) mean over the neighbours."""
    options: FieldOptions

    def __len__(self) -> int:
        return len(self.source)

    def swapped(self) -> AffineField:
        """The field b -> a: the same maps inverted."""
        inverse = inverses(self.jacobian)
        sigma = self.sigma * np.sqrt(areas(inverse))
        bend = np.asarray(-(inverse * self.bend[..., None]).sum(1), np.float32)
        return AffineField(self.target, self.source, inverse, bend, sigma, self.confidence, self.options)

    def predict(self, points: Array) -> Prediction:
        """Transfer points (N, 2) of a to b.

        A prediction is valid where a match is near and the maps around agree. The way back through the
        nearest matches in b must return to the point, as it does not at an occlusion.
        """
        there = self._forward(points)
        back = self.swapped()._forward(there.xy)
        home = np.linalg.norm(back.xy - points, axis=1)
        limit = self.options.agreement * np.maximum(np.sqrt(areas(back.jacobian)), 1.0)
        valid = there.valid & back.valid & (home < limit)
        return Prediction(there.xy, there.jacobian, there.sigma, there.confidence, valid)

    def _forward(self, points: Array) -> Prediction:
        if len(self) == 0 or len(points) == 0:
            return _nothing(len(points))
        count = min(_BLENDED, len(self))
        distance, node = nearest_points(self.source, points, count)
        step, jacobian = points[:, None] - self.source[node], self.jacobian[node]
        divisor = divisors((self.bend[node] * step).sum(2))[..., None]
        moved = (jacobian[..., 0] * step[..., :1] + jacobian[..., 1] * step[..., 1:]) / divisor
        predicted = self.target[node] + moved
        bent = moved[..., :, None] * self.bend[node][..., None, :]
        jacobian = np.asarray((jacobian - bent) / divisor[..., None], np.float32)
        apart = np.linalg.norm(predicted - predicted[:, :1], axis=2)
        limit = self.options.agreement * np.maximum(np.sqrt(areas(jacobian[:, 0])), 1.0)
        agrees = (apart < limit[:, None]) & (distance < 2 * self.options.reach)
        near = np.exp(-0.5 * (distance / np.maximum(_BLEND_WIDTH, distance[:, :1])) ** 2)
        counted = near * agrees
        weight = counted / (_SIGMA_FLOOR + self.sigma[node]) ** 2
        valid = (distance[:, 0] < self.options.reach) & (counted.sum(1) > _MAJORITY * near.sum(1))
        valid &= _lopsided(step, distance, counted) < self.options.max_lopsided
        share = weight / np.maximum(weight.sum(1, keepdims=True), 1e-9)
        return Prediction(
            (share[..., None] * predicted).sum(1),
            (share[..., None, None] * jacobian).sum(1),
            (share * self.sigma[node]).sum(1),
            (share * self.confidence[node]).sum(1),
            valid,
        )


def _lopsided(step: Array, distance: Array, weight: Array) -> Array:
    """(N,) see `FieldOptions.max_lopsided`; a match nearer than a pixel or so is in no direction."""
    towards = step / np.maximum(distance, _AT_A_MATCH)[..., None]
    mean = (weight[..., None] * towards).sum(1) / np.maximum(weight.sum(1, keepdims=True), 1e-9)
    return np.asarray(np.linalg.norm(mean, axis=1), np.float32)


_AT_A_MATCH = 1.5
_BLENDED = 8
"""Maps that are averaged; their neighbourhoods overlap, so more of them add little."""
_BLEND_WIDTH = 8.0
_SIGMA_FLOOR = 0.05
_MAJORITY = 0.75
_MAX_AREA_CHANGE = 36.0
_MIN_SPREAD = 1.0


def fit_affine_field(a: Array, b: Array, confidence: Array, options: FieldOptions) -> AffineField:
    """The field a -> b of M matches.

    Args:
        a: (M, 2) float32, positions in the first photo, network px.
        b: (M, 2) float32, positions in the second.
        confidence: (M,) float32 > 0, weights of the least squares.
    """
    if len(a) <= options.min_support:
        return _empty(options)
    options, stride = _adapted(options, a)
    distance, index = nearest_points(a, a, min(stride * options.num_neighbours + 1, len(a)))
    distance, index = distance[:, ::stride], index[:, ::stride]
    dx, dy = _differences(a, index), _differences(b, index)
    apart = np.sqrt(dy[0] ** 2 + dy[1] ** 2)
    # Matches on one surface keep their distances up to a change of scale; a wrong match is near nobody.
    together = (apart <= options.max_stretch * distance + options.slack) & (
        distance <= options.max_stretch * apart + options.slack
    )
    together &= distance <= options.radius
    rows = np.flatnonzero(together.sum(1) > options.min_support)  # the match itself is among them
    if len(rows) == 0:
        return _empty(options)
    width = 0.6 * np.maximum(distance[rows, -1:], 1.0)
    prior = _clipped(confidence)[index[rows]] * np.exp(-0.5 * (distance[rows] / width) ** 2) * together[rows]
    fits = fit_affine_maps(dx[:, rows], dy[:, rows], prior)
    options = _tolerant(options, fits)
    good = _believed(fits, options)
    rows, prior = rows[good], prior[good]
    return AffineField(
        a[rows],
        b[rows] + fits.offset[good],
        fits.jacobian[good],
        fits.bend[good],
        fits.sigma[good],
        (prior * confidence[index[rows]]).sum(1) / prior.sum(1),
        options,
    )


def _adapted(options: FieldOptions, a: Array) -> tuple[FieldOptions, int]:
    """Options for how far apart the matches lie, and which share of the nearest ones to take as neighbours.

    The defaults are made for starts on every eighth pixel in both photos. Of denser matches only a share are
    neighbours, so that these span some pixels; where matches are sparser, points are transferred further.
    """
    some = a[:: max(1, len(a) // _SAMPLE)]
    radius = float(np.median(nearest_points(a, some, min(options.num_neighbours + 1, len(a)))[0][:, -1]))
    stride = round(min((_LEAST_SPAN / max(radius, 1e-3)) ** 2, _MAX_STRIDE))
    stretch = min(max(radius / _USUAL_SPAN, 1.0), _MAX_STRETCH)
    return replace(options, radius=stretch * options.radius, reach=stretch * options.reach), max(stride, 1)


_SAMPLE = 500
_LEAST_SPAN = 8.0
_USUAL_SPAN = 18.0
_MAX_STRIDE = 16
_MAX_STRETCH = 4.0


def _tolerant(options: FieldOptions, fits: AffineFits) -> FieldOptions:
    """Options for how noisy the matches are: matches of whole photos may come in pixels of windows."""
    usual = float(np.median(fits.scale))
    noise = min(max(_USUAL_RESIDUALS * usual / options.max_residual, 1.0), _MAX_NOISE)
    return replace(options, max_residual=noise * options.max_residual, agreement=noise * options.agreement)


_USUAL_RESIDUALS = 1.2
"""Maps with residuals of more than so many times the median are at depth edges or among wrong matches."""
_MIN_AGREEING = 0.85
"""Share of the neighbours, by weight, that a map has to explain, over the pair's usual share. Wrong matches
are everywhere, another surface is only beyond a depth edge, where maps would be bent outward."""
_MAX_NOISE = 4.0


def _believed(fits: AffineFits, options: FieldOptions) -> Mask:
    """Maps that are determined, mirror if most do, and that their own match and most neighbours confirm."""
    area, mirrored = areas(fits.jacobian), turns_over(fits.jacobian)
    own = np.linalg.norm(fits.offset, axis=1)
    agreeing = max(0.5, _MIN_AGREEING * float(np.median(fits.support)))
    good = (fits.support > agreeing) & (own < 3 * fits.scale + 0.5) & (fits.scale < options.max_residual)
    good &= (fits.spread > _MIN_SPREAD) & (fits.effective > 4)
    good &= (area > 1 / _MAX_AREA_CHANGE) & (area < _MAX_AREA_CHANGE)
    return np.asarray(good & (mirrored == (np.count_nonzero(mirrored & good) > good.sum() / 2)))


def _differences(xy: Array, index: NDArray[np.intp]) -> Array:
    return np.stack([xy[index, i] - xy[:, i, None] for i in range(2)])


def _clipped(confidence: Array) -> Array:
    """Weights from confidences, whose scale differs from pair to pair and which span orders of magnitude."""
    return np.asarray(np.clip(confidence / np.median(confidence), 0.1, 10.0), np.float32)


def _nothing(n: int) -> Prediction:
    zero = np.zeros((n, 2), np.float32)
    one = np.ones(n, np.float32)
    return Prediction(zero, np.tile(np.eye(2, dtype=np.float32), (n, 1, 1)), one, one, np.zeros(n, bool))


def _empty(options: FieldOptions) -> AffineField:
    zero = np.zeros((0, 2), np.float32)
    nothing = np.zeros(0, np.float32)
    return AffineField(zero, zero, np.zeros((0, 2, 2), np.float32), zero, nothing, nothing, options)
