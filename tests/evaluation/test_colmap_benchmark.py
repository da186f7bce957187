"""COLMAP's benchmark convention, worked out by hand."""

import numpy as np
import pycolmap
import pytest

from sfm.evaluation.colmap_benchmark import (
    colmap_benchmark_score,
    colmap_recall,
    ordered_pair_errors,
)
from sfm.evaluation.ground_truth import GroundTruth
from sfm.evaluation.metrics import auc


def truth(poses, labels=None, accuracy=None) -> GroundTruth:
    return GroundTruth(poses, labels, "m", position_accuracy=accuracy)


def test_a_photo_in_two_models_brings_its_pairs_in_both(make_poses):
    poses = make_poses(3)
    some = {name: poses[name] for name in ("p0.jpg", "p1.jpg")}

    errors = ordered_pair_errors([poses, some], truth(poses))

    assert len(errors) == 6 + 2


def test_a_model_of_two_scenes_has_a_failure_for_each_pair_across_them(make_poses):
    poses = make_poses(4)
    labels = {"p0.jpg": "a", "p1.jpg": "a", "p2.jpg": "b", "p3.jpg": "b"}

    errors = ordered_pair_errors([poses], truth(poses, labels))

    assert len(errors) == 12  # four within the scenes, which are in B; eight across, which are not
    assert (errors == 180).sum() == 8


def test_without_a_model_everything_is_missing_and_without_a_pair_there_is_one_failure(make_poses):
    poses = make_poses(3)

    assert ordered_pair_errors([], truth(poses)).tolist() == [180.0] * 6
    assert ordered_pair_errors([], truth(make_poses(1))).tolist() == [180.0]


def test_photos_that_the_truth_does_not_know_are_left_out(make_poses):
    poses = make_poses(3)
    known = {name: pose for name, pose in poses.items() if name != "p2.jpg"}

    assert len(ordered_pair_errors([poses], truth(known))) == 2


def test_a_baseline_below_the_accuracy_of_positions_has_no_direction():
    here, near = pycolmap.Rigid3d(), pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.0005, 0, 0]))
    wrong = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0, 1.0, 0]))
    poses = {"a": here, "b": near}

    assert ordered_pair_errors([{"a": here, "b": wrong}], truth(poses, accuracy=1e-3)).tolist() == [0, 0]
    assert ordered_pair_errors([{"a": here, "b": wrong}], truth(poses, accuracy=1e-4)).tolist() == [90, 90]


def test_errors_up_to_the_least_one_are_none():
    errors = np.array([0.5, 0.9, 2.0, 180.0])

    # Level at 2/4 up to 1, then from there to (2, 3/4), then level to 4: 0.5 + 0.625 + 1.5 of 4.
    assert auc(errors, 4, min_error=1.0) == pytest.approx(100 * 2.625 / 4)
    # From (0, 0): 0.5 * 0.125 + 0.4 * 0.375 + 1.1 * 0.625 + 2 * 0.75 of 4.
    assert auc(errors, 4) == pytest.approx(100 * (0.0625 + 0.15 + 0.6875 + 1.5) / 4)
    assert auc(errors, 0.2, min_error=1.0) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("errors", "threshold", "area"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5], 0.25, 24.0),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 0.5, 50.0),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 1.0, 75.0),
        ([0.1, 0.2, 0.3], 1.0, 85.0),
        ([0.5], 0.3, 0.0),
        ([0.5], 1.0, 75.0),
        ([10.0, 20.0, 30.0], 5.0, 0.0),
        ([0.0, 0.0, 0.0], 0.5, 100.0),
    ],
)
def test_areas_are_those_that_colmaps_own_tests_expect(errors, threshold, area):
    assert auc(np.array(errors), threshold) == pytest.approx(area, abs=1e-9)


def test_recall_counts_errors_at_the_very_threshold():
    assert colmap_recall(np.array([1.0, 1.1]), 1.0) == 50.0


def test_the_score_has_its_four_thresholds_and_counts_pairs(make_poses):
    poses = make_poses(4)

    score = colmap_benchmark_score([poses], truth(poses, accuracy=1e-3))

    assert list(score.auc) == list(score.recall) == [0.5, 1.0, 5.0, 10.0]
    assert list(score.auc.values()) == pytest.approx([100.0] * 4)
    assert score.num_pairs == 12
