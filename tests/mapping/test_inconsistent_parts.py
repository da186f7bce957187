"""Parts of a model that observe little of what is beside them, and the pairs that should match."""

from itertools import combinations, pairwise, product

import pytest

from retrieval import Pair
from sfm.mapping.measures.inconsistent_parts import across, inconsistent_parts, log_odds_of_pairs

LEFT, RIGHT = [f"a{i}" for i in range(9)], [f"b{i}" for i in range(14)]
NAMES = frozenset((*LEFT, *RIGHT))
WITHIN = {Pair.of(*ends): 1.5 for side in (LEFT, RIGHT) for ends in combinations(side, 2)}
ACROSS_SIDES = {Pair(a, b): -2.0 for a, b in product(LEFT, RIGHT)}


def parts(log_odds: dict[Pair, float], names: frozenset[str] = NAMES) -> set[frozenset[str]]:
    return inconsistent_parts(names, log_odds)


def test_the_smaller_side_is_found_of_two_that_observe_little_of_each_other() -> None:
    assert parts(WITHIN | ACROSS_SIDES) == {frozenset(LEFT)}


def test_the_part_that_most_contradicts_is_found_of_three() -> None:
    inner = {Pair(a, b): -1.0 for a, b in product(RIGHT[:5], RIGHT[5:])}

    assert frozenset(LEFT) in parts(WITHIN | ACROSS_SIDES | inner)


@pytest.mark.parametrize(("against", "found"), [(4, True), (1, False)])
def test_a_part_that_few_pairs_hold_is_found_where_others_contradict_it(against: int, found: bool) -> None:
    held = {Pair("a0", "b0"): 1.4, Pair("a1", "b1"): 1.4}
    contradicting = {Pair(a, b): -1.0 for a, b in zip(LEFT[2:][:against], RIGHT[3:], strict=False)}

    assert parts(WITHIN | held | contradicting) == ({frozenset(LEFT)} if found else set())


@pytest.mark.parametrize("count", [20, 60])
def test_a_chain_that_overlaps_itself_is_cut_where_it_does(count: int) -> None:
    names = [f"{i:03d}" for i in range(count)]
    chain = {Pair(*ends): 2.0 for ends in pairwise(names)}
    half = count // 2
    folded = {Pair(names[i], names[i + half]): -2.0 for i in range(half)}

    found = parts(chain | folded, frozenset(names))

    assert {frozenset(names[:half]), frozenset(names[half:])} & found


def test_no_part_where_all_is_observed_again_or_nothing_is_known() -> None:
    assert parts(WITHIN) == parts({}) == parts(WITHIN | dict.fromkeys(ACROSS_SIDES, 0.5)) == set()


def test_no_part_of_fewer_than_three_images() -> None:
    two = {Pair(a, b): -2.0 for a, b in product(LEFT[:2], RIGHT)} | {Pair(*LEFT[:2]): 1.0}
    within = {Pair(*ends): 1.5 for ends in combinations(RIGHT, 2)}

    assert parts(within | two, frozenset((*LEFT[:2], *RIGHT))) == set()


def test_few_pairs_that_are_nearly_certain_outweigh_many_that_are_likelier_false() -> None:
    sure = {Pair("a", f"s{i}"): 0.95 for i in range(5)}
    doubtful = {Pair("a", f"d{i}"): 0.25 for i in range(30)}
    chances = {**sure, **doubtful}

    there, here = (
        across({"a"}, log_odds_of_pairs(chances, agreeing, chances.keys() - agreeing.keys()))
        for agreeing in (sure, doubtful)
    )

    assert there > 0 > here


PART, REST = LEFT[:4], RIGHT[:4]
ACROSS = sorted(Pair(a, b) for a, b in product(PART, REST))
INSIDE = Pair("a0", "a1"), Pair("b0", "b1")
OVERLAPS = dict.fromkeys((*ACROSS, *INSIDE), 0.6)
