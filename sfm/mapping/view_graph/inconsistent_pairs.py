"""Suspect pairs: matches that look-alike structure makes, found from the graph without a reconstruction.

The pairs are trusted one by one, the strongest first (Kruskal's order; that firm pairs judge the others is
the idea of Yan et al. 2017, "Distinguishing the Indistinguishable"), and their matches grow tracks.
A pair that comes later joins photos that trusted pairs already join. If it is true, most of its matches lie
within tracks that are there, or beside such tracks; the matches of a look-alike join places that no track
joins. The strength of a pair says how much of their content its photos share, and whether what surrounds the
matches agrees (`context_agreement`).

True pairs with a wide baseline look the same, if the tracks of their two sides never meet. They turn the
cameras as the trusted pairs do, which look-alikes rarely happen to do.
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
"""A pair that shares so much needs no other evidence. Look-alikes of `dup_cereal` reach 0.09."""
_AGREED = 0.9
"""Nor does one whose surroundings agree so well. Look-alikes of `dup_cereal` reach 0.80."""
_SUPPORTED = 0.5  # of its matches within tracks: the pair is trusted
_PURE = 0.8  # of its matches within tracks: then the others are trusted, too
_SUSPECT = 0.35  # of its matches within tracks: fewer, and the pair is a suspect ...
_AGAINST = 0.7  # ... if contradicted matches and surroundings add up to this ...
_FIRM = 0.045
"""... and the way round is made of pairs as strong as this: where it is weaker, as in `kitchen25` (0.033), a
true wide baseline looks the same. Streets with look-alikes have 0.058 and more ..."""
_FIRMER = 2.0  # ... and so many times stronger than the pair itself
_MIN_KNOWN = 5  # matches between tracks, for a share of them to mean anything
_DISAGREED = 0.3  # agreement of the surroundings that makes a suspect of a pair of which no more is known
_TURNS_ALIKE_DEG = 2.0
"""A pair that turns the cameras as the others do, but for this, is no suspect. None of the 111 look-alikes
that are named in `dup_cereal` does, and 4 of 965 in rendered facades; of the true pairs that would be named
9 of 11 do in `fox`, and 5 of 8 in `monstree`."""
_FEW_INLIERS = 25
"""Fewer may be chance: of the pairs of two rendered districts that an alley joins, 11 % are true with 15 or
16 inliers, 27 % with 17 to 19, 55 % with 20 to 24, 82 % with 25 to 29 and 95 % with more. Those across the
alley, taken at their word, cost AUC@1 78 -> 46."""
_MUCH_FIRMER = 10.0
"""Of a pair that may be chance, times as strong as itself: the way round by the alley is ten and more."""
_MAX_PASSES = 4
_AMBIGUOUS_SHARE = 0.06  # of the pairs with this many inliers that are suspects
_AMBIGUOUS_INLIERS = 30
_MIN_AMBIGUOUS = 3
_MAX_DECIDING = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for and against a pair."""

    num_inliers: int
    strength: float
    """Share of the larger photo's matched keypoints, times the agreement of the surroundings, in [0, 1]."""
    context: float
    """Agreement of the surroundings, in [0, 1]."""
    support: float
    """Share of the matches within one track, of those that join tracks of other pairs."""
    contradicted: float
    """Share of all matches that join two different tracks of other pairs."""
    way_round: float
    """Strength of the weakest pair on the best way between both photos that does without this pair."""
    num_hops: int
    """Pairs on this way."""
    num_known: int
    """Matches that join tracks of other pairs."""
    turn_error_deg: float | None
    """Between the pair's rotation and that which the trusted pairs give both cameras; None: unknown."""


@dataclass(frozen=True, slots=True)
class InconsistentPair:
    """A pair that is probably a look-alike's, and what would decide."""

    pair: Pair
    score: float
    """How sure it is, in [0, 1]."""
    why: str
    evidence: Evidence
    deciding: tuple[Pair, ...]
    """Untried pairs of one of both photos with a trusted neighbour of the other, best first: if the pair is
    true, these photos see the same place, too."""


@dataclass(frozen=True, slots=True)
class InconsistencyReport:
    """Suspects, surest first, and whether there are so many that the collection has look-alike structure."""

    inconsistent_pairs: tuple[InconsistentPair, ...]
    ambiguous: bool
    deferred: frozenset[Pair] = frozenset()
    """Pairs that registration had better leave for later: the suspects, others, most of them true, that the
    tracks of firm pairs contradict, and those of few matches that no track supports."""
    num_firm: int = 0
    """Verified pairs that are strong enough for the share of suspects among them to mean anything."""

    def without(self, pairs: Set[Pair]) -> InconsistencyReport:
        """The report after other evidence has spoken for some pairs."""
        left = tuple(
            inconsistent for inconsistent in self.inconsistent_pairs if inconsistent.pair not in pairs
        )
        ambiguous = self.ambiguous and _is_ambiguous((s.evidence for s in left), self.num_firm)
        return replace(self, inconsistent_pairs=left, ambiguous=ambiguous, deferred=self.deferred - pairs)


def find_inconsistent_pairs(
    matches: PairMatches, *, rotations: Mapping[Pair, Rotation] | None = None, tried: Set[Pair] = frozenset()
) -> InconsistencyReport:
    """Name the verified pairs that the other pairs contradict.

    Args:
        matches: all verified pairs.
        rotations: of the pairs that have one, as `read_rotations` gives them.
        tried: pairs matched so far, verified or not; none of them is proposed as deciding.
    """
    context = context_agreement(matches)
    trust = _Trust(matches, context, _strengths(matches, context))
    turn_errors = rotation_errors(rotations or {}, trust.trusted, trust.held)
    evidence = {
        pair: _evidence(pair, len(matches.inliers[pair]), context[pair], trust, turn_errors.get(pair))
        for pair in trust.held
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
    """Pairs most of whose matches join tracks of others the wrong way, or that may be chance, while firm
    pairs lead round them.

    Where two places hang together by weak pairs alone, as in `kitchen25`, the pairs that are held back would
    be the very ones that join them well.
    """

    def is_contradicted(pair: Pair) -> bool:
        within, known = trust.counts(pair)
        if known < _MIN_KNOWN or within >= _SUSPECT * known:
            return False
        return trust.way_round(pair)[0] >= _FIRM

    def may_be_chance(pair: Pair) -> bool:
        few = trust.num_inliers(pair) < _FEW_INLIERS
        return few and trust.way_round(pair)[0] >= _MUCH_FIRMER * trust.strength[pair]

    return frozenset(pair for pair in trust.held if is_contradicted(pair) or may_be_chance(pair))


def _evidence(
    pair: Pair, num_inliers: int, context: float, trust: _Trust, turn_error_deg: float | None
) -> Evidence:
    within, known = trust.counts(pair)
    way_round, num_hops = trust.way_round(pair)
    return Evidence(
        num_inliers=num_inliers,
        strength=trust.strength[pair],
        context=context,
        support=trust.support(pair),
        contradicted=(known - within) / num_inliers,
        way_round=way_round,
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
    return e.support < _SUSPECT and against > _AGAINST and e.way_round >= max(_FIRM, _FIRMER * e.strength)


def _score(e: Evidence) -> float:
    return round((1 - e.support) * (1 - e.strength / e.way_round), 6)


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
    """The pairs in the order of their strength, each trusted or held back.

    A strong pair is trusted whatever the others say, unless `cautious`: the few look-alikes that are strong,
    once trusted, vouch for all that join the same two places.
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
        self.held = self._pass(order)
        for _ in range(_MAX_PASSES):  # with the tracks of all that are trusted by now
            before, self.held = self.held, self._pass(self.held)
            if len(self.held) == len(before):
                break
        self._tree = nx.maximum_spanning_tree(self.trusted, weight="strength")

    def way_round(self, pair: Pair) -> tuple[float, int]:
        """The weakest strength and the number of pairs on the best way between both photos."""
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
        """Trust what deserves it; the others, in the same order."""
        held = []
        for pair in order:
            support = 1.0 if self._needs_no_support(pair) else self.support(pair)
            if support >= _SUPPORTED:
                self._trust(pair, support)
            else:
                held.append(pair)
        return held

    def _needs_no_support(self, pair: Pair) -> bool:
        """Nothing can contradict the only link of two parts; strong pairs judge the others."""
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
        if support >= _PURE:  # else some of the matches may be a look-alike's
            self._forest.join(pair, self._matches.inliers[pair])


@dataclass(frozen=True, slots=True)
class _Deciding:
    trusted: nx.Graph[str]
    tried: Set[Pair]

    def pairs(self, inconsistent: Pair) -> tuple[Pair, ...]:
        """Untried pairs of a photo of the suspect with the strongest neighbours of its other photo."""
        found = {
            Pair.of(photo, third): self.trusted.edges[other, third]["strength"]
            for photo, other in ((inconsistent.a, inconsistent.b), (inconsistent.b, inconsistent.a))
            for third in self.trusted.adj[other]
            if third != photo and Pair.of(photo, third) not in self.tried
        }
        return tuple(sorted(found, key=lambda pair: (-found[pair], pair))[:_MAX_DECIDING])
