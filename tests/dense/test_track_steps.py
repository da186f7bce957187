"""Steps on the way to tracks: votes, snapping, and unconfirmed matches."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from retrieval import Pair
from sfm.mast3r.values import DenseMatches
from sfm.matching.dense.tracks.keypoint_values import TrackKeypoints
from sfm.matching.dense.tracks.raw_matches import with_raw_matches
from sfm.matching.dense.tracks.snapping import snap_keypoints, unoccupied
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


CORNERS = np.array([[10, 10], [20, 20], [np.nan, 5], [40, 40.5]], np.float32)


def test_only_positions_within_reach_move() -> None:
    positions = np.array([[10.4, 10], [20, 22], [40, 40]], np.float32)

    moved, snapped = snap_keypoints(positions, CORNERS, 1.0)

    assert snapped.tolist() == [True, False, True]
    assert np.array_equal(moved, np.array([[10, 10], [20, 22], [40, 40.5]], np.float32))


def test_a_corner_takes_the_nearest_position_alone() -> None:
    positions = np.array([[10.6, 10], [10.1, 10], [9.5, 10]], np.float32)

    moved, snapped = snap_keypoints(positions, CORNERS, 1.0)

    assert snapped.tolist() == [False, True, False]
    assert np.array_equal(moved[[0, 2]], positions[[0, 2]])


def test_without_corners_or_positions_nothing_happens() -> None:
    nothing = np.zeros((0, 2), np.float32)

    assert np.array_equal(snap_keypoints(CORNERS[:2], nothing, 1.0)[0], CORNERS[:2])
    assert snap_keypoints(nothing, CORNERS, 1.0)[0].shape == (0, 2)


def test_corners_that_keypoints_sit_on_are_taken() -> None:
    free = unoccupied(CORNERS, np.array([[20.3, 20]], np.float32), 0.5)

    assert np.array_equal(free, CORNERS[[0, 3]])
    assert len(unoccupied(CORNERS, np.zeros((0, 2), np.float32), 0.5)) == 3


PAIR, PX = Pair("a", "b"), {"a": 2.0, "b": 3.0}


def tracked(count: int) -> TrackKeypoints:
    xy = np.stack((20.0 * np.arange(count), np.full(count, 50.0)), axis=1).astype(np.float32)
    rows = np.stack((np.arange(count), np.arange(count)), axis=1).astype(np.uint32)
    ones = np.ones(count, np.float32)
    return TrackKeypoints({"a": xy, "b": xy + 1}, {PAIR: rows}, {PAIR: ones}, {PAIR: 0})


def dense(*xy: tuple[float, float]) -> DenseMatches:
    a = np.array(xy, np.float32)
    return DenseMatches(a, a + 1, np.arange(1, len(a) + 1, dtype=np.float32))


def test_far_matches_are_added_and_near_ones_are_not() -> None:
    out = with_raw_matches(tracked(3), {PAIR: dense((21, 52), (100, 200))}, PX, 100)
    assert out.matches[PAIR].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert out.keypoints["a"][3].tolist() == [100, 200]
    assert np.array_equal(out.keypoints["a"][:3], tracked(3).keypoints["a"])
    assert out.confidence[PAIR].tolist() == [1, 1, 1, 2]


def test_rich_pairs_stay_as_they_are() -> None:
    rich = tracked(150)
    out = with_raw_matches(rich, {PAIR: dense((21, 400), (100, 200))}, PX, 1000)
    assert np.array_equal(out.matches[PAIR], rich.matches[PAIR])
    assert all(np.array_equal(out.keypoints[n], rich.keypoints[n]) for n in "ab")


def test_no_keypoint_is_used_twice_in_a_pair_and_the_limit_holds() -> None:
    crowd = dense(*[(100 + 0.1 * i, 200) for i in range(20)], *[(300 + 8 * i, 200) for i in range(20)])
    out = with_raw_matches(tracked(3), {PAIR: crowd}, PX, 10)
    assert len(out.matches[PAIR]) == 10
    for side in (0, 1):
        assert len(np.unique(out.matches[PAIR][:, side])) == 10
    assert max(out.matches[PAIR][:, 0]) == len(out.keypoints["a"]) - 1


def test_nan_is_left_out() -> None:
    out = with_raw_matches(tracked(2), {PAIR: dense((np.nan, 5), (100, 200))}, PX, 100)
    assert len(out.matches[PAIR]) == 3
    assert np.isfinite(out.keypoints["a"]).all()
