"""Naive merging: whole pixels, union-find, conflicts kept or dropped, rows that exist kept."""

import numpy as np

from retrieval import Pair
from sfm.mast3r.values import DenseMatches
from sfm.matching.dense.tracks.raw_tracks import raw_keypoints

AB, AC, BC = Pair("a", "b"), Pair("a", "c"), Pair("b", "c")
PX = {"a": 2.0, "b": 2.0, "c": 4.0}


def matches(*rows: tuple[float, float, float, float], confidence: float = 1.0) -> DenseMatches:
    table = np.array(rows, np.float32).reshape(-1, 4)
    return DenseMatches(table[:, :2], table[:, 2:], np.full(len(table), confidence, np.float32))


def test_matches_on_one_pixel_share_a_keypoint() -> None:
    pairs = {AB: matches((1, 1, 5, 5), (3, 3, 7, 7)), AC: matches((1, 1, 10, 10), (1, 1, 10, 10))}

    tracked = raw_keypoints(pairs, PX)

    assert {name: len(table) for name, table in tracked.keypoints.items()} == {"a": 2, "b": 2, "c": 1}
    assert tracked.matches[AB].tolist() == [[0, 0], [1, 1]]
    assert tracked.matches[AC].tolist() == [[0, 0]]
    assert np.array_equal(tracked.keypoints["a"], np.array([[1, 1], [3, 3]], np.float32))


def test_positions_within_a_pixel_are_one_keypoint_in_the_middle() -> None:
    tracked = raw_keypoints({AB: matches((4.2, 4.2, 9, 9), (4.6, 4.6, 1, 1))}, PX)

    np.testing.assert_allclose(tracked.keypoints["a"], [[4.4, 4.4]])


def test_conflicting_tracks_are_kept_or_dropped() -> None:
    """Two pixels of a, joined through c."""
    pairs = {
        AB: matches((1, 1, 5, 5), (21, 21, 25, 25)),
        AC: matches((1, 1, 10, 10), (41, 41, 50, 50)),
        BC: matches((25, 25, 10, 10)),
    }

    kept = raw_keypoints(pairs, PX)
    dropped = raw_keypoints(pairs, PX, conflicts="drop")

    assert sum(map(len, kept.matches.values())) == 5
    assert {pair: len(rows) for pair, rows in dropped.matches.items()} == {AB: 0, AC: 1, BC: 0}
    assert len(dropped.confidence[AC]) == 1


def test_existing_rows_stay_and_are_used() -> None:
    existing = {"a": np.array([[9.1, 9.9], [1.5, 1.5]], np.float32), "c": np.zeros((0, 2), np.float32)}

    tracked = raw_keypoints({AB: matches((1, 1, 5, 5), (30, 30, 6, 3))}, PX, existing)

    assert np.array_equal(tracked.keypoints["a"][:2], existing["a"])
    assert sorted(tracked.matches[AB][:, 0].tolist()) == [1, 2]
    assert len(tracked.keypoints["c"]) == 0


def test_unusable_matches_are_refused() -> None:
    pairs = {AB: matches((1, 1, 5, 5), (np.nan, 1, 5, 5), (1, 1, -5, 5), (1, np.inf, 5, 5))}

    tracked = raw_keypoints(pairs, PX)

    assert tracked.refused == {AB: 3}
    assert len(tracked.matches[AB]) == 1
    assert raw_keypoints(pairs, PX, min_confidence=2.0).refused == {AB: 4}


def test_nothing() -> None:
    assert raw_keypoints({}, {}).keypoints == {}
    assert raw_keypoints({AB: matches()}, PX, conflicts="drop").matches[AB].shape == (0, 2)
