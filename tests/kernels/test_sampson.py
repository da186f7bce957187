"""Sampson distances: by hand, and the compiled version against the plain one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.dispatch import has_numba, use_backend
from kernels.sampson import sampson_distances, sampson_medians

VERSIONS = ("torch", pytest.param("triton", marks=pytest.mark.skipif(not has_numba(), reason="needs numba")))
"""The plain version and the compiled one."""
SIDEWAYS = np.array([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Of a camera that moved along x without turning: epipolar lines are rows."""


@pytest.mark.parametrize("version", VERSIONS)
def test_of_a_sideways_motion_both_points_take_half_of_the_offset(version) -> None:
    # half of it in each photo, together its length over the square root of two
    offsets = [0.01, -0.03, 0.02, 0.5]
    first = np.array([(0.1 * i, 0.2, 1.0) for i in range(4)])
    second = first + np.array([(0.3, offset, 0.0) for offset in offsets])
    matches = np.column_stack((np.arange(4), np.arange(4, 8)))

    with use_backend(version):
        medians = sampson_medians(
            np.concatenate((first, second)), matches, np.array([3, 4]), np.array([SIDEWAYS, SIDEWAYS])
        )

    assert medians == pytest.approx([0.02 / np.sqrt(2), 0.5 / np.sqrt(2)])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_point_without_a_ray_is_infinitely_far_and_does_not_decide_for_its_pair(version) -> None:
    first = np.array([(0.0, 0.2, 1.0), (0.1, 0.2, 1.0), (np.nan, np.nan, 1.0)])
    second = first + np.array((0.3, 0.02, 0.0))
    matches = np.column_stack((np.arange(3), np.arange(3, 6)))

    with use_backend(version):
        medians = sampson_medians(
            np.concatenate((first, second)), matches, np.array([3]), np.array([SIDEWAYS])
        )

    assert medians == pytest.approx([0.02 / np.sqrt(2)])


def test_points_on_their_lines_have_none_and_at_both_epipoles_any_point_agrees() -> None:
    points = np.array([(0.3, -0.2, 1.0)])
    forward = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]])

    assert sampson_distances(points, points * (2, 2, 1), forward) == pytest.approx([0])
    assert sampson_distances(np.array([(0.0, 0, 1)]), np.array([(0.0, 0, 1)]), forward) == pytest.approx([0])


@pytest.mark.skipif(not has_numba(), reason="needs numba")
@given(st.integers(0, 10**6), st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_compiled_it_is_the_same(seed: int, counts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    rays = np.column_stack((rng.normal(size=(40, 2)), np.ones(40)))
    matches = rng.integers(0, 40, size=(sum(counts), 2))
    essentials = rng.normal(size=(len(counts), 3, 3))
    found = []
    for version in ("torch", "triton"):
        with use_backend(version):
            found.append(sampson_medians(rays, matches, np.cumsum(counts), essentials))

    np.testing.assert_allclose(found[1], found[0], rtol=1e-10, atol=1e-12)
