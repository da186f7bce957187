"""The lens of a camera, found by the matches of a few pairs before anything is known of it.

Each pair is explained by an ordinary lens of any focal length (a fundamental matrix between points with a
little distortion taken off). Next, a fisheye of one focal length and distortion for all pairs (an essential
matrix between rays) is tried. It is accepted if all pairs together are clearly likelier under it: fundamental
matrices have two more free parameters a pair. Otherwise an ordinary lens of one focal length and distortion
is accepted if no other focal length explains the pairs nearly as well, or if a given one is much worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .lens_likelihood import (
    FISHEYE,
    NOISE_OF_MATCH,
    ORDINARY,
    Array,
    Explanation,
    Lens,
    MatchedPoints,
    num_matches,
    peak_of,
)

_MIN_PAIRS = 3
_MIN_GAIN = 30.0
"""Of the log-likelihood, all pairs together: one in 10^13 by chance."""
_MAX_LOSS_OF_MATCH = 0.3
"""On average: a focal length and a distortion that are some per cent off cost so much."""
_MIN_SIGMAS = 1.0
_DIVISIONS = (0.0, -0.1, -0.2)
"""Distortion of ordinary lenses: of the division model, in units of half the diagonal."""
_FIELDS_DEG = (90.0, 108.0, 129.0, 155.0, 186.0)
"""Fields of view of fisheyes across the longer side; SIMPLE_RADIAL serves those of narrower ones."""
_FINER = (0.82, 0.87, 0.91, 0.95, 1.0, 1.05, 1.1)
_FISHEYE_DISTORTIONS = (-0.03, 0.0, 0.05)
_SHORTEST, _STEP, _NUM_STEPS = 0.5, 1.25, 8
"""Focal lengths of ordinary lenses: the shortest, in longer sides, and how they grow from there."""
_DISTORTIONS = (-0.15, -0.05, 0.03)
_MAX_MATCHES = 400  # of a pair; more only cost time


@dataclass(frozen=True, slots=True)
class LensFit:
    """The lens that explains some pairs best."""

    model: str
    """SIMPLE_RADIAL or SIMPLE_RADIAL_FISHEYE."""
    focal_px: float
    k: float
    """Distortion of that model."""
    num_pairs: int
    num_matches: int
    gain: float
    """Log-likelihood, all pairs together: of a fisheye above that of an ordinary lens, of an ordinary lens
    above that of the given focal length, or else of another one."""
    sigmas: float
    """Mean gain of a pair over its standard error, by the scatter between pairs; no pair counts for more
    than the gain that all need together."""

    @property
    def decisive(self) -> bool:
        """Whether the pairs clearly speak for it."""
        enough = max(_MIN_GAIN, NOISE_OF_MATCH * self.num_matches)
        return self.num_pairs >= _MIN_PAIRS and self.gain >= enough and self.sigmas >= _MIN_SIGMAS


def fit_lens(
    pairs: Sequence[MatchedPoints],
    width: int,
    height: int,
    *,
    seed: int,
    given_px: float | None = None,
    is_fisheye: bool = False,
) -> LensFit | None:
    """The lens that explains the pairs best; None without pairs, or where no lens could be believed.

    Args:
        pairs: of one camera's images.
        width: of the images, px.
        height: of the images, px.
        seed: of everything random.
        given_px: the focal length that an ordinary lens is said to have; others are looked for only where the
            pairs contradict it.
        is_fisheye: whether the lens is known to be one, so that no ordinary ones are looked for.
    """
    if not pairs:
        return None
    lens = Lens(width, height, seed)
    thinned = [pair.thinned(_MAX_MATCHES) for pair in pairs]
    num = num_matches(thinned)
    by_division = np.array([[lens.as_ordinary(pair, k) for pair in thinned] for k in _DIVISIONS])
    any_focal = by_division[by_division.sum(axis=1).argmax()]
    fisheye = _likeliest_fisheye(lens, thinned, any_focal)
    found = _fit(fisheye, thinned, any_focal) if fisheye else None
    decisive = found is not None and found.decisive
    given = _likeliest_distortion(lens, thinned, given_px) if given_px and not decisive else None
    fits = given is not None and given.by_pair.sum() >= any_focal.sum() - NOISE_OF_MATCH * num
    if not decisive and (is_fisheye or fits):
        return found
    ordinary = _likeliest_ordinary(lens, thinned)
    if fisheye and decisive:
        return _fit(fisheye, thinned, max((any_focal, ordinary.best.by_pair), key=np.sum))
    # Images may differ in zoom.
    loss = _MAX_LOSS_OF_MATCH if given else NOISE_OF_MATCH
    if ordinary.best.by_pair.sum() < any_focal.sum() - loss * num or not ordinary.is_between:
        return found
    return _fit(ordinary.best, thinned, given.by_pair if given else ordinary.by_other_focal)


class _Ordinary(NamedTuple):
    best: Explanation
    by_other_focal: Array
    """Log-likelihoods by the best of much longer or shorter focal lengths."""
    is_between: bool
    """Whether longer and shorter ones are less likely: a flat scene fits any that is short enough."""


def _likeliest_fisheye(lens: Lens, pairs: Sequence[MatchedPoints], any_focal: Array) -> Explanation | None:
    """None as soon as no fisheye can win.

    Of few lenses the likeliest one is looked for more finely, even where it is a little less likely than an
    ordinary lens.
    """
    coarse = [lens.explained(pairs, lens.longer / float(np.radians(f)), 0.0, FISHEYE) for f in _FIELDS_DEG]
    near = max(coarse, key=lambda one: one.by_pair.sum())
    if near.by_pair.sum() <= any_focal.sum() - _MAX_LOSS_OF_MATCH * num_matches(pairs):
        return None
    finer = (
        lens.explained(pairs, near.focal_px * factor, k, FISHEYE)
        for factor in _FINER
        for k in _FISHEYE_DISTORTIONS
    )
    return max(finer, key=lambda one: one.by_pair.sum())


def _likeliest_ordinary(lens: Lens, pairs: Sequence[MatchedPoints]) -> _Ordinary:
    """Its focal length is where a parabola through the likelihoods of the three best ones is highest."""
    coarse = [lens.longer * _SHORTEST * _STEP**step for step in range(_NUM_STEPS)]
    near = max(coarse, key=lambda focal_px: lens.explained(pairs, focal_px, 0.0, ORDINARY).by_pair.sum())
    found = [_likeliest_distortion(lens, pairs, float(f)) for f in near * _STEP ** np.linspace(-1, 1, 5)]
    total = np.array([one.by_pair.sum() for one in found])
    best = int(total.argmax())
    other = max((i for i in range(len(found)) if abs(i - best) > 1), key=lambda i: total[i])
    focal_px = found[best].focal_px * _STEP ** (0.5 * peak_of(total[max(best - 1, 0) : best + 2]))
    return _Ordinary(found[best]._replace(focal_px=focal_px), found[other].by_pair, 0 < best < len(found) - 1)


def _likeliest_distortion(lens: Lens, pairs: Sequence[MatchedPoints], focal_px: float) -> Explanation:
    """An ordinary lens of a focal length, with the likeliest of a few distortions."""
    by_k = (lens.explained(pairs, focal_px, k, ORDINARY) for k in _DISTORTIONS)
    return max(by_k, key=lambda one: one.by_pair.sum())


def _fit(found: Explanation, pairs: Sequence[MatchedPoints], otherwise: Array) -> LensFit:
    gain = found.by_pair - otherwise
    votes = np.clip(gain, -_MIN_GAIN, _MIN_GAIN)
    scatter = max(float(np.std(votes, ddof=1)), 1.0) if len(votes) > 1 else np.inf
    sigmas = float(votes.mean() / scatter * np.sqrt(len(votes)))
    return LensFit(
        found.model, found.focal_px, found.k, len(gain), num_matches(pairs), float(gain.sum()), sigmas
    )
