"""Photos that stand in one place and do not see the same deny it; so do not those that were never tried."""

from __future__ import annotations

from itertools import product

import pytest

from retrieval import Pair
from sfm.mapping.measures.covisibility_test import covisibility_test

PART, REST = [f"a{i}" for i in range(4)], [f"b{i}" for i in range(4)]
ACROSS = sorted(Pair(a, b) for a, b in product(PART, REST))
WITHIN = Pair("a0", "a1"), Pair("b0", "b1")
OVERLAPS = dict.fromkeys((*ACROSS, *WITHIN), 0.6)


@pytest.mark.parametrize(("agreeing", "denied"), [(0, True), (7, True), (8, False), (16, False)])
def test_a_place_is_denied_where_most_pairs_that_should_match_do_not(agreeing: int, denied: bool) -> None:
    place = covisibility_test(OVERLAPS, {*PART}, {*ACROSS, *WITHIN}, {*ACROSS[:agreeing], *WITHIN})

    assert (place.num_tried, place.num_agreeing, place.num_inconsistent) == (16, agreeing, 16 - agreeing)
    assert place.is_inconsistent is denied


@pytest.mark.parametrize(
    ("tried", "agreeing", "confirmed", "certain"),
    [
        (16, 16, True, True),
        (16, 12, True, True),
        (16, 11, True, False),
        (16, 7, False, False),
        (7, 7, False, False),
    ],
)
def test_a_place_is_confirmed_by_enough_pairs_and_certain_by_nearly_all(
    tried: int, agreeing: int, confirmed: bool, certain: bool
) -> None:
    place = covisibility_test(OVERLAPS, {*PART}, {*ACROSS[:tried]}, {*ACROSS[:agreeing]})

    assert (place.is_consistent, place.is_certain) == (confirmed, certain)
    assert place.untried == tuple(ACROSS[tried:])
    assert place.num_missing == max(0, 8 - tried)


def test_untried_pairs_come_by_their_overlap() -> None:
    overlaps = {pair: 0.3 + 0.01 * i for i, pair in enumerate(ACROSS)}

    assert covisibility_test(overlaps, {*PART}, set(), set()).untried == tuple(reversed(ACROSS))


def test_pairs_that_were_not_tried_or_hardly_overlap_say_nothing() -> None:
    few, slight = {*ACROSS[:7]}, dict.fromkeys(ACROSS, 0.2)

    assert not covisibility_test(OVERLAPS, {*PART}, few, set()).is_inconsistent
    assert not covisibility_test(slight, {*PART}, {*ACROSS}, set()).is_inconsistent
