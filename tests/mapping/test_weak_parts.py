"""Parts of a model that few matches connect."""

from itertools import combinations

import pytest

from retrieval import Pair
from sfm.mapping.measures.minimum_cuts import minimum_cuts
from sfm.mapping.measures.weak_parts import spectral_cuts

LEFT, RIGHT = [f"a{i}" for i in range(9)], [f"b{i}" for i in range(14)]
WITHIN = {Pair.of(*ends): 0.5 for side in (LEFT, RIGHT) for ends in combinations(side, 2)}
HELD = {Pair("a0", "b0"): 0.5, Pair("a1", "b1"): 1.0}
ONE, TWO = {Pair("a2", "b5"): 30.0}, {Pair("a2", "b5"): 30.0, Pair("a3", "b6"): 30.0}
MANY = {Pair(a, b): 30.0 for a, b in zip(LEFT, RIGHT[3:], strict=False)}


def spectral(errors: dict[Pair, float], names: frozenset[str] = frozenset((*LEFT, *RIGHT))) -> list:
    return list(spectral_cuts(names, errors, dict.fromkeys(errors, 50)))


def minimum(errors: dict[Pair, float]) -> list[frozenset[str]]:
    return list(minimum_cuts(frozenset((*LEFT, *RIGHT)), errors, dict.fromkeys(errors, 50)))


def test_the_smaller_side_of_a_contradicted_cut_comes_first() -> None:
    for against in (HELD | MANY, ONE):  # few agreeing matches connect both sides, or none
        assert spectral(WITHIN | against)[0] == frozenset(LEFT)
    for against in (HELD | TWO, ONE):
        assert minimum(WITHIN | against) == [frozenset(LEFT)]


@pytest.mark.parametrize("errors", [WITHIN | HELD, WITHIN | HELD | ONE, {}])
def test_no_spectral_cut_where_more_matches_agree_than_contradict_or_there_are_none(
    errors: dict[Pair, float],
) -> None:
    assert spectral(errors) == []


def test_no_part_of_few_images() -> None:
    alone = {pair: error for pair, error in WITHIN.items() if "a8" not in pair} | {Pair("a7", "a8"): 0.5}
    few = {Pair("a0", "a1"): 0.5, Pair("a1", "a2"): 30.0}

    assert spectral(few, frozenset(LEFT[:3])) == []
    assert minimum(alone | HELD | {Pair("a0", "a8"): 30.0}) == []
    assert minimum(WITHIN | HELD) == minimum({Pair("a0", "b0"): 30.0}) == []
