"""Parts of a model that observe little of what is beside them, and the pairs that should match."""

from itertools import combinations, pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval import Pair
from sfm.mapping.measures.covisibility_test import covisibility_test
from sfm.mapping.measures.inconsistent_parts import inconsistent_parts, placement_log_odds

LEFT, RIGHT = [f"a{i}" for i in range(9)], [f"b{i}" for i in range(14)]
NAMES = frozenset((*LEFT, *RIGHT))
WITHIN = {Pair.of(*ends): 1.5 for side in (LEFT, RIGHT) for ends in combinations(side, 2)}
ACROSS_SIDES = {Pair(a, b): -2.0 for a, b in product(LEFT, RIGHT)}


def parts(log_odds: dict[Pair, float], names: frozenset[str] = NAMES) -> list[frozenset[str]]:
    return list(inconsistent_parts(names, log_odds))


def test_the_smaller_side_is_found_of_two_that_observe_little_of_each_other() -> None:
    assert parts(WITHIN | ACROSS_SIDES) == [frozenset(LEFT)]


def test_a_part_within_a_part_comes_after_it() -> None:
    inner = {Pair(a, b): -1.0 for a, b in product(RIGHT[:5], RIGHT[5:])}

    assert parts(WITHIN | ACROSS_SIDES | inner) == [frozenset(LEFT), frozenset(RIGHT[:5])]


@pytest.mark.parametrize("count", [20, 60])  # all eigenvectors, and the leading ones alone
def test_a_chain_that_overlaps_itself_is_cut_where_it_does(count: int) -> None:
    names = [f"{i:03d}" for i in range(count)]
    chain = {Pair(*ends): 2.0 for ends in pairwise(names)}
    half = count // 2
    folded = {Pair(names[i], names[i + half]): -2.0 for i in range(half)}

    found = parts(chain | folded, frozenset(names))

    assert found[0] in (frozenset(names[:half]), frozenset(names[half:]))


def test_no_part_where_all_is_observed_again_or_nothing_is_known() -> None:
    assert parts(WITHIN) == parts({}) == parts(WITHIN | dict.fromkeys(ACROSS_SIDES, 0.5)) == []


def test_no_part_of_fewer_than_three_images() -> None:
    two = {Pair(a, b): -2.0 for a, b in product(LEFT[:2], (*LEFT[2:], *RIGHT))}

    assert parts(WITHIN | dict.fromkeys(ACROSS_SIDES, 1.0) | two) == []


@settings(deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda ends: ends[0] < ends[1]),
        st.floats(-4, 2),
    )
)
def test_the_first_part_has_negative_log_odds_with_the_rest(values: dict[tuple[int, int], float]) -> None:
    log_odds = {Pair(f"{a:02d}", f"{b:02d}"): value for (a, b), value in values.items()}
    names = frozenset(f"{i:02d}" for i in range(12))

    found = parts(log_odds, names)

    assert all(3 <= len(part) < 12 for part in found)
    whole = [part for part in found if len(part) <= 6][:1]
    for part in whole if whole == found[:1] else ():
        assert sum(value for pair, value in log_odds.items() if len(part & {*pair}) == 1) < 0
    assert parts(dict(reversed(log_odds.items())), names) == found


def test_images_without_repeatability_go_with_those_that_their_pairs_agree_with() -> None:
    repeated = {pair: value for pair, value in (WITHIN | ACROSS_SIDES).items() if "a8" not in pair}
    errors_px = {Pair("a0", "a8"): 0.5, Pair("a1", "a8"): 0.5, Pair("a8", "b0"): 30.0, Pair("a0", "b1"): 0.5}

    log_odds = placement_log_odds(repeated, errors_px, {})

    assert log_odds[Pair("a0", "b1")] == -2.0  # agreement is no evidence where repeatability is known
    assert parts(log_odds) == [frozenset(LEFT)]


def test_other_pairs_count_by_their_probability_for_or_against_the_placement() -> None:
    errors_px = {Pair("a", "b"): 0.5, Pair("a", "c"): 30.0, Pair("b", "c"): 4.5, Pair("b", "d"): 30.0}

    found = placement_log_odds({}, errors_px, {Pair("a", "b"): 0.9, Pair("a", "c"): 0.3})

    assert found == {Pair("a", "b"): 0.9, Pair("a", "c"): -0.3, Pair("b", "d"): -1.0}


PART, REST = LEFT[:4], RIGHT[:4]
ACROSS = sorted(Pair(a, b) for a, b in product(PART, REST))
INSIDE = Pair("a0", "a1"), Pair("b0", "b1")
OVERLAPS = dict.fromkeys((*ACROSS, *INSIDE), 0.6)


@pytest.mark.parametrize(
    ("tried", "agreeing", "inconsistent", "consistent"),
    [
        (16, 0, True, False),
        (16, 7, True, False),
        (16, 8, False, True),
        (16, 16, False, True),
        (7, 7, False, False),
        (7, 0, False, False),  # too few were tried
    ],
)
def test_a_placement_is_judged_by_the_share_of_pairs_that_match(
    tried: int, agreeing: int, inconsistent: bool, consistent: bool
) -> None:
    found = covisibility_test(OVERLAPS, {*PART}, {*ACROSS[:tried], *INSIDE}, {*ACROSS[:agreeing], *INSIDE})

    assert (found.num_tried, found.num_agreeing, found.num_inconsistent) == (
        tried,
        agreeing,
        tried - agreeing,
    )
    assert (found.is_inconsistent, found.is_consistent) == (inconsistent, consistent)
    assert (found.untried, found.num_missing) == (tuple(ACROSS[tried:]), max(0, 8 - tried))


def test_untried_pairs_come_by_their_overlap_and_slight_overlaps_do_not_count() -> None:
    overlaps = {pair: 0.3 + 0.01 * i for i, pair in enumerate(ACROSS)}

    assert covisibility_test(overlaps, {*PART}, set(), set()).untried == tuple(reversed(ACROSS))
    assert covisibility_test(dict.fromkeys(ACROSS, 0.2), {*PART}, {*ACROSS}, set()).num_tried == 0
