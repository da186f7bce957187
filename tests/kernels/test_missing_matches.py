"""Missing matches: by hand, and the compiled version against the plain one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.dispatch import has_numba, use_backend
from kernels.missing_matches import missing_matches
from kernels.values import Case, Limits

VERSIONS = ("torch", pytest.param("triton", marks=pytest.mark.skipif(not has_numba(), reason="needs numba")))
"""The plain version and the compiled one."""
LIMITS = Limits(num_neighbours=4, clear=0.02, reach=0.2, margin=0.02, elsewhere=0.03, num_elsewhere=2)
SIZE = (600, 800)
DIAGONAL = 1000.0
GRID = np.array([(x, y) for x in (200.0, 260.0) for y in (300.0, 360.0)])


def case(points: list[tuple[float, float]], seen: list[tuple[float, float]]) -> Case:
    """Photos of which the second is the first moved by (50, -20) px."""
    return Case(
        points=np.array(points, dtype=np.float64).reshape(-1, 2),
        matched=GRID,
        partners=GRID + np.array([50.0, -20.0]),
        seen=np.array(seen, dtype=np.float64).reshape(-1, 2),
        size=SIZE,
        diagonal=DIAGONAL,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_seen_in_its_place_makes_a_missing_match(version) -> None:
    beside = case([(230, 330)], [(281, 310), (280, 312), (280, 309)])

    with use_backend(version):
        assert missing_matches(beside, LIMITS) == 1
        assert missing_matches(replace(beside, seen=beside.seen[:2]), LIMITS) == 1
        assert missing_matches(replace(beside, seen=beside.seen[:1]), LIMITS) == 0
        assert missing_matches(replace(beside, seen=beside.seen[:0]), LIMITS) == 0
        assert missing_matches(replace(beside, seen=beside.seen + 40), LIMITS) == 0
        assert missing_matches(replace(beside, points=beside.points[:0]), LIMITS) == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("point", [(205, 305), (500, 330)])
def test_nothing_is_asked_at_a_match_nor_far_from_all(version, point) -> None:
    x, y = point
    seen = [(x + 50.0, y - 20.0 + d) for d in (0, 1, 2)]

    with use_backend(version):
        assert missing_matches(case([point], seen), LIMITS) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_place_at_the_edge_may_be_outside(version) -> None:
    inside = case([(230, 330)], [(281, 310), (280, 312)])

    with use_backend(version):
        assert missing_matches(replace(inside, size=(320, 947)), LIMITS) == 1
        assert missing_matches(replace(inside, size=(290, 957)), LIMITS) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_the_place_follows_scale_and_turn_of_the_matches(version) -> None:
    turned = np.array([[0.0, -2.0], [2.0, 0.0]])
    straight = case([(230, 330)], [])
    there = np.array([(230.0, 330.0)]) @ turned.T + (800, 100)
    moved = replace(straight, partners=GRID @ turned.T + (800, 100), seen=np.repeat(there, 2, axis=0))

    with use_backend(version):
        assert missing_matches(moved, LIMITS) == 1
        assert missing_matches(replace(moved, seen=moved.seen + 60), LIMITS) == 0


@pytest.mark.skipif(not has_numba(), reason="needs numba")
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(1, 30), st.integers(0, 60))
def test_the_compiled_version_counts_as_the_plain_one(seed, num_points, num_matches, num_seen) -> None:
    rng = np.random.default_rng(seed)
    matched = rng.uniform(0, SIZE, (num_matches, 2))
    some = Case(
        points=rng.uniform(0, SIZE, (num_points, 2)),
        matched=matched,
        partners=matched + rng.normal(0, 15, matched.shape),
        seen=rng.uniform(0, SIZE, (num_seen, 2)),
        size=SIZE,
        diagonal=DIAGONAL,
    )

    counts = []
    for version in ("torch", "triton"):
        with use_backend(version):
            counts.append(missing_matches(some, LIMITS))

    assert counts[0] == counts[1]
