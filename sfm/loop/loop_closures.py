"""Pairs that close loops: images that should match, with high effective resistance in the view graph.

Candidates come from the poses of a model, and from retrieval, which drift of the model does not affect. They
are chosen by D-optimal design and, once there are poses, by A-optimal design (`optimal_design.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import pycolmap

from retrieval import Pair
from sfm.mapping import ViewGraph, predicted_overlaps

from .optimal_design import a_optimal_links, d_optimal_links

_MIN_OVERLAP = 0.15
_FULL_OVERLAP = 0.5
"""From here on a pair nearly always verifies."""
INLIERS_OF_ONE = 100
"""Inliers of a pair of conductance 1."""
_MAX_CONDUCTANCE = 2.0
_MIN_GAIN = 0.7
"""log(1 + w R) below which a D-optimal pair is not requested."""
_MIN_GAIN_IN_DOUBT = 0.2
"""The same where verified pairs may be wrong: correct ones must outnumber them."""
_WORTH = 0.4
"""Of a unit of gain."""
_MIN_FAR_OVERLAP = 0.05
"""Predicted overlap of an A-optimal candidate, at least."""
_MIN_FAR_GAIN = 3.0
"""Gain below which an A-optimal pair is not requested."""
_MIN_FAR_GAIN_OF_MANY = 1.5
"""The same in larger collections."""
_MANY_PHOTOS = 150
"""Images of a larger collection."""
_FAR_WORTH = 0.12
"""Of a unit of log(1 + gain); the gain counts already how likely the pair is to verify."""
_MOST_CANDIDATES = 3000
_MIN_CHANCE = 0.4
"""Chance to verify of a candidate by retrieval, at least."""


@dataclass(frozen=True, slots=True)
class LoopClosure:
    """A pair to request, its chance to verify, and its gain, as in `PairRequest.worth`."""

    pair: Pair
    chance: float
    worth: float
    is_unguided: bool = False
    """As in `PairRequest.is_unguided`."""


def loop_closures(
    models: Sequence[pycolmap.Reconstruction],
    view_graph: ViewGraph,
    tried: Set[Pair],
    similar: Mapping[Pair, float],
    *,
    is_unreliable: bool,
    limit: int,
    deferred: Set[Pair] = frozenset(),
    new_images: Set[str] | None = None,
) -> list[LoopClosure]:
    """Untried pairs that would most reduce the uncertainty of poses, each gain given the pairs before it.

    Args:
        models: of all images registered so far.
        view_graph: verified pairs.
        tried: all pairs matched so far.
        similar: chance to verify of pairs that retrieval proposes.
        is_unreliable: whether there are pairs that are probably wrong.
        limit: pairs by each of the two designs, at most.
        deferred: verified pairs that registration defers.
        new_images: images of which each pair contains one; None: all.
    """

    def is_open(pair: Pair) -> bool:
        return pair not in tried and (new_images is None or not new_images.isdisjoint(pair))

    overlaps = {pair: share for pair, share in _overlaps(models, new_images).items() if is_open(pair)}
    chance = {pair: value for pair, value in similar.items() if value >= _MIN_CHANCE and is_open(pair)}
    for pair, share in overlaps.items():
        if share >= _MIN_OVERLAP:
            chance[pair] = max(chance.get(pair, 0.0), _chance(share))
    held = {pair: _conductance(edge.num_inliers) for pair, edge in view_graph.edges.items()}
    believed = {pair: value for pair, value in held.items() if pair not in deferred}
    likely = {pair: _chance(share) for pair, share in overlaps.items()}
    # A-optimal pairs first: they rest on poses alone; retrieval may propose false pairs between weak parts
    min_far_gain = _MIN_FAR_GAIN if len(view_graph.names) < _MANY_PHOTOS else _MIN_FAR_GAIN_OF_MANY
    far = _far_links(believed, likely, limit, min_far_gain)
    held |= {link.pair: link.chance for link in far}
    chance = {pair: value for pair, value in chance.items() if pair not in held}
    return far + _near_links(held, chance, limit, _MIN_GAIN_IN_DOUBT if is_unreliable else _MIN_GAIN)


def likely_pairs(models: Sequence[pycolmap.Reconstruction], among: Set[Pair]) -> dict[Pair, float]:
    """Chance to verify, by the poses of the models, of those of some pairs that overlap enough."""
    overlaps = _overlaps(models, None)
    return {pair: _chance(overlaps[pair]) for pair in among if overlaps.get(pair, 0.0) >= _MIN_OVERLAP}


def _overlaps(models: Sequence[pycolmap.Reconstruction], new_images: Set[str] | None) -> dict[Pair, float]:
    """Predicted overlaps in models that contain new images."""
    found: dict[Pair, float] = {}
    for model in models:
        names = {model.image(i).name for i in model.reg_image_ids()}
        if new_images is not None and new_images.isdisjoint(names):
            continue
        for pair, share in predicted_overlaps(model).items():
            if share >= _MIN_FAR_OVERLAP:
                found[pair] = max(found.get(pair, 0.0), share)
    return found


def _near_links(
    held: Mapping[Pair, float], chance: Mapping[Pair, float], limit: int, min_gain: float
) -> list[LoopClosure]:
    """D-optimal pairs."""
    likeliest = sorted(chance, key=lambda pair: (-chance[pair], pair))[:_MOST_CANDIDATES]
    candidates = {pair: chance[pair] for pair in likeliest}
    found = d_optimal_links(held, candidates, limit=limit, min_gain=min_gain)
    return [LoopClosure(pair, round(chance[pair], 6), round(_WORTH * gain, 6)) for pair, gain in found]


def _far_links(
    held: Mapping[Pair, float], chance: Mapping[Pair, float], limit: int, min_gain: float
) -> list[LoopClosure]:
    """A-optimal pairs.

    They are matched without epipolar guides, which would confirm a wrong pose between such parts.
    """
    found = a_optimal_links(held, chance, limit=limit, min_gain=min_gain)
    worth = {pair: round(_FAR_WORTH * math.log1p(gain) / chance[pair], 6) for pair, gain in found}
    return [LoopClosure(pair, round(chance[pair], 6), worth[pair], is_unguided=True) for pair, _ in found]


def _chance(overlap: float) -> float:
    return min(1.0, overlap / _FULL_OVERLAP)


def _conductance(num_inliers: int) -> float:
    return min(num_inliers / INLIERS_OF_ONE, _MAX_CONDUCTANCE)
