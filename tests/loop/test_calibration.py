from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Pair
from sfm.loop.calibration import Calibration, Similarities

POSITIVE = st.floats(1e-6, 1.0)


@given(POSITIVE, st.lists(st.tuples(POSITIVE, st.booleans()), max_size=30), POSITIVE, POSITIVE)
def test_chances_are_probabilities_that_rise_with_similarity(
    floor: float, outcomes: list[tuple[float, bool]], first: float, second: float
) -> None:
    similarity = np.array([s for s, _ in outcomes])
    curve = Calibration(floor, similarity, np.array([v for _, v in outcomes], bool))

    low, high = sorted((first, second))
    assert 0 <= curve.chance(low) <= curve.chance(high) + 1e-9 <= 1 + 1e-9
    assert curve.chance(0.0) == 0.0


def test_without_outcomes_pairs_far_above_the_floor_are_likely() -> None:
    curve = Calibration(0.001, np.empty(0), np.empty(0, bool))

    assert curve.chance(0.02) > 0.9
    assert curve.chance(0.001) < 0.2


def test_outcomes_outweigh_the_prior() -> None:
    similarity = np.full(40, 0.005)
    good = Calibration(0.001, similarity, np.ones(40, bool)).chance(0.002)
    bad = Calibration(0.001, similarity, np.zeros(40, bool)).chance(0.002)

    assert bad < 0.15 < 0.5 < good


@pytest.mark.parametrize("half", [0.002, 0.02])
def test_the_curve_finds_where_half_of_the_pairs_verify(half: float) -> None:
    rng = np.random.default_rng(0)
    similarity = np.exp(rng.uniform(np.log(half / 10), np.log(half * 10), 400))
    verified = rng.uniform(size=400) < 1 / (1 + (half / similarity) ** 3)

    curve = Calibration(0.002, similarity, verified)

    assert curve.chance(half) == pytest.approx(0.5, abs=0.12)


def test_it_learns_from_the_pairs_tried_so_far() -> None:
    names = [f"{i}" for i in range(20)]

    def rank(name: str, count: int) -> Sequence[tuple[str, float]]:
        others = [other for other in names if other != name]
        return [(other, 0.001 * (1 + i % 3)) for i, other in enumerate(others)][:count]

    pairs = [Pair.of("0", name) for name in names[1:]]
    similarity = dict.fromkeys(pairs, 0.003)

    measured = Similarities(similarity, Similarities.measured(names, rank).floor)
    none = Calibration.learn(measured, {}, set(pairs))
    all_of_them = Calibration.learn(measured, dict.fromkeys(pairs, 1.0), set(pairs))

    false = Calibration.learn(measured, dict.fromkeys(pairs, 0.05), set(pairs))

    assert none.chance(0.003) < false.chance(0.003) < 0.3 < 0.7 < all_of_them.chance(0.003)
