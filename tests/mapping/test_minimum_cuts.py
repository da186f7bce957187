"""Of a contradicted pair, the parts that the fewest agreeing matches hold together."""

from __future__ import annotations

from itertools import combinations

from retrieval import Pair
from sfm.mapping.measures.minimum_cuts import minimum_cuts

LEFT, RIGHT = [f"a{i}" for i in range(5)], [f"b{i}" for i in range(9)]
WITHIN = {Pair.of(*ends): 0.5 for side in (LEFT, RIGHT) for ends in combinations(side, 2)}
HELD = {Pair("a0", "b0"): 0.5, Pair("a1", "b1"): 1.0}


def parts(errors: dict[Pair, float]) -> list[frozenset[str]]:
    return list(minimum_cuts(frozenset((*LEFT, *RIGHT)), errors, dict.fromkeys(errors, 50)))


def test_the_smaller_side_of_the_least_cut_between_the_photos_of_a_contradicted_pair() -> None:
    assert parts(WITHIN | HELD | {Pair("a2", "b5"): 30.0, Pair("a3", "b6"): 30.0}) == [frozenset(LEFT)]


def test_no_part_without_a_contradicted_pair_or_of_one_or_two_photos() -> None:
    alone = {pair: error for pair, error in WITHIN.items() if "a4" not in pair} | {Pair("a3", "a4"): 0.5}

    assert parts(WITHIN | HELD) == []
    assert parts(alone | HELD | {Pair("a0", "a4"): 30.0}) == []
    assert parts({Pair("a0", "b0"): 30.0}) == []


def test_photos_that_nothing_holds_together_are_parted() -> None:
    assert parts(WITHIN | {Pair("a2", "b5"): 30.0}) == [frozenset(LEFT)]
