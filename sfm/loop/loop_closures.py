"""Pairs that close loops: photos that should match and that too few verified pairs hold together.

Which photos should match is told by the poses of a model, and by retrieval, which knows nothing of poses and
so sees through a model that has drifted. Which of them are worth a pair the view graph's stiffness tells:
that of the two photos to each other, and, once there are poses, that of all photos.

Measured on two rendered districts that an alley joins (200 photos), pairs added to three finished loops and
all mapped anew: 36 to 49 far-reaching pairs (gains above 2) gave AUC@5 94.6 to 94.9, 173 to 188 of the other
kind 93.9 to 94.8; with overlaps from 0.15 on instead of 0.05, 93.6 instead of 94.6. In the loop, seed 0, such
pairs gave 93.8 where they were matched along the model's epipolar lines, 94.8 blind.
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
_INLIERS_OF_ONE = 100
"""Inliers of a pair of conductance 1."""
_MAX_CONDUCTANCE = 2.0
_MIN_GAIN = 0.7
"""log(1 + w R): below, the two photos are held together well enough by the pairs that there are ..."""
_MIN_GAIN_IN_DOUBT = 0.2
"""... unless some of these pairs may be wrong: true ones must outvote them."""
_WORTH = 0.4
"""Of a unit of gain."""
_MIN_FAR_OVERLAP = 0.05
"""Of a pair that may make many photos more certain: those that do most show little of the same."""
_MIN_FAR_GAIN = 3.0
"""Times what a verified pair does on average for the certainty of all photos."""
_MIN_FAR_GAIN_OF_MANY = 1.5
"""The same in larger collections, where few pairs are a small price: two districts that an alley joins (200
photos), with 1,025 and 1,068 pairs instead of 972 and 1,038, have AUC@5 93.9 and 95.3 instead of 93.0 and
94.6. Five sets of up to 32 photos would take 3 to 12 % more pairs for the same poses."""
_MANY_PHOTOS = 150
_FAR_WORTH = 0.12
"""Of a unit of log(1 + gain); the gain counts already how likely the pair is to verify."""
_MOST_CANDIDATES = 3000
_MIN_CHANCE = 0.4
"""Links only make a model more exact: no long shots."""


@dataclass(frozen=True, slots=True)
class LoopClosure:
    """A pair to ask for, how likely it is to verify, and what it gains, as in `PairRequest.worth`."""

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
    """Untried pairs that would stiffen the view graph most, each gain given those before it.

    Args:
        models: of all photos registered so far.
        view_graph: verified pairs.
        tried: all pairs matched so far.
        similar: chance to verify of pairs that retrieval proposes.
        is_unreliable: whether there are pairs that are probably wrong.
        limit: links to name at most, of either kind.
        deferred: verified pairs that registration holds back.
        new_images: photos of which each link has one at least; None: all.
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
    # first, as it goes by poses alone: pairs that only retrieval proposes may bridge a waist and be wrong
    min_far_gain = _MIN_FAR_GAIN if len(view_graph.names) < _MANY_PHOTOS else _MIN_FAR_GAIN_OF_MANY
    far = _far_links(believed, likely, limit, min_far_gain)
    held |= {link.pair: link.chance for link in far}
    chance = {pair: value for pair, value in chance.items() if pair not in held}
    return far + _near_links(held, chance, limit, _MIN_GAIN_IN_DOUBT if is_unreliable else _MIN_GAIN)


def _overlaps(models: Sequence[pycolmap.Reconstruction], new_images: Set[str] | None) -> dict[Pair, float]:
    """Predicted overlaps in models that hold photos of the scope."""
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
    """Pairs whose own two photos too little holds together."""
    likeliest = sorted(chance, key=lambda pair: (-chance[pair], pair))[:_MOST_CANDIDATES]
    candidates = {pair: chance[pair] for pair in likeliest}
    found = d_optimal_links(held, candidates, limit=limit, min_gain=min_gain)
    return [LoopClosure(pair, round(chance[pair], 6), round(_WORTH * gain, 6)) for pair, gain in found]


def _far_links(
    held: Mapping[Pair, float], chance: Mapping[Pair, float], limit: int, min_gain: float
) -> list[LoopClosure]:
    """Pairs that make many photos more certain.

    Matched near the epipolar lines of a model that is bent at a waist they would confirm the bend.
    """
    found = a_optimal_links(held, chance, limit=limit, min_gain=min_gain)
    worth = {pair: round(_FAR_WORTH * math.log1p(gain) / chance[pair], 6) for pair, gain in found}
    return [LoopClosure(pair, round(chance[pair], 6), worth[pair], is_unguided=True) for pair, _ in found]


def _chance(overlap: float) -> float:
    return min(1.0, overlap / _FULL_OVERLAP)


def _conductance(num_inliers: int) -> float:
    return min(num_inliers / _INLIERS_OF_ONE, _MAX_CONDUCTANCE)
