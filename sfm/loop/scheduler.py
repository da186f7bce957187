"""The order of candidates: batch by batch, by expected gain, which is learned for each reason.

A request is closed as soon as enough of its candidates verified. Each candidate that did not verify lowers
the gain of the next.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import count

from retrieval import Edge, Pair, Reason

from .requests import Candidate, PairRequest

Try = Callable[[Mapping[Pair, Edge]], Set[Pair]]
"""Matches pairs; returns those that verified with enough inliers for their reason."""

Weakness = tuple[Reason, tuple[str, ...]]
"""Reason and subject of a request."""

_PRIOR_PAIRS = 4.0
"""Weight of the expected chances of a reason, as a number of pairs."""
_PRIOR_REQUESTS = 4.0
"""The same for the outcomes of answered requests."""
_AFTER_FAILURE = 0.8
_MIN_GAIN = 0.06
"""Expected gain below which a pair is not worth its price."""
_MIN_GAIN_BEYOND = 0.1
"""The same once the usual number of pairs a photo is spent."""


@dataclass(slots=True)
class YieldStatistics:
    """Outcomes of the requests of each reason on this collection."""

    verified: Counter[Reason] = field(default_factory=Counter)
    expected: defaultdict[Reason, float] = field(default_factory=lambda: defaultdict(float))
    answered: Counter[Reason] = field(default_factory=Counter)
    resolved: Counter[Reason] = field(default_factory=Counter)
    failed: defaultdict[Weakness, float] = field(default_factory=lambda: defaultdict(float))
    """Pairs without success, by their price."""

    def chance(self, reason: Reason, prior: float) -> float:
        """How likely a candidate is to verify: the chance by a rule, corrected by the outcomes so far."""
        ratio = (self.verified[reason] + _PRIOR_PAIRS) / (self.expected[reason] + _PRIOR_PAIRS)
        return min(1.0, prior * ratio)

    def yield_of(self, reason: Reason) -> float:
        """Share of the requests with verified pairs whose weakness was gone after registration, in (0, 1]."""
        return (self.resolved[reason] + _PRIOR_REQUESTS) / (self.answered[reason] + _PRIOR_REQUESTS)

    def learn(self, reason: Reason, prior: float, verified: bool) -> None:
        """Remember one pair."""
        self.expected[reason] += prior
        self.verified[reason] += verified

    def reset_failures(self) -> None:
        """Forget the failures of single requests, since new models give better candidates."""
        self.failed.clear()

    def settle(self, reason: Reason, resolved: bool) -> None:
        """Remember whether registration removed the weakness of a request with verified pairs."""
        self.answered[reason] += 1
        self.resolved[reason] += resolved


@dataclass(frozen=True, slots=True)
class Budget:
    """Numbers of pairs that may still be matched."""

    usual: int
    """For any reason."""
    most: int
    """For requests that may cost pairs beyond the usual budget; at least `usual`."""


@dataclass(slots=True)
class _Open:
    """A request that is being worked on."""

    request: PairRequest
    verified: int = 0

    @property
    def weakness(self) -> Weakness:
        return self.request.reason, self.request.subject

    @property
    def satisfied(self) -> bool:
        return self.verified >= self.request.wanted


@dataclass(frozen=True, slots=True)
class Outcome:
    """The pairs that were matched, in order, each for one reason, and those that verified."""

    edges: Mapping[Pair, Edge]
    verified: frozenset[Pair]
    answered: tuple[PairRequest, ...]
    """Requests of which at least one candidate verified."""


def run_requests(
    requests: Sequence[PairRequest],
    try_pairs: Try,
    *,
    budget: Budget,
    yields: YieldStatistics,
    round: int,
    batch_size: int,
    max_batches: int | None = None,
) -> Outcome:
    """Try candidates until all requests are satisfied, none is worth its price, or the budget is spent.

    Deterministic: what is tried next depends on the requests and on earlier outcomes alone.

    Args:
        requests: this round's.
        try_pairs: matches and verifies a batch.
        budget: pairs that may be matched.
        yields: of earlier rounds; grows.
        round: number of this round, noted in the edges.
        batch_size: pairs that are matched before outcomes are looked at.
        max_batches: at most so many; None for as many as it takes.
    """
    works = [_Open(request) for request in requests]
    by_pair: defaultdict[Pair, list[_Open]] = defaultdict(list)
    for work in works:
        for candidate in work.request.candidates:
            by_pair[candidate.pair].append(work)
    edges: dict[Pair, Edge] = {}
    verified: set[Pair] = set()
    for _ in count() if max_batches is None else range(max_batches):
        batch = _next_batch(works, edges, budget, yields, batch_size)
        if not batch:
            break
        chosen = {
            c.pair: Edge(round_gain(gain), work.request.reason, round) for work, c, gain in batch.values()
        }
        found = try_pairs(chosen)
        edges.update(chosen)
        verified |= found
        for work, candidate, _ in batch.values():
            if not work.request.is_test:  # there, what does not match is an answer
                yields.learn(work.request.reason, candidate.chance, candidate.pair in found)
        for pair in chosen:
            for work in by_pair[pair]:
                work.verified += pair in found
                yields.failed[work.weakness] += work.request.price * (pair not in found)
    answered = tuple(work.request for work in works if work.verified)
    return Outcome(edges, frozenset(verified), answered)


def round_gain(gain: float) -> float:
    """Gains to six digits within [0, 1], so that no order depends on the last bit of a product."""
    return round(min(max(gain, 0.0), 1.0), 6)


_Batch = dict[Pair, tuple[_Open, Candidate, float]]


def _next_batch(
    works: Sequence[_Open],
    tried: Mapping[Pair, Edge],
    budget: Budget,
    yields: YieldStatistics,
    batch_size: int,
) -> _Batch:
    """The untried candidates of highest expected gain, each pair once, for the request that it gains most."""
    offers: list[tuple[float, Pair, _Open, Candidate]] = []
    for work in works:
        if work.satisfied:
            continue
        for place, candidate in enumerate(_next_candidates(work, tried, yields)):
            gain = _gain(work, candidate, place, yields)
            offers.append((round_gain(gain), candidate.pair, work, candidate))
    offers.sort(key=lambda offer: (-offer[0], offer[1]))
    batch: _Batch = {}
    for gain, pair, work, candidate in offers:
        spent = len(tried) + len(batch)
        within = spent < budget.usual
        needed = work.request.is_needed and spent < budget.most
        if pair in batch or not (within or needed) or len(batch) >= batch_size:
            continue
        if gain >= (_MIN_GAIN if within else _MIN_GAIN_BEYOND):
            batch[pair] = (work, candidate, gain)
    return batch


def _next_candidates(work: _Open, tried: Mapping[Pair, Edge], yields: YieldStatistics) -> list[Candidate]:
    """As many of a request's next candidates as it is likely to need."""
    missing = work.request.wanted - work.verified
    found: list[Candidate] = []
    likely = 0.0
    for candidate in work.request.candidates:
        if candidate.pair in tried:
            continue
        found.append(candidate)
        likely += yields.chance(work.request.reason, candidate.chance)
        if likely >= missing or len(found) >= 3 * missing:
            break
    return found


def _gain(work: _Open, candidate: Candidate, place: int, yields: YieldStatistics) -> float:
    """Expected gain of a candidate when `place` others of the same request are tried with it."""
    reason = work.request.reason
    chance = yields.chance(reason, candidate.chance) * math.pow(_AFTER_FAILURE, yields.failed[work.weakness])
    return work.request.worth * yields.yield_of(reason) * chance / (1 + work.verified + 0.5 * place)
