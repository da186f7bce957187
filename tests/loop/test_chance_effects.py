"""Outcomes of earlier pairs correct the chances of later ones, photo by photo and part by part."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from retrieval import Pair
from sfm.loop.chance_effects import Apart, ChanceEffects

NAMES = [f"{i:02d}" for i in range(12)]


def together(pair: Pair) -> None:
    """Nothing is apart."""


def halves(pair: Pair) -> tuple[str, ...] | None:
    """The first six are one part, the others another one."""
    return None if (pair.a < "06") == (pair.b < "06") else ("00", "06")


def of(name: str, *others: str) -> list[Pair]:
    return [Pair.of(name, other) for other in others]


def test_without_outcomes_chances_stay() -> None:
    assert ChanceEffects({}, {}, together).corrected({Pair("00", "01"): 0.3}) == {Pair("00", "01"): 0.3}
    assert ChanceEffects({}, {}, together).corrected({}) == {}


def alone(pair: Pair) -> tuple[str, ...] | None:
    """The first image is alone."""
    return ("00",) if pair.a == "00" else None


def chances_after(num_failed: int, apart: Apart) -> float:
    """Of the last pair of the first image, whose earlier ones failed."""
    effects = ChanceEffects(dict.fromkeys(of("00", *NAMES[1 : 1 + num_failed]), 0.6), {}, apart)
    (chance,) = effects.corrected({Pair("00", "11"): 0.6}).values()
    return chance


def test_each_failure_of_an_image_makes_its_next_pair_less_likely() -> None:
    """Little where it has others, and soon hopeless where it is alone: it may show another scene."""
    held = [chances_after(count, together) for count in (0, 2, 5, 10)]
    lonely = [chances_after(count, alone) for count in (0, 2, 5, 10)]

    assert held[0] == lonely[0] == 0.6
    assert held == sorted(held, reverse=True)
    assert lonely == sorted(lonely, reverse=True)
    assert 0.25 < held[-1] < 0.5
    assert lonely[-1] < 0.1


def test_a_photo_that_matches_more_than_expected_gains() -> None:
    tried = dict.fromkeys(of("00", *NAMES[1:6]), 0.3)

    effects = ChanceEffects(tried, dict.fromkeys(tried, 1.0), together)
    found = effects.corrected({Pair("00", "11"): 0.3, Pair("10", "11"): 0.3})

    assert found[Pair("00", "11")] > 0.4
    assert found[Pair("10", "11")] == 0.3


def test_failures_between_two_parts_count_for_other_photos_of_these_too() -> None:
    failed = {Pair(f"{i:02d}", f"{i + 6:02d}"): 0.5 for i in range(4)}

    found = ChanceEffects(failed, {}, halves).corrected({Pair("04", "10"): 0.5, Pair("04", "05"): 0.5})

    assert found[Pair("04", "10")] < 0.15
    assert found[Pair("04", "05")] == 0.5


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda p: p[0] < p[1]),
        st.tuples(st.floats(0.0, 1.0), st.booleans()),
        max_size=30,
    )
)
def test_corrected_chances_are_chances_and_the_same_again(
    outcomes: dict[tuple[int, int], tuple[float, bool]],
) -> None:
    chances = {Pair(NAMES[a], NAMES[b]): chance for (a, b), (chance, _) in outcomes.items()}
    verified = {Pair(NAMES[a], NAMES[b]): 1.0 for (a, b), (_, is_verified) in outcomes.items() if is_verified}
    every = {Pair(a, b): 0.4 for a in NAMES for b in NAMES if a < b}

    first = ChanceEffects(chances, verified, halves).corrected(every)
    second = ChanceEffects(dict(reversed(chances.items())), verified, halves).corrected(every)

    assert all(0 < chance < 1 for chance in first.values())
    assert first == second


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_no_outcome_is_taken_for_impossible(chance: float) -> None:
    """A pair of chance 1 that failed, or of chance 0 that verified, leaves finite effects."""
    tried = {Pair("00", "01"): chance}
    verified = dict.fromkeys(tried, 1.0) if chance == 0.0 else {}

    found = ChanceEffects(tried, verified, together).corrected({Pair("00", "02"): 0.5})

    assert 0.1 < found[Pair("00", "02")] < 0.9
