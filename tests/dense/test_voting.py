"""Canonical keypoints: where votes pile up, apart from each other, evenly spread."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from sfm.matching.dense.tracks.voting import canonical_keypoints

NOWHERE = np.zeros((0, 2), np.float32)


def votes(seed: int, count: int = 2000) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 150, (count, 2)).astype(np.float32)


@given(seed=st.integers(0, 1000), radius=st.floats(1, 9), limit=st.integers(0, 400))
def test_keypoints_keep_their_distance_and_their_number(seed: int, radius: float, limit: int) -> None:
    taken = votes(seed + 1, 20)

    found = canonical_keypoints(votes(seed), np.ones(2000, np.float32), taken, radius=radius, limit=limit)

    assert len(found) <= limit
    if len(found):
        gap = np.abs(found[:, None] - taken[None]).max(2).min()
        assert gap >= min(radius, 1)
    if len(found) > 1:
        # Cells are whole pixels, keypoints lie somewhere in them.
        assert pdist(found, "chebyshev").min() > radius - 2


def test_the_places_of_most_votes_win() -> None:
    rng = np.random.default_rng(0)
    places = np.array([[20.5, 30.5], [90.5, 40.5], [60.5, 100.5]])
    piled = np.repeat(places, [90, 60, 30], axis=0) + rng.normal(0, 0.6, (180, 2))
    background = rng.uniform(0, 150, (300, 2))
    everything = np.concatenate((background, piled)).astype(np.float32)

    found = canonical_keypoints(
        everything, np.ones(len(everything), np.float32), NOWHERE, radius=4, limit=400
    )

    assert np.all(np.linalg.norm(found[:3] - places, axis=1) < 1.5)


def test_confident_votes_count_more() -> None:
    two = np.array([[10.5, 10.5], [50.5, 50.5]], np.float32)

    found = canonical_keypoints(two, np.array([1, 3], np.float32), NOWHERE, radius=3, limit=10)

    assert np.array_equal(found, two[::-1])


def test_nobody_votes() -> None:
    assert canonical_keypoints(NOWHERE, np.zeros(0, np.float32), NOWHERE, radius=3, limit=9).shape == (0, 2)


def test_votes_of_absurdly_large_photos_cost_no_more_memory() -> None:
    far = np.array([[0, 0], [99_000, 80_000], [50_000, 40_000]], np.float32)

    found = canonical_keypoints(far, np.ones(3, np.float32), NOWHERE, radius=3, limit=9)

    assert len(found) == 3
