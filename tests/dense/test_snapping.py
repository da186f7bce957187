"""Snapping to corners: within reach, one keypoint a corner."""

from __future__ import annotations

import numpy as np

from sfm.matching.dense.tracks.snapping import snap_keypoints, unoccupied

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
