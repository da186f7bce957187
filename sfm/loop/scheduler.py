"""Which pairs are matched next: those of the highest expected information.

Pairs are chosen batch by batch: each pair given those chosen before it, each batch given the outcomes of
those before it. The plan of a round and these outcomes alone decide: a killed run chooses the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from retrieval import Edge, Pair

from .chance_effects import ChanceEffects
from .pair_design import MIN_GAIN, PairDesign
from .pair_plan import Candidate, PairPlan, conductance_of

Try = Callable[[Mapping[Pair, Edge]], Mapping[Pair, int]]
"""Matches pairs; returns the inliers of those that verified."""

_MOST_GAIN = 14.0
"""The score of an edge is its gain as a share of this: that of two images which nothing connects."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Numbers of pairs that may still be matched."""

    usual: int
    """For any reason."""
    most: int
    """For those that may cost pairs beyond the usual budget; at least `usual`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The pairs that were matched, in order, and the inliers of those that verified."""

    edges: Mapping[Pair, Edge]
    inliers: Mapping[Pair, int]


def run_plan(
    plan: PairPlan,
    try_pairs: Try,
    *,
    budget: Budget,
    round: int,
    batch_size: int,
    max_batches: int | None = None,
) -> Outcome:
    """Match candidates until none is worth a pair or the budget is spent.

    Args:
        plan: candidates of this round.
        try_pairs: matches and verifies a batch.
        budget: pairs that may be matched.
        round: number of this round, noted in the edges.
        batch_size: pairs that are matched before outcomes are looked at.
        max_batches: at most so many; None for as many as it takes.
    """
    done = Outcome({}, {})
    for _ in count() if max_batches is None else range(max_batches):
        batch = _next_batch(plan, done, budget, batch_size)
        if not batch:
            break
        edges = {one.pair: Edge(_score(gain), one.reason, round) for one, gain in batch}
        done = Outcome({**done.edges, **edges}, {**done.inliers, **try_pairs(edges)})
    return done


def _score(gain: float) -> float:
    """A gain within [0, 1], to six digits, so that no order depends on the last bit of a product."""
    return round(min(max(gain / _MOST_GAIN, 0.0), 1.0), 6)


def _next_batch(
    plan: PairPlan, done: Outcome, budget: Budget, batch_size: int
) -> list[tuple[Candidate, float]]:
    offers, batch = _Offers(plan, done), list[tuple[Candidate, float]]()
    while len(batch) < batch_size:
        spent = len(done.edges) + len(batch)
        candidate, gain = offers.best(needed=spent >= budget.usual)
        if candidate is None or gain < MIN_GAIN or spent >= budget.most:
            break
        batch.append((candidate, gain))
        offers.take(candidate)
    return batch


class _Offers:
    """The candidates that are left, with their gains given all that was matched and taken."""

    def __init__(self, plan: PairPlan, done: Outcome) -> None:
        left = [one for one in plan.candidates if one.pair not in done.edges]
        self._worth = {one: one.chance * one.worth for one in left if one.worth is not None}
        before = {one.pair: one.chance for one in plan.candidates if one.pair in done.edges}
        effects = ChanceEffects(before, dict.fromkeys(done.inliers, 1.0), plan.apart)
        free = {one: one.chance for one in left if one.worth is None}
        corrected = effects.corrected({one.pair: chance for one, chance in free.items()})
        links = {pair: conductance_of(count) for pair, count in done.inliers.items()}
        self._design = PairDesign(plan, {one: corrected[one.pair] for one in free}, links)

    def best(self, *, needed: bool) -> tuple[Candidate | None, float]:
        """The candidate of highest gain, with it; with `needed`, of those that may exceed the budget."""
        offers = ((-gain, one.pair, one) for one, gain in self._gains() if one.is_needed or not needed)
        gain, _, candidate = min(offers, key=lambda offer: offer[:2], default=(0.0, None, None))
        return candidate, -gain

    def take(self, taken: Candidate) -> None:
        """Count a candidate as matched."""
        self._design.choose(taken.pair)
        self._worth = {one: worth for one, worth in self._worth.items() if one.pair != taken.pair}

    def _gains(self) -> Iterator[tuple[Candidate, float]]:
        yield from zip(self._design.candidates, self._design.gains().tolist(), strict=True)
        yield from ((one, round(worth, 6)) for one, worth in self._worth.items())
