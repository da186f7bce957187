"""Metrics on random models with missing photos against second derivations: evo, and definitions in loops."""

import bisect
import copy
import itertools
import math

import numpy as np
import pycolmap
import pytest

from sfm.evaluation.colmap_benchmark import colmap_recall, ordered_pair_errors
from sfm.evaluation.evaluate import evaluate_poses
from sfm.evaluation.ground_truth import GroundTruth
from sfm.evaluation.metrics import (
    THRESHOLDS_DEG,
    auc,
    auc_histogram,
    centres,
    pair_errors,
    recall,
    trajectory_error,
)
from sfm.geometry.similarity import fit_similarity

NUM_MODELS = 100
TOLERANCE = 1e-9


def random_poses(rng: np.random.Generator, count: int) -> dict[str, pycolmap.Rigid3d]:
    return {
        f"{i:02d}.jpg": pycolmap.Rigid3d(pycolmap.Rotation3d(rng.normal(size=3)), rng.normal(size=3) * 3)
        for i in range(count)
    }


def disturbed(rng: np.random.Generator, poses: dict[str, pycolmap.Rigid3d]) -> dict[str, pycolmap.Rigid3d]:
    """The same poses with errors from a thousandth of a degree to gross, in a frame of their own."""
    frame = pycolmap.Sim3d(
        float(rng.uniform(0.1, 10)), pycolmap.Rotation3d(rng.normal(size=3)), rng.normal(size=3) * 5
    )
    out = {}
    for name, pose in poses.items():
        size = 10 ** rng.uniform(-5, 0)
        turn = pycolmap.Rotation3d(rng.normal(size=3) * size)
        centre = frame * (pose.inverse().translation + rng.normal(size=3) * size)
        rotation = turn * pose.rotation * frame.rotation.inverse()
        out[name] = pycolmap.Rigid3d(rotation, -(rotation.matrix() @ centre))
    return out


def cases() -> list[tuple[dict[str, pycolmap.Rigid3d], dict[str, pycolmap.Rigid3d]]]:
    """True and estimated poses; about a quarter of the photos are missing."""
    found = []
    for seed in range(NUM_MODELS):
        rng = np.random.default_rng(seed)
        true = random_poses(rng, int(rng.integers(5, 13)))
        estimated = disturbed(rng, true)
        kept = [name for name in true if rng.random() < 0.75]
        kept = kept if len(kept) >= 4 else list(true)[:4]
        found.append((true, {name: estimated[name] for name in kept}))
    assert any(len(estimated) < len(true) for true, estimated in found)
    return found


def angle(a, b) -> float:
    """Between two vectors, degrees, by Kahan's formula: exact for small and for large angles."""
    a, b = np.asarray(a) / np.linalg.norm(a), np.asarray(b) / np.linalg.norm(b)
    return math.degrees(2 * math.atan2(np.linalg.norm(a - b), np.linalg.norm(a + b)))


def relative_pose_error(estimated, true, i: str, j: str) -> tuple[float, float]:
    """Rotation and translation error of one pair by pycolmap's transforms, degrees."""
    found = estimated[j] * estimated[i].inverse()
    wanted = true[j] * true[i].inverse()
    quaternion = (found.rotation * wanted.rotation.inverse()).quat
    turn = math.degrees(2 * math.atan2(np.linalg.norm(quaternion[:3]), abs(quaternion[3])))
    return turn, angle(found.translation, wanted.translation)


def area_below(errors: list[float], threshold: float) -> float:
    """Of the recall curve by its definition, per cent: linear pieces, each integrated at its midpoint.

    The curve: 0 at 0, k / N at the k-th smallest error, linear between, level behind the last.
    """
    ordered = sorted(errors)
    inside = [e for e in ordered if e <= threshold]

    def height(x: float) -> float:
        k = bisect.bisect_right(inside, x)
        if k == len(inside):
            return k / len(ordered)
        left = inside[k - 1] if k else 0.0
        return (k + (x - left) / (inside[k] - left)) / len(ordered)

    ends = [0.0, *inside, threshold]
    total = sum((b - a) * height((a + b) / 2) for a, b in itertools.pairwise(ends) if b > a)
    return 100 * total / threshold


def all_pairs(true, estimated, *, signed: bool = True) -> tuple[list[float], list[float]]:
    names = sorted(true)
    rotation, translation = [], []
    for a, i in enumerate(names):
        for j in names[a + 1 :]:
            if i not in estimated or j not in estimated:
                rotation.append(180.0)
                translation.append(180.0)
                continue
            turn, shift = relative_pose_error(estimated, true, i, j)
            rotation.append(turn)
            translation.append(shift if signed else min(shift, 180 - shift))
    return rotation, translation


def test_auc_rra_and_rta_equal_their_definitions() -> None:
    for true, estimated in cases():
        rotation, translation = all_pairs(true, estimated)
        pose = [max(pair) for pair in zip(rotation, translation, strict=True)]
        folded = [s if r == 180 else min(s, 180 - s) for r, s in zip(rotation, translation, strict=True)]
        unsigned = [max(pair) for pair in zip(rotation, folded, strict=True)]

        score = evaluate_poses([estimated], GroundTruth(true, None, None)).overall

        for t in THRESHOLDS_DEG:
            assert score.auc[t] == pytest.approx(area_below(pose, t), abs=TOLERANCE)
            bins = [100 * sum(e < limit for e in pose) / len(pose) for limit in range(1, t + 1)]
            assert score.auc_1deg_bins[t] == pytest.approx(sum(bins) / t, abs=TOLERANCE)
            either = [100 * sum(e < limit for e in unsigned) / len(pose) for limit in range(1, t + 1)]
            assert score.auc_1deg_bins_unsigned[t] == pytest.approx(sum(either) / t, abs=TOLERANCE)
        for t in (5, 15):
            assert score.rra[t] == pytest.approx(
                100 * sum(e < t for e in rotation) / len(rotation), abs=TOLERANCE
            )
            assert score.rta[t] == pytest.approx(
                100 * sum(e < t for e in translation) / len(translation), abs=TOLERANCE
            )


def test_unsigned_errors_equal_their_definition_and_missing_photos_still_fail() -> None:
    for true, estimated in cases():
        backwards = {  # as if seen in a mirror of the scene: every baseline the wrong way round
            name: pycolmap.Rigid3d(pose.rotation, -pose.translation) for name, pose in estimated.items()
        }
        for poses in (estimated, backwards):
            rotation, translation = all_pairs(true, poses, signed=False)

            found = pair_errors(poses, true, sorted(true), signed=False)

            np.testing.assert_allclose(found.rotation_deg, rotation, atol=TOLERANCE)
            np.testing.assert_allclose(found.translation_deg, translation, atol=TOLERANCE)


def test_ate_and_the_similarity_equal_evos() -> None:
    from evo.core.metrics import APE, PoseRelation, StatisticsType
    from evo.core.trajectory import PosePath3D

    for true, estimated in cases():
        names = sorted(estimated)
        source, target = centres(estimated, names), centres(true, names)
        turns = np.tile([1.0, 0, 0, 0], (len(names), 1))
        theirs = PosePath3D(positions_xyz=copy.deepcopy(source), orientations_quat_wxyz=turns)
        reference = PosePath3D(positions_xyz=copy.deepcopy(target), orientations_quat_wxyz=turns)
        rotation, translation, scale = theirs.align(reference, correct_scale=True)
        measure = APE(PoseRelation.translation_part)
        measure.process_data((reference, theirs))

        fit = fit_similarity(source, target)
        ate = trajectory_error(estimated, true, sorted(true), metres_per_unit=2.5)

        assert fit is not None
        assert fit.scale == pytest.approx(scale, abs=TOLERANCE)
        np.testing.assert_allclose(fit.rotation.matrix(), rotation, atol=TOLERANCE)
        np.testing.assert_allclose(fit.translation, translation, atol=TOLERANCE)
        assert ate is not None
        assert ate.num_photos == len(names)
        assert ate.raw == pytest.approx(measure.get_statistic(StatisticsType.rmse), abs=TOLERANCE)
        spread = target - target.mean(axis=0)
        assert ate.normalised == pytest.approx(ate.raw / math.sqrt((spread**2).sum() / len(names)), rel=1e-12)
        assert ate.frobenius == pytest.approx(ate.raw / math.sqrt((spread**2).sum()), rel=1e-12)
        assert ate.metres == pytest.approx(2.5 * ate.raw)


def several_models(seed: int):
    """Two or three models that overlap, over photos of two scenes of which some are missing."""
    rng = np.random.default_rng(seed)
    true = random_poses(rng, int(rng.integers(6, 12)))
    labels = {name: ("a" if rng.random() < 0.7 else "b") for name in true}
    models = []
    for _ in range(int(rng.integers(1, 4))):
        chosen = {name: true[name] for name in true if rng.random() < 0.5}
        models.append(disturbed(rng, chosen))
    return true, labels, models


def benchmark_errors(true, labels, models, accuracy: float) -> list[float]:
    """A u B pair by pair, as the convention is told."""
    errors, seen = [], set()
    for poses in models:
        for i in poses:
            for j in poses:
                if i == j:
                    continue
                seen.add((i, j))
                if labels[i] != labels[j]:
                    errors.append(180.0)
                    continue
                turn, shift = relative_pose_error(poses, true, i, j)
                baseline = np.linalg.norm((true[j] * true[i].inverse()).translation)
                errors.append(max(turn, 0.0 if baseline < accuracy else shift))
    for i in true:
        for j in true:
            if i != j and labels[i] == labels[j] and (i, j) not in seen:
                errors.append(180.0)
    return errors or [180.0]


def benchmark_area(errors: list[float], threshold: float, min_error: float) -> float:
    """Of the recall curve: level at its share up to `min_error`, then linear through the points."""
    ordered = sorted(errors)
    share = sum(e <= min_error for e in ordered) / len(ordered) if min_error > 0 else 0.0
    points = [(0.0, share), (min_error, share)]
    points += [(e, (k + 1) / len(ordered)) for k, e in enumerate(ordered) if e > min_error or not min_error]
    points = [point for point in points if point[0] <= threshold]
    points.append((threshold, points[-1][1]))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        area += (x1 - x0) * (y0 + y1) / 2
    return 100 * area / threshold


@pytest.mark.parametrize("accuracy", [None, 0.8])
def test_colmaps_convention_equals_its_definition_with_several_models(accuracy: float | None) -> None:
    counts = []
    for seed in range(NUM_MODELS):
        true, labels, models = several_models(seed)
        truth = GroundTruth(true, labels, None, position_accuracy=accuracy)
        wanted = benchmark_errors(true, labels, models, accuracy or 0.0)

        found = ordered_pair_errors(models, truth)

        counts.append(len(models))
        np.testing.assert_allclose(found, sorted(wanted), atol=TOLERANCE)
        for t in (0.5, 1, 5, 10):
            floor = accuracy or 0.0
            area = benchmark_area(wanted, t, floor)
            assert auc(found, t, min_error=floor) == pytest.approx(area, abs=TOLERANCE)
            share = 100 * sum(e <= t for e in wanted) / len(wanted)
            assert colmap_recall(found, t) == pytest.approx(share, abs=TOLERANCE)
    assert {1, 2, 3} <= set(counts)


def test_the_histogram_form_and_recall_are_strict_at_whole_degrees() -> None:
    values = np.array([1.0, 2.0, 2.5])

    assert recall(values, 2) == pytest.approx(100 / 3)
    assert auc_histogram(values, 3) == pytest.approx(100 * (0 + 1 / 3 + 1) / 3)
