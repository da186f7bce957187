"""Pairwise pose errors and what is made of them: AUC, RRA, RTA.

Conventions: pairs i < j over all images of the ground truth; the error of a pair is the larger of the
rotation error and of the angle between the translation directions, sign included; a pair with a missing image
has 180 degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfm.colmap.model_poses import Poses
from sfm.geometry.similarity import extent, fit_similarity

Array = NDArray[np.float64]
THRESHOLDS_DEG = (1, 3, 5, 10, 20, 30)
MISSING_DEG = 180.0


@dataclass(frozen=True, slots=True, eq=False)
class PairErrors:
    """Errors of all pairs i < j of N images, ordered (0,1), (0,2), …: arrays (N (N - 1) / 2,), degrees."""

    rotation_deg: Array
    translation_deg: Array

    @property
    def pose_deg(self) -> Array:
        """The larger of both."""
        return np.maximum(self.rotation_deg, self.translation_deg)

    @staticmethod
    def joined(parts: Sequence[PairErrors]) -> PairErrors:
        """The pairs of several groups of images one after another."""
        return PairErrors(
            np.concatenate([part.rotation_deg for part in parts] or [np.zeros(0)]),
            np.concatenate([part.translation_deg for part in parts] or [np.zeros(0)]),
        )


def pair_errors(
    estimated: Poses, true: Poses, names: Sequence[str], *, min_baseline: float = 0.0, signed: bool = True
) -> PairErrors:
    """Relative pose errors of all pairs of `names`.

    Args:
        estimated: poses of one model; images that are not in it make their pairs fail.
        true: poses of all `names`.
        names: images, as in `true`; in a pair the earlier is i. Reversed they give the errors of j to i.
        min_baseline: pairs whose true centres are nearer than this count by rotation alone.
        signed: whether a translation the wrong way round is wrong; otherwise the error is the smaller of the
            angle and of what it lacks to 180 degrees, as PoseDiffusion and VGGT have it.
    """
    present = np.array([name in estimated for name in names])
    any_pose = next(iter(true.values())) if true else None
    rotation, translation = stacked([estimated.get(name, any_pose) for name in names])
    true_rotation, true_translation = stacked([true[name] for name in names])
    parts = []
    for i in range(len(names) - 1):
        later = slice(i + 1, None)
        relative = relative_poses(rotation, translation, i, later)
        wanted = relative_poses(true_rotation, true_translation, i, later)
        part = relative_errors(relative, wanted, min_baseline, signed=signed)
        missing = ~(present[i] & present[later])
        part.rotation_deg[missing] = part.translation_deg[missing] = MISSING_DEG
        parts.append(part)
    return PairErrors.joined(parts)


def auc(errors_deg: Array, threshold_deg: float, *, min_error: float = 0.0) -> float:
    """Area under the recall curve up to the threshold, per cent, exact.

    The curve is COLMAP's (`compute_auc` of its benchmark): linear between (0, 0) and the points (k-th
    smallest error, k / N), and level from the last of them to the threshold. With `min_error` it is level
    from (0, r) to (min_error, r), r the share of errors up to there: smaller ones are none.
    """
    if len(errors_deg) == 0:
        return 0.0
    errors = np.sort(errors_deg)
    recall = np.arange(1, len(errors) + 1) / len(errors)
    below = int(np.searchsorted(errors, min_error, side="right")) if min_error > 0 else 0
    within = int(np.searchsorted(errors, threshold_deg, side="right"))
    start = recall[below - 1] if below else 0.0
    last = recall[within - 1] if within > below else start
    x = np.concatenate([[0.0, min_error], errors[below:within], [threshold_deg]])
    y = np.concatenate([[start, start], recall[below:within], [last]])
    return float(100 * np.trapezoid(y, x) / threshold_deg)


def auc_histogram(errors_deg: Array, threshold_deg: int) -> float:
    """The same from bins of one degree: mean recall at 1, 2, … degrees, per cent.

    PoseDiffusion's mAA and VGGT's AUC, which take errors that do not mind the sign of translations.
    """
    if len(errors_deg) == 0:
        return 0.0
    return float(np.mean([recall(errors_deg, limit) for limit in range(1, threshold_deg + 1)]))


def auc_histogram_both_ways(forth_deg: Array, back_deg: Array, threshold_deg: int) -> float:
    """Mean of `auc_histogram` over errors of pairs i to j and of the same pairs j to i, per cent.

    The direction of a translation is in the frame of a pair's second image. So its error depends on the order
    where the rotation is wrong, too. VGGT-X (arXiv 2509.25191) averages both orders.
    """
    return (auc_histogram(forth_deg, threshold_deg) + auc_histogram(back_deg, threshold_deg)) / 2


def recall(errors_deg: Array, threshold_deg: float) -> float:
    """Share of pairs with an error below the threshold, per cent: RRA of rotations, RTA of translations."""
    return float(100 * np.mean(errors_deg < threshold_deg)) if len(errors_deg) else 0.0


def stacked(poses: Sequence[object]) -> tuple[Array, Array]:
    """Rotation matrices (N, 3, 3) and translations (N, 3) of cam_from_world."""
    matrices = np.array([pose.matrix() for pose in poses], dtype=np.float64).reshape(-1, 3, 4)  # type: ignore[attr-defined]
    return matrices[:, :, :3], matrices[:, :, 3]


def relative_poses(rotation: Array, translation: Array, i: int, others: slice) -> tuple[Array, Array]:
    """Rotations (M, 3, 3) and translations (M, 3) of camj_from_cami for the M images j of a slice."""
    relative = rotation[others] @ rotation[i].T
    return relative, translation[others] - relative @ translation[i]


def relative_errors(
    estimated: tuple[Array, Array], true: tuple[Array, Array], min_baseline: float, *, signed: bool = True
) -> PairErrors:
    """Errors of relative poses, both as `relative_poses` gives them; other arguments as in `pair_errors`."""
    turn = estimated[0] @ true[0].transpose(0, 2, 1)
    # atan2 of sine and cosine: acos alone loses half of the digits near 0.
    sine = np.linalg.norm(turn - turn.transpose(0, 2, 1), axis=(1, 2)) / np.sqrt(8)
    cosine = (np.trace(turn, axis1=1, axis2=2) - 1) / 2
    rotation = np.degrees(np.arctan2(sine, cosine))
    cross = np.linalg.norm(np.cross(estimated[1], true[1]), axis=1)
    dot = np.sum(estimated[1] * true[1], axis=1)
    direction = np.degrees(np.arctan2(cross, dot if signed else np.abs(dot)))
    direction[np.linalg.norm(estimated[1], axis=1) == 0] = MISSING_DEG  # images collapsed into one point
    direction[np.linalg.norm(true[1], axis=1) <= min_baseline] = 0.0
    return PairErrors(rotation, direction)


@dataclass(frozen=True, slots=True)
class TrajectoryError:
    """Root mean square distance of camera centres after a similarity fit (ATE)."""

    raw: float
    """In the unit of the ground truth."""
    normalised: float
    """Divided by the root mean square distance of the true centres from their mean."""
    frobenius: float
    """Divided by the root of the sum of their squared distances from it, the Frobenius norm of the centred
    trajectory, as FlowMap has it: `normalised` over the root of the number of images."""
    num_photos: int
    metres: float | None = None
    """`raw` in metres, where the ground truth has a metric scale."""


def centres(poses: Poses, names: Sequence[str]) -> Array:
    """Camera centres in the world, (N, 3)."""
    found = [poses[name].inverse().translation for name in names]
    return np.array(found, dtype=np.float64).reshape(-1, 3)


def trajectory_error(
    estimated: Poses, true: Poses, names: Sequence[str], *, metres_per_unit: float | None = None
) -> TrajectoryError | None:
    """ATE over the images of `names` that are in the model; None with fewer than three of them.

    It is the root mean square distance of camera centres after the similarity that minimises it.
    """
    common = [name for name in names if name in estimated]
    source, target = centres(estimated, common), centres(true, common)
    fit = fit_similarity(source, target)
    if fit is None:
        return None
    distance = np.linalg.norm(fit * source - target, axis=1)
    raw = float(np.sqrt(np.mean(distance**2)))
    normalised = raw / extent(target)
    return TrajectoryError(
        raw=raw,
        normalised=normalised,
        frobenius=normalised / len(common) ** 0.5,
        num_photos=len(common),
        metres=None if metres_per_unit is None else raw * metres_per_unit,
    )
