"""The closed loop's rule: which pairs a reconstruction shows to be missing. Pure: nothing is matched here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np

from retrieval import Pair, Reason
from sfm.types import PairRequest

from .view_graph import ViewGraph

Rank = Callable[[str, int], Sequence[tuple[str, float]]]
"""`rank(name, k)`: the k photos most similar to `name` with their similarity in [0, 1], best first."""

_PER_ORPHAN = 8  # candidates of each kind that an unregistered photo may ask for in a round
_PER_WEAK = 2
_PER_MODEL_PAIR = 6  # two healthy models may simply be two scenes: ask for little, round by round
_MAX_MODEL_PAIRS = 10
_PER_CUT = 3
_BRIDGE_SHARE = 0.25  # of the budget
_DECAY = 0.85  # each further candidate of the same photo is worth less


@dataclass(frozen=True, slots=True)
class _Situation:
    """What the rules look at."""

    graph: ViewGraph
    models: Sequence[Mapping[str, int]]
    tried: Set[Pair]
    rank: Rank
    round: int

    @property
    def registered(self) -> frozenset[str]:
        return frozenset(name for model in self.models for name in model)

    def ranked(self, name: str, among: Set[str], limit: int) -> list[tuple[str, float]]:
        """The best `limit` photos of `among` by retrieval that `name` was not yet tried with."""
        depth = limit * 4 * (1 + self.round) + self.graph.degree(name)
        fresh = (
            (other, score)
            for other, score in self.rank(name, depth)
            if other != name and other in among and Pair.of(name, other) not in self.tried
        )
        return list(islice(fresh, limit))


def propose_requests(
    view_graph: ViewGraph,
    models: Sequence[Mapping[str, int]],
    tried: Set[Pair],
    rank: Rank,
    *,
    budget: int,
    round: int,
) -> list[PairRequest]:
    """The pairs most worth matching next, best first, none of them in `tried`; the order is deterministic.

    Args:
        view_graph: verified pairs so far.
        models: for each model its registered photos with their number of observations.
        tried: all pairs matched so far, verified or not.
        rank: retrieval.
        budget: at most this many requests.
        round: number of this round, from 1; later rounds look deeper.
    """
    now = _Situation(view_graph, models, tried, rank, round)
    bridges = _best([*_between_models(now), *_across_cuts(now)], int(max(4, _BRIDGE_SHARE * budget)))
    return _best([*_orphans(now), *_weak(now), *bridges], budget)


def _best(requests: Iterable[PairRequest], limit: int) -> list[PairRequest]:
    """Each pair once, for its best reason; the `limit` with the highest gain."""
    best: dict[Pair, PairRequest] = {}
    for request in requests:
        if request.pair not in best or best[request.pair].gain < request.gain:
            best[request.pair] = request
    return sorted(best.values(), key=lambda r: (-r.gain, r.pair))[: max(0, limit)]


def _orphans(now: _Situation) -> Iterator[PairRequest]:
    """Unregistered photos x next retrieval ranks, and x neighbours of the photos that they did match."""
    everyone = frozenset(now.graph.names)
    targets = now.registered or everyone
    for name in sorted(everyone - now.registered):
        by_rank = now.ranked(name, targets, _PER_ORPHAN)
        candidates = (by_rank, _second_neighbours(now, name, targets, _PER_ORPHAN))
        for index, (other, score) in ((i, c) for found in candidates for i, c in enumerate(found)):
            gain = (0.5 + 0.5 * min(1.0, score)) * _DECAY**index
            yield PairRequest(Pair.of(name, other), Reason.ORPHAN, _rounded(gain))


def _weak(now: _Situation) -> Iterator[PairRequest]:
    """Registered photos with few observations x neighbours of their neighbours."""
    for model in now.models:
        few = 0.2 * float(np.median(list(model.values())))
        for name in sorted(n for n, count in model.items() if count < few):
            for index, (other, score) in enumerate(_second_neighbours(now, name, model.keys(), _PER_WEAK)):
                yield PairRequest(Pair.of(name, other), Reason.WEAK, _rounded(0.3 * score * _DECAY**index))


def _second_neighbours(now: _Situation, name: str, among: Set[str], limit: int) -> list[tuple[str, float]]:
    """Untried photos two verified pairs away, with the strength of the path in [0, 1], best first."""
    found: dict[str, float] = {}
    for middle in now.graph.neighbours(name):
        first = _strength(now.graph.num_inliers(name, middle))
        for other in now.graph.neighbours(middle):
            if other != name and other in among and Pair.of(name, other) not in now.tried:
                path = first * _strength(now.graph.num_inliers(middle, other))
                found[other] = max(found.get(other, 0.0), path)
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:limit]


def _strength(num_inliers: int) -> float:
    return num_inliers / (num_inliers + 50)


def _between_models(now: _Situation) -> Iterator[PairRequest]:
    """A few look-alikes across two models, best of all their photos."""
    for first, second in islice(combinations(now.models, 2), _MAX_MODEL_PAIRS):
        small, large = sorted((first, second), key=len)
        found = {
            Pair.of(name, other): score
            for name in sorted(small)
            for other, score in now.ranked(name, large.keys(), 2)
        }
        best = sorted(found, key=lambda pair: (-found[pair], pair))[:_PER_MODEL_PAIR]
        for index, pair in enumerate(best):
            yield PairRequest(pair, Reason.BRIDGE, _rounded(0.6 * min(1.0, found[pair]) * _DECAY**index))


def _across_cuts(now: _Situation) -> Iterator[PairRequest]:
    """Where one verified pair alone holds two parts together: pairs that would hold them a second time."""
    for cut in now.graph.bridges():
        if min(now.graph.degree(cut.a), now.graph.degree(cut.b)) < 2:
            continue  # a photo hanging on one pair is an orphan's business, not a bridge
        near_a = [cut.a, *(n for n in now.graph.neighbours(cut.a) if n != cut.b)]
        near_b = [cut.b, *(n for n in now.graph.neighbours(cut.b) if n != cut.a)]
        pairs = (Pair.of(a, b) for a, b in _diagonally(near_a, near_b) if Pair.of(a, b) not in now.tried)
        for index, pair in enumerate(islice(pairs, _PER_CUT)):
            yield PairRequest(pair, Reason.BRIDGE, _rounded(0.5 * _DECAY**index))


def _diagonally(first: Sequence[str], second: Sequence[str]) -> Iterator[tuple[str, str]]:
    """All combinations, those near the front of both lists first."""
    order = sorted((i + j, i, j) for i in range(len(first)) for j in range(len(second)))
    return ((first[i], second[j]) for _, i, j in order)


def _rounded(gain: float) -> float:
    """Gains to six digits, so that the order does not hang on the last bit of a product."""
    return round(gain, 6)
