"""Pairs that close loops: photos that should match and that too few verified pairs hold together.

Which photos should match is told by the poses of a model, and by retrieval, which knows nothing of poses and
so sees through a model that has drifted. Which of them are worth a pair the view graph's stiffness tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import pycolmap

from retrieval import Pair
from sfm.mapping import ViewGraph

from .covisibility import predicted_overlaps
from .stiffness import stiffening_links

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
_MOST_CANDIDATES = 3000
_MIN_CHANCE = 0.4
"""Links only make a model more exact: no long shots."""


@dataclass(frozen=True, slots=True)
class MissingLink:
    """A pair to ask for, how likely it is to verify, and what it gains, as in `PairRequest.worth`."""

    pair: Pair
    chance: float
    worth: float


def missing_links(
    models: Sequence[pycolmap.Reconstruction],
    view_graph: ViewGraph,
    tried: Set[Pair],
    look_alikes: Mapping[Pair, float],
    *,
    in_doubt: bool,
    limit: int,
    scope: Set[str] | None = None,
) -> list[MissingLink]:
    """Untried pairs that would stiffen the view graph most, each gain given those before it, best first.

    Args:
        models: of all photos registered so far.
        view_graph: verified pairs.
        tried: all pairs matched so far.
        look_alikes: chance to verify of pairs that retrieval proposes.
        in_doubt: whether there are pairs that are probably wrong.
        limit: links to name at most.
        scope: photos of which each link has one at least; None: all.
    """

    def is_open(pair: Pair) -> bool:
        return pair not in tried and (scope is None or not scope.isdisjoint(pair))

    chance = {pair: value for pair, value in look_alikes.items() if value >= _MIN_CHANCE and is_open(pair)}
    for model in models:
        names = {model.image(i).name for i in model.reg_image_ids()}
        if scope is not None and scope.isdisjoint(names):
            continue
        for pair, share in predicted_overlaps(model).items():
            if share >= _MIN_OVERLAP and is_open(pair):
                chance[pair] = max(chance.get(pair, 0.0), min(1.0, share / _FULL_OVERLAP))
    likeliest = sorted(chance, key=lambda pair: (-chance[pair], pair))[:_MOST_CANDIDATES]
    held = {pair: _conductance(edge.num_inliers) for pair, edge in view_graph.edges.items()}
    found = stiffening_links(
        held,
        {pair: chance[pair] for pair in likeliest},
        limit=limit,
        min_gain=_MIN_GAIN_IN_DOUBT if in_doubt else _MIN_GAIN,
    )
    return [MissingLink(pair, round(chance[pair], 6), round(_WORTH * gain, 6)) for pair, gain in found]


def _conductance(num_inliers: int) -> float:
    return min(num_inliers / _INLIERS_OF_ONE, _MAX_CONDUCTANCE)
