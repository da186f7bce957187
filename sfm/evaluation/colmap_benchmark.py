"""Relative pose errors of all models at once, by the convention of COLMAP's own benchmark.

The convention of `benchmark/reconstruction` in COLMAP's repository (`relative_auc`, `relative_recall`):

- A is the multiset of ordered pairs (i, j), i != j, of images in one model; an image in several models brings
  its pairs in each. B is the set of ordered pairs of images in one component of the ground truth.
- The error of a pair in both A and B is the larger of its rotation error and its translation error. The
  translation error is the angle between the true and the estimated translation of camj_from_cami. It is 0
  where the true translation is shorter than the stated accuracy of positions.
- A pair in B alone has an error of 180 degrees: an image is missing, or the images are in different models.
- A pair in A alone has the same error: a model contains images of unrelated scenes. So the denominator is
  |A u B|.

Unlike in `sfm.evaluation.metrics`, pairs count in both directions, all models count, and merged scenes count
as errors. COLMAP also counts images that the ground truth lacks, as failures. Here such images are left out,
since ground truth computed by a program may lack correct images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sfm.colmap.model_poses import Poses
from sfm.evaluation.ground_truth import GroundTruth
from sfm.evaluation.metrics import MISSING_DEG, Array, auc, relative_errors, relative_poses, stacked

BENCHMARK_THRESHOLDS_DEG = (0.5, 1.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class BenchmarkScore:
    """Figures of COLMAP's benchmark, in per cent by threshold in degrees."""

    auc: Mapping[float, float]
    recall: Mapping[float, float]
    num_pairs: int
    """|A u B|."""


def colmap_benchmark_score(models: Sequence[Poses], truth: GroundTruth) -> BenchmarkScore:
    """AUC and recall over the ordered pairs of all models.

    `min_error` of the AUC is the stated accuracy of positions, taken for degrees, as in COLMAP's benchmark.
    """
    errors = ordered_pair_errors(models, truth)
    floor = truth.position_accuracy or 0.0
    return BenchmarkScore(
        auc={t: auc(errors, t, min_error=floor) for t in BENCHMARK_THRESHOLDS_DEG},
        recall={t: colmap_recall(errors, t) for t in BENCHMARK_THRESHOLDS_DEG},
        num_pairs=len(errors),
    )


def ordered_pair_errors(models: Sequence[Poses], truth: GroundTruth) -> Array:
    """Errors of all pairs of A u B, (|A u B|,) degrees, sorted; [180] where there is no pair at all.

    Args:
        models: cam_from_world by the names of the ground truth; images without ground truth are left out.
        truth: poses and components.
    """
    labels = truth.components or dict.fromkeys(truth.poses, "")
    codes = {label: code for code, label in enumerate(sorted(set(labels.values())))}
    names = list(truth.poses)
    places = {name: place for place, name in enumerate(names)}
    component = np.array([codes[labels[name]] for name in names], dtype=np.int64)
    covered = component[:, None] != component[None, :]
    np.fill_diagonal(covered, True)  # no pair, so none that could be missing
    parts = [np.zeros(0)]
    for poses in models:
        members = [name for name in names if name in poses]
        chosen = np.array([places[name] for name in members], dtype=np.int64)
        parts += _errors_within(poses, truth, members, component[chosen])
        covered[np.ix_(chosen, chosen)] = True
    parts.append(np.full(int(np.count_nonzero(~covered)), MISSING_DEG))
    errors = np.sort(np.concatenate(parts))
    return errors if len(errors) else np.array([MISSING_DEG])


def colmap_recall(errors: Array, threshold: float) -> float:
    """Share of errors up to and at a threshold, per cent (`compute_recall` of COLMAP's benchmark)."""
    return float(100 * np.mean(errors <= threshold))


def _errors_within(
    poses: Poses, truth: GroundTruth, members: Sequence[str], component: np.ndarray
) -> list[Array]:
    """Errors of the ordered pairs of one model, an array for each of its images."""
    if len(members) < 2:
        return []
    rotation, translation = stacked([poses[name] for name in members])
    true_rotation, true_translation = stacked([truth.poses[name] for name in members])
    everyone = slice(None)
    parts = []
    for i in range(len(members)):
        found = relative_poses(rotation, translation, i, everyone)
        wanted = relative_poses(true_rotation, true_translation, i, everyone)
        pose = relative_errors(found, wanted, truth.min_baseline).pose_deg
        pose[component != component[i]] = MISSING_DEG
        parts.append(np.delete(pose, i))
    return parts
