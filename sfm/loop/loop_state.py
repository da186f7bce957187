"""The input of the rules of the closed loop: verified pairs, models, tried pairs, and retrieval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice

from retrieval import Pair
from sfm.mapping import ViewGraph
from sfm.pairs.ranking import Rank

from .loop_closures import LoopClosure

_PRIOR_TRIES = 2
_HALF_STRENGTH = 50
"""Inliers at which a verified pair counts for half."""


@dataclass(frozen=True, slots=True)
class LoopState:
    """A moment between two rounds.

    Attributes:
        graph: verified pairs.
        members: for each model its registered photos with their number of observations, largest first; none
            before the first registration.
        tried: all pairs matched so far, verified or not.
        rank: retrieval.
        round: number of the round that is being planned, from 1; later rounds look deeper.
        after_registration: whether registration has been tried; before it only the view graph is known.
        chance: how likely photos of a similarity are to verify.
        loop_closures: pairs that the poses of the models show to be missing.
        again: tried pairs that a stronger matcher may match again, each with the number of its matches.
        overlapping: those of them that overlap by the poses of the models, with their chance to verify.
    """

    graph: ViewGraph
    members: Sequence[Mapping[str, int]]
    tried: Set[Pair]
    rank: Rank
    round: int
    after_registration: bool
    chance: Callable[[float], float]
    loop_closures: Sequence[LoopClosure] = ()
    again: Mapping[Pair, int] = field(default_factory=dict)
    overlapping: Mapping[Pair, float] = field(default_factory=dict)
    _num_tried: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_num_tried", Counter(name for pair in self.tried for name in pair))

    @property
    def registered(self) -> frozenset[str]:
        """Photos in any model."""
        return frozenset(name for photos in self.members for name in photos)

    def is_untried(self, first: str, second: str) -> bool:
        """Whether two photos are different and were not tried with each other."""
        return first != second and Pair.of(first, second) not in self.tried

    def match_rate(self, name: str) -> float:
        """Share of the tried pairs of an image that verified; 1 where none was tried."""
        tried = self._num_tried.get(name, 0)
        return (self.graph.degree(name) + _PRIOR_TRIES) / (max(tried, self.graph.degree(name)) + _PRIOR_TRIES)

    def alike(self, name: str, limit: int, among: Set[str] | None = None) -> list[tuple[str, float]]:
        """The `limit` most similar photos, of `among` where given, that `name` was not tried with.

        Each with its similarity, best first.
        """
        depth = min(limit * 4 * (1 + self.round) + self.graph.degree(name), len(self.graph.names))
        found = (
            (other, score)
            for other, score in self.rank(name, depth)
            if self.is_untried(name, other) and (among is None or other in among)
        )
        return list(islice(found, limit))

    def second_neighbours(
        self, name: str, limit: int, among: Set[str] | None = None
    ) -> list[tuple[str, float]]:
        """Untried photos two verified pairs away and the strength of the best path in [0, 1], best first."""
        found: dict[str, float] = {}
        for middle in self.graph.neighbours(name):
            first = strength(self.graph.num_inliers(name, middle))
            for other in self.graph.neighbours(middle):
                if self.is_untried(name, other) and (among is None or other in among):
                    path = first * strength(self.graph.num_inliers(middle, other))
                    found[other] = max(found.get(other, 0.0), path)
        return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:limit]


def strength(num_inliers: int) -> float:
    """How firmly a pair with this many inliers holds, in [0, 1)."""
    return num_inliers / (num_inliers + _HALF_STRENGTH)
