"""Matches that no neighbours confirm are kept in poor pairs only, beside what is there."""

from __future__ import annotations

import numpy as np

from retrieval import Pair
from sfm.mast3r.values import DenseMatches
from sfm.matching.dense.tracks.keypoint_values import TrackKeypoints
from sfm.matching.dense.tracks.raw_matches import with_raw_matches

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
