"""Whether the poses and cameras of a model fit its pairs as well as each pair fits itself.

The median Sampson distance of the matches of a pair, by the model, over that by a fundamental matrix of the
pair alone. A model that is right has a ratio near 1; one with a wrong focal length, or bent by false matches,
has more, however small its reprojection errors are: points move to where they fit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pycolmap

from retrieval import Pair

from ..scene.scene import Scene
from .agreement import AGREED_PX
from .pair_residuals import residual_ratios

_BENT = 1.5
_MIN_PAIRS, _MAX_PAIRS = 3, 60
_MIN_MATCHES = 40


def residual_ratio(
    scene: Scene, model: pycolmap.Reconstruction, errors_px: Mapping[Pair, float]
) -> float | None:
    """Median ratio over pairs; None where too few pairs agree with the model, or a camera is spherical.

    Pairs that contradict the model do not count: they may be false.

    Args:
        scene: with the matches.
        model: left unchanged.
        errors_px: median Sampson distance by the model, of pairs within it.
    """
    if any(camera.is_spherical() for camera in model.cameras.values()):
        return None
    edges = scene.view_graph.edges
    pairs = sorted(
        pair
        for pair, error in errors_px.items()
        if error <= AGREED_PX and edges[pair].num_inliers >= _MIN_MATCHES
    )
    if len(pairs) < _MIN_PAIRS:
        return None
    pairs = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, _MAX_PAIRS).astype(np.int64))]
    ratios = residual_ratios(scene, {pair: errors_px[pair] for pair in pairs})
    return float(np.median([*ratios.values()]))


def is_bent(ratio: float | None) -> bool:
    """Whether the poses or cameras of a model of this residual ratio are probably wrong."""
    return ratio is not None and ratio > _BENT
