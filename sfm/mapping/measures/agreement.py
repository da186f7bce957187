"""Whether poses agree with the verified matches between registered images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pycolmap

from retrieval import Pair

from ..scene.scene import Scene
from ..scene.session import MapperSession
from .epipolar import Views
from .pair_residuals import residual_ratios

AGREED_PX = 4.0
"""Median distance to the epipolar lines up to which the poses of a settled model agree with a pair."""
_AGREED = 2.0
"""Likewise, over the residual of the pair by itself."""
CONTRADICTED_PX = 8.0
"""From here on they contradict it; a fresh pose is rough."""


def agreement(session: MapperSession, *names: str) -> float:
    """Share of the matches of images to registered ones that lie near their epipolar lines, in [0, 1].

    True poses agree with nearly all matches, whatever the depth. A false pose agrees with the few from which
    it was estimated.
    """
    views, registered = Views(session.scene, session.reconstruction), session.registered
    neighbours = session.scene.view_graph.neighbours
    pairs = [Pair.of(name, other) for name in names for other in neighbours(name) if other in registered]
    found = np.concatenate([np.zeros(0), *(views.errors_px(pair) for pair in pairs)])
    return float(np.mean(found <= CONTRADICTED_PX)) if len(found) else 0.0


def contradicted_share(scene: Scene, model: pycolmap.Reconstruction) -> float:
    """Share of the matches within a model that belong to contradicted pairs, in [0, 1].

    A correct model agrees with nearly all pairs but those of visual aliasing. A model with a wrong turn
    contradicts the pairs across it, however small its reprojection errors are.
    """
    edges = scene.view_graph.edges
    errors = median_errors_px(scene, model, edges)
    return contradicted_matches(errors, errors, {pair: edges[pair].num_inliers for pair in errors})


def contradicted_matches(
    pairs: Collection[Pair], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int]
) -> float:
    """Share of the matches of `pairs` that belong to those which the poses contradict, in [0, 1]."""
    against = sum(inliers[pair] for pair in pairs if errors_px[pair] > CONTRADICTED_PX)
    return against / max(sum(inliers[pair] for pair in pairs), 1)


def median_errors_px(
    scene: Scene, model: pycolmap.Reconstruction, pairs: Iterable[Pair]
) -> Mapping[Pair, float]:
    """Median Sampson distance, px, of the matches of each of `pairs` whose images are both in the model."""
    return Views(scene, model).median_errors_px(pairs)


def agreeing_pairs(
    scene: Scene, errors_px: Mapping[Pair, float], *, beside: Collection[Pair] = ()
) -> frozenset[Pair]:
    """Pairs that the poses of a settled model agree with, by the noise of each pair itself.

    Args:
        scene: with the matches.
        errors_px: `median_errors_px` of verified pairs.
        beside: reference pairs for poses that are still rough: a pair agrees if the ratio of its error to
            its own noise is at most twice their median.
    """
    near = {pair: error for pair, error in errors_px.items() if error <= AGREED_PX}
    ratios = residual_ratios(scene, near)
    usual = [ratios[pair] for pair in beside if pair in ratios]
    most = _AGREED * max(float(np.median(usual)) if usual else 1.0, 1.0)
    return frozenset(pair for pair, ratio in ratios.items() if ratio <= most)
