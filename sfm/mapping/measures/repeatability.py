"""Repeatability: whether images observe again what a model predicts them to see of each other's points.

Repeatability is the share of the features of one image that are found again in another, of those in their
common view (Mikolajczyk et al. 2005, "A Comparison of Affine Region Detectors"). Images that are rightly
close to each other share most of what both see. Where visual aliasing places images of one object beside
those of another, they share the repeated surface alone, and nothing of what stands around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

import numpy as np
import pycolmap
from numpy.typing import NDArray

from retrieval import Pair

from .covisibility import PredictedCovisibility, near_points
from .observations import points_of_second

_MAX_ANGLE_DEG = 20.0
_MAX_SCALE = 1.5
_FALL = 0.043
"""Of the log-odds of a point to be observed again, for each degree between the viewing directions."""
_MIN_POINTS = 8
_PRIOR_PAIRS = 2
"""Prior: an image's mean includes this many pairs of log-odds 0."""
_MAX_LOG_ODDS = 2.0
"""Detectors repeat no better: beyond, it is no further evidence."""


def repeatabilities(
    model: pycolmap.Reconstruction,
    pairs: Iterable[Pair],
    first_of_second: Mapping[int, int] | None = None,
    *,
    covisibility: PredictedCovisibility | None = None,
) -> dict[Pair, float]:
    """Log-odds that a point of one image is observed in the other, as if both looked in one direction.

    Points count that one of the two observes and the other is predicted to see (`PredictedCovisibility`),
    within 20 degrees and 1.5 times the size. Pairs with fewer than 8 such points are left out. Of points of
    two matchers, those that are observed again more often count: a pair need not be matched by both.

    Args:
        model: left unchanged.
        pairs: in question; those that are not within the model are left out.
        first_of_second: as `Scene.first_of_second`.
        covisibility: of the model, where it is known.
    """
    views = {view.name: view for view in (covisibility or PredictedCovisibility.of(model)).views}
    num_ids = 1 + max(model.point3D_ids(), default=0)
    of_second, observed = np.zeros(num_ids, bool), np.zeros(num_ids, bool)
    of_second[points_of_second(model, first_of_second or {})] = True
    within = [(a, b) for a, b in pairs if views.keys() >= {a, b}]
    ordered = sorted([*within, *((b, a) for a, b in within)])
    counts: dict[tuple[Pair, bool], NDArray[np.float64]] = {}
    for name, group in groupby(ordered, key=lambda one: one[0]):
        sources = [views[source] for _, source in group]
        observed[views[name].observed] = True
        for source, ids, angles_deg in near_points(
            sources, views[name], max_angle_deg=_MAX_ANGLE_DEG, max_scale=_MAX_SCALE
        ):
            again, second, pair = observed[ids], of_second[ids], Pair.of(source.name, name)
            for is_second in (False, True):
                own = second == is_second
                found = np.array([own.sum(), again[own].sum(), angles_deg[own].sum()], np.float64)
                counts[pair, is_second] = counts.get((pair, is_second), np.zeros(3)) + found
        observed[views[name].observed] = False
    best: dict[Pair, float] = {}
    for (pair, _), found in sorted(counts.items()):
        if found[0] >= _MIN_POINTS:
            best[pair] = max(_log_odds(*found), best.get(pair, -np.inf))
    return best


def lower_half_means(values: Mapping[Pair, float]) -> dict[str, float]:
    """Of each image the mean of the lower half of its pairs; nearer to 0 where these are few."""
    of_image: dict[str, list[float]] = {}
    for pair, value in values.items():
        for name in pair:
            of_image.setdefault(name, []).append(value)
    return {
        name: float(np.mean(sorted(own)[: (len(own) + 1) // 2])) * len(own) / (len(own) + _PRIOR_PAIRS)
        for name, own in of_image.items()
    }


def _log_odds(num_points: float, num_again: float, sum_of_angles_deg: float) -> float:
    odds = (num_again + 0.5) / (num_points - num_again + 0.5)
    return min(float(np.log(odds) + _FALL * sum_of_angles_deg / num_points), _MAX_LOG_ODDS)
