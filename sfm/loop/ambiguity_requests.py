"""Requests that decide between two poses of a part of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from retrieval import Pair, Reason
from sfm.mapping import AmbiguousPart

from .pair_plan import Candidate

_CHANCE = 0.5
"""One of two poses is right."""
_WORTH = 14.0
"""As a pair that brings an image into the model."""


def ambiguity_requests(places: Sequence[AmbiguousPart], tried: Set[Pair]) -> Iterator[Candidate]:
    """One request for each pair, since a pair that does not match is an answer, too.

    Args:
        places: ambiguous parts with their deciding pairs.
        tried: pairs that are not requested again, also those that could not be matched.
    """
    pairs = dict.fromkeys(pair for place in places for pair in place.deciding if pair not in tried)
    for pair in pairs:
        yield Candidate(pair, _CHANCE, Reason.VERIFY, _WORTH, is_unguided=True, is_test=True)
