"""The input of a round of the closed loop: verified pairs, models, tried pairs, and retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

from retrieval import Pair
from sfm.mapping import ViewGraph
from sfm.pairs.ranking import Rank

from .calibration import Similarities


@dataclass(frozen=True)  # without slots: a cached property
class LoopState:
    """A moment between two rounds.

    Attributes:
        graph: verified pairs.
        members: registered photos of each model, largest first; None before the first registration.
        tried: all pairs matched so far, verified or not.
        rank: retrieval.
        similarities: of all photos, by retrieval.
        overlaps: predicted by the poses of the models, of pairs that overlap.
        probability: to be true, of verified pairs; 1 where it is not known.
        again: tried pairs that a stronger matcher may match again, each with the number of its matches.
        matched_again: pairs that it has matched, and whether they verified.
    """

    graph: ViewGraph
    members: Sequence[Set[str]] | None
    tried: Set[Pair]
    rank: Rank
    similarities: Similarities
    overlaps: Mapping[Pair, float] = field(default_factory=dict)
    probability: Mapping[Pair, float] = field(default_factory=dict)
    again: Mapping[Pair, int] = field(default_factory=dict)
    matched_again: Mapping[Pair, bool] = field(default_factory=dict)

    @cached_property
    def outcomes(self) -> Mapping[Pair, float]:
        """What came of each verified pair: its probability to be true."""
        return {pair: self.probability.get(pair, 1.0) for pair in self.graph.edges}

    @property
    def parts(self) -> tuple[Set[str], ...]:
        """The models; before registration the components of the verified pairs."""
        if self.members is not None:
            return tuple(frozenset(photos) for photos in self.members)
        return tuple(part for part in self.graph.components() if len(part) > 1)
