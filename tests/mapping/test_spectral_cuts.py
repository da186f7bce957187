"""A model is cut where few matches hold it and more contradict how it stands."""

from __future__ import annotations

from itertools import combinations

from retrieval import Pair
from sfm.mapping.measures.weak_parts import spectral_cuts

LEFT, RIGHT = [f"a{i}" for i in range(9)], [f"b{i}" for i in range(14)]
WITHIN = {Pair.of(*ends): 0.5 for side in (LEFT, RIGHT) for ends in combinations(side, 2)}
HELD = {Pair("a0", "b0"): 0.5, Pair("a1", "b1"): 1.0}


def cuts(errors: dict[Pair, float], inliers: int = 50) -> list[frozenset[str]]:
    return list(spectral_cuts({*LEFT, *RIGHT}, errors, dict.fromkeys(errors, inliers)))


def test_the_smaller_side_of_a_cut_that_most_matches_contradict_is_named_first() -> None:
    against = {Pair(a, b): 30.0 for a, b in zip(LEFT, RIGHT[3:], strict=False)}

    assert cuts(WITHIN | HELD | against)[0] == frozenset(LEFT)


def test_a_cut_that_nothing_contradicts_is_none_nor_one_that_more_matches_hold() -> None:
    assert cuts(WITHIN | HELD) == []
    assert cuts(WITHIN | HELD | {Pair("a2", "b5"): 30.0}) == []


def test_sides_that_nothing_holds_together_are_a_cut() -> None:
    assert cuts(WITHIN | {Pair("a2", "b5"): 30.0})[0] == frozenset(LEFT)


def test_few_photos_are_not_cut() -> None:
    errors = {Pair("a0", "a1"): 0.5, Pair("a1", "a2"): 30.0}

    assert list(spectral_cuts({"a0", "a1", "a2"}, errors, dict.fromkeys(errors, 20))) == []


def test_photos_without_a_pair_among_them_are_not_cut() -> None:
    assert cuts({}) == []
