"""Verified pairs that visual aliasing has probably made, found in the view graph without a model.

Pairs are trusted in the order of their strength (Kruskal's algorithm), and their matches form tracks. That
strong pairs judge weak ones is the idea of Yan et al. 2017, "Distinguishing the Indistinguishable". Strength
is the share of keypoints that two images match, times the agreement of context (`context_agreement`). A later
pair joins images that trusted pairs join already. Most matches of a true one lie within existing tracks,
those of a false one join different tracks.

A true pair with a wide baseline looks the same if the tracks of its two sides never meet. It agrees with the
rotations of the trusted pairs, which a false pair rarely does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

import networkx as nx
import numpy as np

from retrieval import Pair

from ..scene.pair_matches import PairMatches
from .missing_correspondences import context_agreement
from .pair_rotations import Rotation, rotation_errors
from .track_forest import TrackForest

_STRONG = 0.12
"""A pair of this strength needs no other evidence."""
_AGREED = 0.9
"""A pair with this agreement of context needs no other evidence."""
_SUPPORTED = 0.5  # of its matches within tracks: the pair is trusted
_PURE = 0.8  # of its matches within tracks: then the others are trusted, too
_SUSPECT = 0.35  # of its matches within tracks: a pair with fewer is inconsistent ...
_AGAINST = 0.7  # ... if contradicted matches and context add up to this ...
_FIRM = 0.045
"""... and the path of trusted pairs has this strength at least; a weaker one occurs beside true wide
baselines ..."""
_FIRMER = 2.0  # ... and so many times stronger than the pair itself
_MIN_KNOWN = 5  # matches between tracks, for a share of them to mean anything
_DISAGREED = 0.3  # agreement of context below which a pair without other evidence is inconsistent
_TURNS_ALIKE_DEG = 2.0
"""A pair whose rotation agrees within this angle is not inconsistent."""
_FEW_INLIERS = 25
"""A pair with fewer inliers may be due to chance."""
_MUCH_FIRMER = 10.0
"""Ratio of the strength of the path to that of a pair with few inliers."""
_MAX_PASSES = 4
_AMBIGUOUS_SHARE = 0.06  # of the pairs with this many inliers that are inconsistent
_AMBIGUOUS_INLIERS = 30
_MIN_AMBIGUOUS = 3
_MAX_DECIDING = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence for and against a pair."""

    num_inliers: int
    strength: float
    """Share of the larger number of matched keypoints, times the agreement of context, in [0, 1]."""
    context: float
    """Agreement of context, in [0, 1]."""
    support: float
    """Share of the matches within one track, of those that join tracks of other pairs."""
    contradicted: float
    """Share of all matches that join two different tracks of other pairs."""
    path_strength: float
    """Strength of the weakest pair on the best path between both images that avoids this pair."""
    num_hops: int
    """Number of pairs on this path."""
    num_known: int
    """Matches that join tracks of other pairs."""
    turn_error_deg: float | None
    """Degrees between the pair's rotation and the one of the trusted pairs; None: unknown."""


@dataclass(frozen=True, slots=True)
class InconsistentPair:
    """A pair that visual aliasing has probably made, and pairs that would decide."""

    pair: Pair
    score: float
    """Confidence that it is inconsistent, in [0, 1]."""
    why: str
    evidence: Evidence
    deciding: tuple[Pair, ...]
    """Untried pairs of one image with a trusted neighbour of the other, best first. If the pair is true, they
    match."""


@dataclass(frozen=True, slots=True)
class InconsistencyReport:
    """Inconsistent pairs, most certain first, and whether so many make the collection ambiguous."""

    inconsistent_pairs: tuple[InconsistentPair, ...]
    ambiguous: bool
    deferred: frozenset[Pair] = frozenset()
    """Pairs that registration leaves for later: the inconsistent pairs, pairs that tracks of strong pairs
    contradict, and pairs of few matches without support."""
    num_firm: int = 0
    """Number of verified pairs with many inliers, among which the share of inconsistent ones counts."""

    def without(self, pairs: Set[Pair]) -> InconsistencyReport:
        """The report without some pairs that other evidence confirms."""
        left = tuple(
            inconsistent for inconsistent in self.inconsistent_pairs if inconsistent.pair not in pairs
        )
        ambiguous = self.ambiguous and _is_ambiguous((s.evidence for s in left), self.num_firm)
        return replace(self, inconsistent_pairs=left, ambiguous=ambiguous, deferred=self.deferred - pairs)


def find_inconsistent_pairs(
    matches: PairMatches, *, rotations: Mapping[Pair, Rotation] | None = None, tried: Set[Pair] = frozenset()
) -> InconsistencyReport:
    """Find the verified pairs that the other pairs contradict.

    Args:
        matches: all verified pairs.
        rotations: of pairs, from `read_rotations`.
        tried: pairs matched so far, verified or not; none of them is proposed as deciding.
    """
    context = context_agreement(matches)
    trust = _Trust(matches, context, _strengths(matches, context))
    turn_errors = rotation_errors(rotations or {}, trust.trusted, trust.untrusted)
    evidence = {
        pair: _evidence(pair, len(matches.inliers[pair]), context[pair], trust, turn_errors.get(pair))
        for pair in trust.untrusted
    }
    named = {pair: e for pair, e in evidence.items() if _is_inconsistent(e)}
    deciding = _Deciding(trust.trusted, frozenset(tried) | matches.inliers.keys())
    inconsistent_pairs = (
        InconsistentPair(pair, _score(e), _why(pair, e), e, deciding.pairs(pair)) for pair, e in named.items()
    )
    ranked = tuple(sorted(inconsistent_pairs, key=lambda s: (-s.score, s.pair)))
    deferred = _deferred(_Trust(matches, context, trust.strength, cautious=True))
    num_firm = sum(len(inliers) >= _AMBIGUOUS_INLIERS for inliers in matches.inliers.values())
    ambiguous = _is_ambiguous(named.values(), num_firm)
    return InconsistencyReport(ranked, ambiguous, deferred | named.keys(), num_firm)


def _deferred(trust: _Trust) -> frozenset[Pair]:
    """Pairs that tracks contradict or that may be due to chance, where strong pairs join the same images.

    A pair is not deferred where only weak pairs join its images, since it may determine their relative pose.
    """

    def is_contradicted(pair: Pair) -> bool:
        within, known = trust.counts(pair)
        if known < _MIN_KNOWN or within >= _SUSPECT * known:
            return False
        return trust.best_path(pair)[0] >= _FIRM

    def may_be_chance(pair: Pair) -> bool:
        few = trust.num_inliers(pair) < _FEW_INLIERS
        return few and trust.best_path(pair)[0] >= _MUCH_FIRMER * trust.strength[pair]

    return frozenset(pair for pair in trust.untrusted if is_contradicted(pair) or may_be_chance(pair))


def _evidence(
    pair: Pair, num_inliers: int, context: float, trust: _Trust, turn_error_deg: float | None
) -> Evidence:
    within, known = trust.counts(pair)
    path_strength, num_hops = trust.best_path(pair)
    return Evidence(
        num_inliers=num_inliers,
        strength=trust.strength[pair],
        context=context,
        support=trust.support(pair),
        contradicted=(known - within) / num_inliers,
        path_strength=path_strength,
        num_hops=num_hops,
        num_known=known,
        turn_error_deg=turn_error_deg,
    )


def _is_inconsistent(e: Evidence) -> bool:
    if e.turn_error_deg is not None and e.turn_error_deg < _TURNS_ALIKE_DEG:
        return False
    if e.num_known < _MIN_KNOWN and e.context >= _DISAGREED:
        return False
    against = e.contradicted + 1 - e.context
    return e.support < _SUSPECT and against > _AGAINST and e.path_strength >= max(_FIRM, _FIRMER * e.strength)


def _score(e: Evidence) -> float:
    return round((1 - e.support) * (1 - e.strength / e.path_strength), 6)


def _why(pair: Pair, e: Evidence) -> str:
    return (
        f"{e.num_inliers} matches join places that no other pair joins ({100 * e.support:.0f} % fit the "
        f"tracks of others), while {e.num_hops} firm pairs lead from {pair.a} to {pair.b} another way"
    )


def _is_ambiguous(named: Iterable[Evidence], num_firm: int) -> bool:
    count = sum(e.num_inliers >= _AMBIGUOUS_INLIERS for e in named)
    return count >= max(_MIN_AMBIGUOUS, _AMBIGUOUS_SHARE * num_firm)


def _strengths(matches: PairMatches, context: Mapping[Pair, float]) -> dict[Pair, float]:
    num_matched = {name: int(np.count_nonzero(n)) for name, n in matches.num_pairs_of_keypoints().items()}
    return {
        pair: context[pair] * len(inliers) / max(num_matched[pair.a], num_matched[pair.b])
        for pair, inliers in matches.inliers.items()
    }


class _Trust:
    """The pairs in the order of their strength, each trusted or not.

    A strong pair is trusted even if other pairs contradict it, unless `cautious`. A strong false pair would
    support all false pairs between the same two places.
    """

    def __init__(
        self,
        matches: PairMatches,
        context: Mapping[Pair, float],
        strength: Mapping[Pair, float],
        *,
        cautious: bool = False,
    ) -> None:
        self._matches, self._cautious = matches, cautious
        self._context = context
        self.strength = strength
        self.trusted: nx.Graph[str] = nx.Graph()
        self.trusted.add_nodes_from(matches.keypoints)
        self._forest = TrackForest({name: len(xy) for name, xy in matches.keypoints.items()})
        self._parts = nx.utils.UnionFind(matches.keypoints)
        order = sorted(strength, key=lambda pair: (-strength[pair], pair))
        self.untrusted = self._pass(order)
        for _ in range(_MAX_PASSES):  # with the tracks of all that are trusted by now
            before, self.untrusted = self.untrusted, self._pass(self.untrusted)
            if len(self.untrusted) == len(before):
                break
        self._tree = nx.maximum_spanning_tree(self.trusted, weight="strength")

    def best_path(self, pair: Pair) -> tuple[float, int]:
        """The weakest strength and the number of pairs on the path of trusted pairs between both images."""
        steps = list(pairwise(nx.shortest_path(self._tree, pair.a, pair.b)))
        return min(float(self._tree.edges[step]["strength"]) for step in steps), len(steps)

    def num_inliers(self, pair: Pair) -> int:
        """Matches of a pair."""
        return len(self._matches.inliers[pair])

    def counts(self, pair: Pair) -> tuple[int, int]:
        """Matches within one track, and those that join tracks at all."""
        return self._forest.counts(pair, self._matches.inliers[pair])

    def support(self, pair: Pair) -> float:
        """Share of the matches within one track, of those that join tracks; 0 where these are few."""
        within, known = self.counts(pair)
        return within / known if known >= _MIN_KNOWN else 0.0

    def _pass(self, order: Sequence[Pair]) -> list[Pair]:
        """Trust the pairs that have enough support; returns the other pairs, in the same order."""
        untrusted = []
        for pair in order:
            support = 1.0 if self._needs_no_support(pair) else self.support(pair)
            if support >= _SUPPORTED:
                self._trust(pair, support)
            else:
                untrusted.append(pair)
        return untrusted

    def _needs_no_support(self, pair: Pair) -> bool:
        """Whether the pair is the only link of two parts, which no pair can contradict, or is strong."""
        if self._parts[pair.a] != self._parts[pair.b]:
            return True
        firm = self.strength[pair] >= _STRONG or self._context[pair] >= _AGREED
        if not firm or not self._cautious:
            return firm
        within, known = self.counts(pair)
        return known < _MIN_KNOWN or within >= _SUSPECT * known

    def _trust(self, pair: Pair, support: float) -> None:
        self.trusted.add_edge(pair.a, pair.b, strength=self.strength[pair])
        self._parts.union(pair.a, pair.b)
        if support >= _PURE:  # else some of the matches may be false
            self._forest.join(pair, self._matches.inliers[pair])


@dataclass(frozen=True, slots=True)
class _Deciding:
    trusted: nx.Graph[str]
    tried: Set[Pair]

    def pairs(self, inconsistent: Pair) -> tuple[Pair, ...]:
        """Untried pairs of one image with the strongest neighbours of the other image."""
        found = {
            Pair.of(image, third): self.trusted.edges[other, third]["strength"]
            for image, other in ((inconsistent.a, inconsistent.b), (inconsistent.b, inconsistent.a))
            for third in self.trusted.adj[other]
            if third != image and Pair.of(image, third) not in self.tried
        }
        return tuple(sorted(found, key=lambda pair: (-found[pair], pair))[:_MAX_DECIDING])
