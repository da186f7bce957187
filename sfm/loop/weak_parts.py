"""Pairs between parts of a model that few pairs hold together, as its poses predict them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from retrieval import Pair, Reason

from .a_optimal_design import a_optimal_links
from .pair_design import MIN_GAIN
from .pair_plan import Candidate

_WORTH = 0.3
"""Nats of a unit of log(1 + gain); the gain counts already how likely the pair is to verify."""


def pairs_between_weak_parts(
    conductance: Mapping[Pair, float], chances: Mapping[Pair, float], num_images: int
) -> list[Candidate]:
    """A-optimal pairs, each with its worth.

    Args:
        conductance: of the verified pairs within models.
        chances: of untried pairs that overlap by the poses.
        num_images: of the collection, as many candidates at most.
    """
    least = math.expm1(MIN_GAIN / _WORTH)
    found = a_optimal_links(conductance, chances, limit=num_images, min_gain=least)
    return [
        Candidate(
            pair,
            chances[pair],
            Reason.LOOP,
            round(_WORTH * math.log1p(gain) / chances[pair], 6),
        )
        for pair, gain in found
    ]
