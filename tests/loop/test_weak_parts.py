"""Pairs between parts of a model that few pairs hold together, where poses say that they overlap a little."""

from collections.abc import Mapping
from itertools import combinations

from retrieval import Pair, Reason
from sfm.loop.candidates import overlap_chance
from sfm.loop.pair_design import MIN_GAIN, PairDesign
from sfm.loop.pair_plan import Candidate, PairPlan
from sfm.loop.weak_parts import pairs_between_weak_parts

WEST = [f"w{i:02}.jpg" for i in range(12)]
EAST = [f"e{i:02}.jpg" for i in range(12)]
FAINT = {Pair.of(a, b): 0.1 for a, b in combinations(WEST + EAST, 2)}
CHANCE_PAIRS = [Pair.of(WEST[i], EAST[-1 - i]) for i in range(12)]


def two_towns() -> dict[Pair, float]:
    """Two firm groups of photos that three pairs join."""
    firm = {Pair.of(s[i], s[j]) for s in (WEST, EAST) for i, j in combinations(range(12), 2) if j - i < 6}
    return dict.fromkeys(sorted(firm | {Pair.of(WEST[i], EAST[i]) for i in range(3)}), 1.0)


def found(
    held: Mapping[Pair, float], overlaps: Mapping[Pair, float] = FAINT, num_images: int = 24
) -> list[Candidate]:
    return pairs_between_weak_parts(held, overlaps, held.keys(), num_images)


def test_faint_overlaps_across_a_waist_are_asked_for_and_are_worth_it() -> None:
    across = found(two_towns())

    assert across
    assert all(one.pair.a[0] != one.pair.b[0] and one.is_unguided for one in across)
    assert {one.reason for one in across} == {Reason.LOOP}
    assert all(one.worth is not None and one.chance * one.worth >= MIN_GAIN for one in across)


def test_the_two_images_of_such_a_pair_alone_do_not_show_what_it_is_worth() -> None:
    held = two_towns()
    same = {Candidate(one.pair, one.chance, one.reason): one.chance for one in found(held)}
    plan = PairPlan(tuple(same), held, (frozenset(WEST + EAST),))

    assert max(PairDesign(plan, same, {}).gains()) < MIN_GAIN


def test_where_more_pairs_hold_the_parts_together_nothing_is_asked() -> None:
    assert found({**two_towns(), **dict.fromkeys(CHANCE_PAIRS, 1.0)}) == []


def test_what_does_not_overlap_is_not_asked_for() -> None:
    held = two_towns()

    assert found(held, {}) == []
    assert found(held, dict.fromkeys(FAINT, 0.04)) == []


def test_at_most_as_many_are_asked_for_as_there_are_images() -> None:
    assert len(found(two_towns(), num_images=2)) == 2


def test_chances_are_those_of_the_overlap() -> None:
    assert {one.chance for one in found(two_towns())} == {overlap_chance(0.1)}
