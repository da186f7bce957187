"""Candidates of a round: untried pairs with their chances, and tried ones for the stronger matcher.

A chance is that of a pair to verify and be true, since pairs that look alike verify, too. Three things
promise it: similarity by retrieval, verified partners in common, and overlap by the poses of a model. The
outcomes of the pairs tried so far, each the probability that it is true, correct it. What a pair is worth is
not decided here (`pair_design.py`).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from retrieval import Pair, Reason

from .calibration import Calibration
from .chance_effects import ChanceEffects
from .loop_state import LoopState
from .overlaps import overlap_chance
from .pair_plan import Candidate, PairPlan, conductance_of

_NUM_SIMILAR = 30
"""Most similar untried photos of a photo outside the largest part."""
_NUM_SECOND = 12
"""Partners' partners of a photo, by the best paths."""
_HALF_STRENGTH = 50
"""Inliers at which a verified pair counts for half."""
_FIRM_DEGREE = 3
"""Verified partners of a well-connected photo: of two, either may be wrong."""
_MIN_CHANCE = 0.02
_PER_GROUP = 12
"""Tried pairs for the stronger matcher of each photo alone, and of two parts, in each round."""
_FIRST_CHANCE, _DECAY = 0.6, 0.88
"""Of that with most matches, and from each to the next."""


def plan_of(now: LoopState) -> PairPlan:
    """All candidates, and what holds the photos together."""
    weights = {
        pair: conductance_of(edge.num_inliers) * now.outcomes[pair] for pair, edge in now.graph.edges.items()
    }
    plan = PairPlan((), {}, now.parts)
    held = {pair: weight for pair, weight in weights.items() if weight > 0 and not plan.apart(pair)}
    failed = sorted(filter(plan.apart, weights)) if now.members is not None else ()
    degree = Counter(name for pair in held for name in pair)

    def reason(pair: Pair) -> Reason:
        if join := plan.apart(pair):
            return Reason.UNREGISTERED if len(join) == 1 else Reason.BRIDGE
        return Reason.LOW_OVERLAP if min(degree[name] for name in pair) < _FIRM_DEGREE else Reason.LOOP

    fresh = (Candidate(pair, value, reason(pair)) for pair, value in sorted(_chances(now, plan).items()))
    again = (
        Candidate(pair, value, reason(pair), is_again=True)
        for pair, value in sorted(_chances_again(now, plan).items())
    )
    candidates = tuple(one for one in (*fresh, *again) if one.chance >= _MIN_CHANCE)
    return replace(plan, candidates=candidates, conductance=held, failed_links=tuple(failed))


def _chances(now: LoopState, plan: PairPlan) -> dict[Pair, float]:
    """Chance of each untried pair that anything speaks for to verify and be true."""
    curve = Calibration.learn(now.similarities, now.outcomes, now.tried)
    overlaps = {pair: overlap_chance(share) for pair, share in now.overlaps.items()}
    known = {
        pair: _any_of(curve.chance(value), overlaps.get(pair, 0.0))
        for pair in now.tried
        if (value := now.similarities.of_pairs.get(pair, 0.0)) > 0
    }
    similar = {pair: curve.chance(value) for pair, value in _similar(now).items()}
    promises = similar, _along_paths(now, plan), overlaps
    untried = frozenset().union(*promises) - now.tried
    chances = {pair: _any_of(*(promise.get(pair, 0.0) for promise in promises)) for pair in untried}
    return ChanceEffects(known, now.outcomes, plan.apart).corrected(chances)


def _any_of(*chances: float) -> float:
    """Chance that any of independent promises is kept."""
    return 1 - math.prod(1 - chance for chance in chances)


def _similar(now: LoopState) -> dict[Pair, float]:
    """Similarity of untried pairs; of photos outside the largest part those of lower ranks, too."""
    found = {pair: value for pair, value in now.similarities.of_pairs.items() if pair not in now.tried}
    num_tried = Counter(name for pair in now.tried for name in pair)
    largest = max(now.parts, key=len, default=frozenset())
    for name in now.graph.names:
        if name not in largest:
            for other, value in now.rank(name, _NUM_SIMILAR + num_tried[name]):
                if other != name and (pair := Pair.of(name, other)) not in now.tried:
                    found[pair] = max(found.get(pair, 0.0), value)
    return found


def _along_paths(now: LoopState, plan: PairPlan) -> dict[Pair, float]:
    """Strength in [0, 1) of the best path over one partner between photos whose poses say nothing."""
    held: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for pair, edge in now.graph.edges.items():
        strength = edge.num_inliers / (edge.num_inliers + _HALF_STRENGTH) * now.outcomes[pair]
        held[pair.a][pair.b] = held[pair.b][pair.a] = strength
    found: dict[Pair, float] = {}
    for name in sorted(held):
        best: dict[Pair, float] = {}
        for middle, first in held[name].items():
            for other, second in held[middle].items():
                if other != name and (pair := Pair.of(name, other)) not in now.tried:
                    best[pair] = max(best.get(pair, 0.0), first * second)
        known = now.members is not None
        ranked = sorted((-value, pair) for pair, value in best.items() if not known or plan.apart(pair))
        for value, pair in ranked[:_NUM_SECOND]:
            found[pair] = max(found.get(pair, 0.0), -value)
    return found


def _chances_again(now: LoopState, plan: PairPlan) -> dict[Pair, float]:
    """Chances of tried pairs by the stronger matcher.

    Its keypoints have points only where it matched registered photos, too: once all pairs of a photo alone
    are matched, those between its partners are.
    """
    groups: defaultdict[tuple[str, ...], list[Pair]] = defaultdict(list)
    for pair in now.again:
        for name in pair:
            if name not in plan.part_of:
                groups[name,].append(pair)
        if (join := plan.apart(pair)) and len(join) > 1:
            groups[join].append(pair)
    for name in now.graph.names if now.again else ():
        if name not in plan.part_of and (name,) not in groups:
            partners = plan.part_of.keys() & set(now.graph.neighbours(name))
            groups[name,] = [pair for pair in now.again if partners.issuperset(pair)]
    found: dict[Pair, float] = {}
    for pairs in groups.values():
        for pair, value in _by_matches(now.again, pairs):
            found[pair] = max(found.get(pair, 0.0), value)
    for pair in now.again:
        if not plan.apart(pair) and pair in now.overlaps:
            found[pair] = max(found.get(pair, 0.0), overlap_chance(now.overlaps[pair]))
    outcomes = {pair: now.outcomes.get(pair, 0.0) for pair, verified in now.matched_again.items() if verified}
    effects = ChanceEffects(dict.fromkeys(now.matched_again, _FIRST_CHANCE), outcomes, plan.apart)
    return effects.corrected(found)


def _by_matches(matches: Mapping[Pair, int], pairs: Sequence[Pair]) -> Iterator[tuple[Pair, float]]:
    """Those with most matches, with a chance that falls from each to the next."""
    best = sorted(pairs, key=lambda pair: (-matches[pair], pair))[:_PER_GROUP]
    return ((pair, round(_FIRST_CHANCE * _DECAY**rank, 6)) for rank, pair in enumerate(best))
