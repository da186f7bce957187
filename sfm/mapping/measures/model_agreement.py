"""What the verified pairs say about models: how far they agree with the poses.

The number compares models however they were found: grown from a seed, or from relative poses that were
averaged. A pair agrees within one model whose poses have its matches near their epipolar lines. Where images
hardly moved, these lines say little of the turn between them. So such a pair must agree in its turn, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set

import numpy as np
import pycolmap

from retrieval import Pair

from ..scene.scene import Scene
from .agreement import CONTRADICTED_PX, median_errors_px
from .pair_turns import Turn, turning_pairs

_MIN_TURN_DEG, _TIMES_ERROR = 3.0, 4.0
"""A turn contradicts poses that differ from it by more than 3° plus 4 times its error."""


def evidence_score(scene: Scene, models: Sequence[pycolmap.Reconstruction], component: Set[str]) -> float:
    """How far the pairs of some images agree with models that hold both their images.

    Each pair counts by the logarithm of its inliers, about the log odds that it is true. It counts in full
    where its matches lie on their epipolar lines, against the models where they lie `CONTRADICTED_PX` off or
    its turn contradicts the poses, and in proportion between.
    """
    edges = scene.view_graph.edges
    weights = {p: math.log(edges[p].num_inliers) for p in edges if p.a in component and p.b in component}
    agreement: dict[Pair, float] = {}
    for model in models:
        errors = median_errors_px(scene, model, weights)
        near = {pair for pair, error in errors.items() if error <= CONTRADICTED_PX}
        turns = turning_pairs(scene, near, model).items()
        beside = {pair for pair, turn in turns if _is_beside(scene, model, pair, turn)}
        for pair, error in errors.items():
            value = -1.0 if pair in beside else 1 - 2 * min(error / CONTRADICTED_PX, 1.0)
            agreement[pair] = max(value, agreement.get(pair, -1.0))
    return sum(weights[pair] * value for pair, value in agreement.items())


def _is_beside(scene: Scene, model: pycolmap.Reconstruction, pair: Pair, turn: Turn) -> bool:
    """Whether the poses of a pair turn it otherwise than its matches do."""
    a, b = (model.image(scene.id_of[name]).cam_from_world().rotation.matrix() for name in pair)
    cosine = (np.trace(turn.b_from_a.T @ b @ a.T) - 1) / 2
    beside_deg = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
    return bool(beside_deg > _MIN_TURN_DEG + _TIMES_ERROR * turn.error_deg)
