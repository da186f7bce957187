"""Verified pairs that are likelier false than true.

A false pair joins two places that look alike (visual aliasing). `pair_evidence` gives the probability that a
pair is true. Registration defers pairs that are likelier false.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

import networkx as nx

from retrieval import Pair

from ..scene.pair_matches import PairMatches
from .pair_probability import PairEvidence, pair_evidence
from .pair_rotations import Rotation

_LIKELIER_FALSE = 0.5


@dataclass(frozen=True, slots=True)
class InconsistentPair:
    """A pair that is likelier false than true."""

    pair: Pair
    evidence: PairEvidence

    @property
    def score(self) -> float:
        """Probability that it is false, in [0, 1]."""
        return 1 - self.evidence.probability


@dataclass(frozen=True, slots=True)
class InconsistencyReport:
    """Pairs that are likelier false, most certain first, and what follows from them."""

    inconsistent_pairs: tuple[InconsistentPair, ...]
    """Without the only link of two parts."""
    deferred: frozenset[Pair] = frozenset()
    """Those that registration leaves for later: all, where no step of it asks for others."""
    probability: Mapping[Pair, float] = field(default_factory=dict)
    """That a pair is true, of all verified pairs."""

    def without(self, pairs: Set[Pair]) -> InconsistencyReport:
        """The report without some pairs that other evidence confirms."""
        left = tuple(one for one in self.inconsistent_pairs if one.pair not in pairs)
        return replace(self, inconsistent_pairs=left, deferred=self.deferred - pairs)


NO_DOUBT = InconsistencyReport(())
"""Nothing is known against any pair."""


def find_inconsistent_pairs(
    matches: PairMatches,
    *,
    rotations: Mapping[Pair, Rotation] | None = None,
    background: Mapping[Pair, float | None] | None = None,
) -> InconsistencyReport:
    """Find the verified pairs that are likelier false than true.

    Args:
        matches: all verified pairs.
        rotations: of pairs, from `read_rotations`.
        background: agreement of the background of pairs, where it was measured.
    """
    evidence = pair_evidence(matches, rotations=rotations or {}, background=background or {})
    graph: nx.Graph[str] = nx.Graph([(pair.a, pair.b) for pair in evidence])
    only_links = {Pair.of(*edge) for edge in nx.bridges(graph)}
    named = [
        InconsistentPair(pair, e)
        for pair, e in evidence.items()
        if e.probability < _LIKELIER_FALSE and pair not in only_links
    ]
    ranked = tuple(sorted(named, key=lambda one: (-one.score, one.pair)))
    return InconsistencyReport(
        ranked,
        frozenset(one.pair for one in ranked),
        {pair: e.probability for pair, e in evidence.items()},
    )
