"""Requests that tell at which of two places a part of a model stands: each place's photos put to the test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from retrieval import Pair, Reason
from sfm.mapping import AmbiguousPart

from .requests import Candidate, PairRequest

_CHANCE = 0.5
"""One of two places is right."""
_WORTH = 2.0
"""As a pair that brings a photo into the model: each decides about several photos that are in it, and may be
wrong."""


def ambiguity_requests(places: Sequence[AmbiguousPart], tried: Set[Pair]) -> Iterator[PairRequest]:
    """One request a pair: that some did not match is the answer, too, and no reason to stop.

    Args:
        places: with pairs that left no trace in the database.
        tried: pairs that are not asked for again, those among them that could not be matched.
    """
    pairs = dict.fromkeys(pair for place in places for pair in place.deciding if pair not in tried)
    for pair in pairs:
        candidates = (Candidate(pair, _CHANCE),)
        yield PairRequest(Reason.VERIFY, tuple(pair), candidates, 1, _WORTH, is_unguided=True, is_test=True)
