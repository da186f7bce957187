"""Every metric against numbers worked out by hand, and against its promises."""

import itertools
import math

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sfm.evaluation.evaluate import evaluate_poses
from sfm.evaluation.ground_truth import GroundTruth
from sfm.evaluation.metrics import auc, auc_histogram, auc_histogram_both_ways, pair_errors, recall

errors = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 180))


def turned(axis: tuple[float, float, float], angle_deg: float) -> pycolmap.Rotation3d:
    return pycolmap.Rotation3d(np.radians(angle_deg) * np.array(axis))


def at(centre: tuple[float, float, float], rotation: pycolmap.Rotation3d | None = None) -> pycolmap.Rigid3d:
    rotation = rotation or pycolmap.Rotation3d()
    return pycolmap.Rigid3d(rotation, -(rotation.matrix() @ np.array(centre)))


@pytest.mark.parametrize(
    ("values", "threshold", "area"),
    [
        ([2.0, 1.0], 4, 75),  # points (0, 0), (1, 0.5), (2, 1), then level to 4: 0.25 + 0.75 + 2 = 3 of 4
        ([1.0, 50.0], 3, 125 / 3),  # points (0, 0), (1, 0.5), then level to 3: 0.25 + 1 = 1.25 of 3
        ([10.0, 180.0], 5, 0),
        ([], 5, 0),
        ([0.0] * 7, 1, 100),
    ],
)
def test_auc_is_the_area_worked_out_by_hand(values: list[float], threshold: int, area: float) -> None:
    assert auc(np.array(values), threshold) == pytest.approx(area)


@given(errors)
def test_auc_never_falls_as_the_threshold_grows(values: np.ndarray) -> None:
    areas = [auc(values, t) for t in (1, 3, 5, 10, 20, 30)]

    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(areas))
    assert all(0 <= a <= 100 + 1e-9 for a in areas)


def test_the_histogram_form_is_the_mean_recall_at_whole_degrees() -> None:
    # Below 1: one of four; below 2: two; below 3: three.
    assert auc_histogram(np.array([0.5, 1.5, 2.5, 90.0]), 3) == pytest.approx(100 * (0.25 + 0.5 + 0.75) / 3)


def test_both_ways_is_the_mean_of_both_orders_of_a_pair_worked_out_by_hand() -> None:
    """The second photo is turned by 1.7 degrees, and its place by 1.5 the other way about the first.

    From a to b the direction is seen from b: wrong by 1.7 + 1.5 = 3.2 degrees, below 4 and 5 alone. From b to
    a it is seen from a, which is right: 1.5, and the rotation's 1.7 counts: below 2, 3, 4 and 5.
    """
    x, z = math.cos(math.radians(1.5)), math.sin(math.radians(1.5))
    true = {"a": at((0, 0, 0)), "b": at((1, 0, 0))}
    estimated = {"a": at((0, 0, 0)), "b": at((x, 0, -z), turned((0, 1, 0), 1.7))}

    forth, back = (pair_errors(estimated, true, names).pose_deg for names in ("ab", "ba"))
    score = evaluate_poses([estimated], GroundTruth(true, None, None)).overall

    assert forth == pytest.approx([3.2])
    assert back == pytest.approx([1.7])
    assert auc_histogram(forth, 5) == pytest.approx(40.0)
    assert auc_histogram(back, 5) == pytest.approx(80.0)
    assert auc_histogram_both_ways(forth, back, 5) == pytest.approx(60.0)
    assert score.auc_1deg_bins_unsigned[5] == pytest.approx(40.0)
    assert score.auc_1deg_bins_unsigned_both_ways[5] == pytest.approx(60.0)


def test_recall_is_strict() -> None:
    assert recall(np.array([4.9, 5.0, 180.0]), 5) == pytest.approx(100 / 3)


@pytest.mark.parametrize(
    ("second", "rotation", "translation"),
    [
        (at((1, 0, 0), turned((0, 1, 0), 7.0)), 7.0, 7.0),  # seen from b, a has moved by as much
        (at((-2, 0, 0)), 0.0, 180.0),
        (at((1, math.tan(math.radians(30)), 0)), 0.0, 30.0),
        (at((0, 0, 0)), 0.0, 180.0),
        (at((1, 0, 0), turned((1, 0, 0), 1e-6)), 1e-6, 0.0),
    ],
    ids=["turned", "the other way", "aside", "collapsed", "hardly turned"],
)
def test_errors_of_a_pair(second: pycolmap.Rigid3d, rotation: float, translation: float) -> None:
    true = {"a": at((0, 0, 0)), "b": at((1, 0, 0))}

    found = pair_errors({"a": true["a"], "b": second}, true, ["a", "b"])

    assert found.rotation_deg == pytest.approx([rotation], rel=1e-4)
    assert found.translation_deg == pytest.approx([translation], abs=1e-5)
    assert found.pose_deg == pytest.approx([max(rotation, translation)], rel=1e-4)


def test_pairs_of_a_missing_photo_fail_and_pairs_come_in_order() -> None:
    true = {"a": at((0, 0, 0)), "b": at((1, 0, 0)), "c": at((0, 1, 0))}
    estimated = {"a": true["a"], "c": true["c"]}

    found = pair_errors(estimated, true, ["a", "b", "c"])

    assert found.pose_deg == pytest.approx([180.0, 0.0, 180.0])  # ab, ac, bc


def test_without_a_true_baseline_only_the_rotation_counts() -> None:
    true = {"a": at((0, 0, 0)), "b": at((0.0005, 0, 0), turned((0, 0, 1), 40))}
    estimated = {"a": at((0, 0, 0)), "b": at((0, 0.003, 0), turned((0, 0, 1), 42))}

    assert pair_errors(estimated, true, ["a", "b"], min_baseline=1e-3).pose_deg == pytest.approx([2.0])
    assert pair_errors(estimated, true, ["a", "b"]).pose_deg > 80


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), shift=st.tuples(*[st.floats(-50, 50)] * 3))
def test_a_similarity_of_the_world_changes_nothing(
    seed: int, scale: float, shift: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(seed)
    true, moved = {}, {}
    turn = pycolmap.Rotation3d(rng.normal(size=3))
    for name in "abcd":
        rotation = pycolmap.Rotation3d(rng.normal(size=3))
        centre = rng.normal(size=3)
        true[name] = at(tuple(centre), rotation)
        moved[name] = at(tuple(scale * (turn.matrix() @ centre) + shift), rotation * turn.inverse())

    found = pair_errors(moved, true, list("abcd"))

    assert found.pose_deg.max() < 1e-3
    assert auc(found.pose_deg, 1) == pytest.approx(100, abs=0.1)


def test_without_its_sign_a_translation_the_wrong_way_round_is_right() -> None:
    true = {"a": at((0, 0, 0)), "b": at((1, 0, 0))}
    estimated = {"a": at((0, 0, 0)), "b": at((-1, math.tan(math.radians(20)), 0))}

    assert pair_errors(estimated, true, ["a", "b"]).translation_deg == pytest.approx([160.0])
    assert pair_errors(estimated, true, ["a", "b"], signed=False).translation_deg == pytest.approx([20.0])
