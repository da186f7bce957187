"""Pairs between parts of a model that few pairs hold together, where poses say that they overlap a little."""

from collections.abc import Mapping
from itertools import combinations

import pytest

from retrieval import Pair, Reason
from sfm.loop import overlaps
from sfm.loop.overlaps import overlaps_of
from sfm.loop.pair_design import MIN_GAIN, PairDesign
from sfm.loop.pair_plan import Candidate, PairPlan
from sfm.loop.weak_parts import pairs_between_weak_parts
from tests.loop.stand_in import model_of

WEST = [f"w{i:02}.jpg" for i in range(12)]
EAST = [f"e{i:02}.jpg" for i in range(12)]
FAINT = {Pair.of(a, b): 0.2 for a, b in combinations(WEST + EAST, 2)}
CHANCE_PAIRS = [Pair.of(WEST[i], EAST[-1 - i]) for i in range(12)]


def two_towns() -> dict[Pair, float]:
    """Two firm groups of photos that three pairs join."""
    firm = {Pair.of(s[i], s[j]) for s in (WEST, EAST) for i, j in combinations(range(12), 2) if j - i < 6}
    return dict.fromkeys(sorted(firm | {Pair.of(WEST[i], EAST[i]) for i in range(3)}), 1.0)


def found(
    held: Mapping[Pair, float], chances: Mapping[Pair, float] = FAINT, num_images: int = 24
) -> list[Candidate]:
    untried = {pair: chance for pair, chance in chances.items() if pair not in held}
    return pairs_between_weak_parts(held, untried, num_images)


def test_faint_overlaps_across_a_waist_are_asked_for_and_are_worth_it() -> None:
    across = found(two_towns())

    assert across
    assert all(one.pair.a[0] != one.pair.b[0] for one in across)
    assert {one.reason for one in across} == {Reason.LOOP}
    assert all(one.worth is not None and one.chance * one.worth >= MIN_GAIN for one in across)


def test_the_two_images_of_such_a_pair_alone_do_not_show_what_it_is_worth() -> None:
    held = two_towns()
    same = {Candidate(one.pair, one.chance, one.reason): one.chance for one in found(held)}
    plan = PairPlan(tuple(same), held, (frozenset(WEST + EAST),))

    assert max(PairDesign(plan, same, {}).gains()) < MIN_GAIN


def test_where_more_pairs_hold_the_parts_together_nothing_is_asked() -> None:
    assert found({**two_towns(), **dict.fromkeys(CHANCE_PAIRS, 1.0)}) == []


def test_what_does_not_overlap_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {Pair.of(WEST[0], EAST[k]): share for k, share in enumerate((0.04, 0.05, 0.3))}
    monkeypatch.setattr(overlaps, "predicted_overlaps", lambda model: shares)

    assert found(two_towns(), {}) == []
    assert overlaps_of([model_of(4)], None) == {pair: share for pair, share in shares.items() if share > 0.04}


def test_at_most_as_many_are_asked_for_as_there_are_images() -> None:
    assert len(found(two_towns(), num_images=2)) == 2


def test_chances_are_those_that_were_given() -> None:
    assert {one.chance for one in found(two_towns())} == {0.2}
