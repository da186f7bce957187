"""Verified pairs that are likelier false than true, and pairs that would decide about doubtful ones.

A false pair joins two places that look alike (visual aliasing). `pair_evidence` gives the probability that a
pair is true. Registration defers pairs that are likelier false. A doubtful pair of the maximum spanning
forest decides how the parts on its two sides are placed, so pairs between these parts are worth matching.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

import networkx as nx

from retrieval import Pair

from ..scene.pair_matches import PairMatches
from .pair_probability import PairEvidence, pair_evidence
from .pair_rotations import Rotation
from .trees import maximum_spanning_forest

_LIKELIER_FALSE = 0.5
_SURE = 0.02
"""Probability of error below which a pair is not worth another one."""
_MIN_PART = 3
"""Images on each side of a pair in doubt."""
_MAX_DECIDING = 3


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
class DoubtfulLink:
    """A pair of the spanning forest in doubt, and pairs that would decide about it."""

    pair: Pair
    information: float
    """Entropy of its truth, in bits."""
    deciding: tuple[Pair, ...]
    """Untried pairs between the images near its two ends, best first; they match if it is true."""


@dataclass(frozen=True, slots=True)
class InconsistencyReport:
    """Pairs that are likelier false, most certain first, and what follows from them."""

    inconsistent_pairs: tuple[InconsistentPair, ...]
    deferred: frozenset[Pair] = frozenset()
    """Pairs that registration leaves for later: those that are likelier false, but for the only link of two
    parts."""
    doubtful_links: tuple[DoubtfulLink, ...] = ()
    """Most information first."""
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
    tried: Set[Pair] = frozenset(),
) -> InconsistencyReport:
    """Find the verified pairs that are likelier false than true.

    Args:
        matches: all verified pairs.
        rotations: of pairs, from `read_rotations`.
        background: agreement of the background of pairs, where it was measured.
        tried: pairs matched so far, verified or not; none of them is proposed as deciding.
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
        _doubtful_links(evidence, frozenset(tried) | evidence.keys()),
        {pair: e.probability for pair, e in evidence.items()},
    )


def _doubtful_links(evidence: Mapping[Pair, PairEvidence], tried: Set[Pair]) -> tuple[DoubtfulLink, ...]:
    weights = {pair: e.probability for pair, e in evidence.items()}
    forest = maximum_spanning_forest(weights)
    tree: nx.Graph[str] = nx.Graph([(pair.a, pair.b) for pair in forest])
    found = []
    for pair in forest:
        if not _SURE < weights[pair] < 1 - _SURE:
            continue
        tree.remove_edge(*pair)
        sides = [nx.node_connected_component(tree, name) for name in pair]
        tree.add_edge(*pair)
        if min(len(side) for side in sides) < _MIN_PART:
            continue
        if deciding := _deciding(pair, sides, weights, tried):
            found.append(DoubtfulLink(pair, _entropy(weights[pair]), deciding))
    return tuple(sorted(found, key=lambda one: (-one.information, one.pair)))


def _deciding(
    link: Pair, sides: list[set[str]], weights: Mapping[Pair, float], tried: Set[Pair]
) -> tuple[Pair, ...]:
    """Untried pairs of one end of the link with neighbours of the other end on its side."""
    found = {}
    for (a, b), weight in weights.items():
        for end, other, side in ((link.a, link.b, sides[1]), (link.b, link.a, sides[0])):
            third = b if a == other else a if b == other else None
            if third is not None and third in side and Pair.of(end, third) not in tried:
                found[Pair.of(end, third)] = weight
    return tuple(sorted(found, key=lambda pair: (-found[pair], pair))[:_MAX_DECIDING])


def _entropy(probability: float) -> float:
    return -sum(p * math.log2(p) for p in (probability, 1 - probability))
