"""A model scored against ground truth."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sfm.colmap.model_poses import Poses, find_models, read_poses
from sfm.errors import InputError
from sfm.evaluation.colmap_benchmark import BenchmarkScore, colmap_benchmark_score
from sfm.evaluation.ground_truth import GroundTruth, load_ground_truth
from sfm.evaluation.metrics import (
    THRESHOLDS_DEG,
    PairErrors,
    TrajectoryError,
    auc,
    auc_histogram,
    auc_histogram_both_ways,
    pair_errors,
    recall,
    trajectory_error,
)
from sfm.evaluation.names import match_names
from sfm.workspace.past_runs import warn_of_unfinished


@dataclass(frozen=True, slots=True)
class _Errors:
    """Errors of the same pairs by several conventions."""

    signed: PairErrors
    unsigned: PairErrors
    """Where a translation the wrong way round is right."""
    unsigned_back: PairErrors
    """The same from the later image of each pair to the earlier."""


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of one component (or of all pooled): angles in degrees, shares in per cent."""

    num_photos: int
    num_registered: int
    """Images in the model that is scored: the largest, or the component's own."""
    auc: Mapping[int, float]
    """Exact area under the recall curve by threshold."""
    auc_1deg_bins: Mapping[int, float]
    """From bins of one degree."""
    auc_1deg_bins_unsigned: Mapping[int, float]
    """The same where a translation the wrong way round is right: PoseDiffusion's and VGGT's mAA."""
    auc_1deg_bins_unsigned_both_ways: Mapping[int, float]
    """The mean of that over i to j and over j to i, which does not depend on the order of images (VGGT-X)."""
    rra: Mapping[int, float]
    rta: Mapping[int, float]
    rotation_median_deg: float
    translation_median_deg: float
    ate: TrajectoryError | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a reconstruction compares with ground truth."""

    overall: Score
    """Pairs of all components pooled; the ATE only where there is one component."""
    colmap_benchmark: BenchmarkScore
    """All models at once, by the convention of COLMAP's own benchmark."""
    components: Mapping[str, Score]
    """Each against its best model; empty where the ground truth has one frame."""
    num_registered_in_any: int
    """Images of the ground truth in any model."""
    model_sizes: tuple[int, ...]
    """Images of each model with ground truth, most first."""
    photos_in_wrong_model: tuple[str, ...]
    """Images in a model most of whose images show another scene."""
    unknown_photos: tuple[str, ...]
    """Images of the models without ground truth."""
    unit: str | None

    def to_dict(self) -> dict[str, object]:
        """Everything as JSON values."""
        return {
            **_score_dict(self.overall),
            "registered_in_any_model": self.num_registered_in_any,
            "model_sizes": list(self.model_sizes),
            "photos_in_wrong_model": list(self.photos_in_wrong_model),
            "unknown_photos": list(self.unknown_photos),
            "unit": self.unit,
            "colmap_benchmark": asdict(self.colmap_benchmark),
            "components": {name: _score_dict(score) for name, score in self.components.items()},
        }

    def table(self) -> str:
        """The figures as text with their units, and a line a component where there are several."""
        overall, ate = self.overall, self.overall.ate
        areas = ", ".join(f"{overall.auc[t]:.1f} at {t}°" for t in (1, 3, 5, 10))
        benchmark = ", ".join(f"{area:.1f} at {t:g}°" for t, area in self.colmap_benchmark.auc.items())
        position = "not known" if ate is None else f"{ate.raw:.4g} {self.unit or 'units of the truth'}"
        share = "" if ate is None else f" ({100 * ate.normalised:.2g} % of the extent)"
        sizes = " + ".join(map(str, self.model_sizes)) or "no"
        lines = [
            f"photos      {overall.num_registered} of {overall.num_photos} in the model that is scored",
            f"models      {len(self.model_sizes)}, of {sizes} photos ({self.num_registered_in_any} in any)",
            f"AUC         {areas} (%, all pairs of photos)",
            f"within 5°   {overall.rra[5]:.1f} % of rotations, {overall.rta[5]:.1f} % of directions",
            f"ATE         {position}{share}",
            f"COLMAP's    {benchmark} (AUC in % as in COLMAP's benchmark, all models)",
        ]
        if len(self.components) > 1:
            lines += [_row(name, score) for name, score in self.components.items()]
        if self.components:
            lines.append(f"photos in a wrong model: {', '.join(self.photos_in_wrong_model) or 'none'}")
        if self.unknown_photos:
            lines.append(f"not in the ground truth: {len(self.unknown_photos)} photos")
        return "\n".join(lines)


def evaluate(model: str | os.PathLike[str], gt: str | os.PathLike[str]) -> Evaluation:
    """Score the models at `model` (a model, a folder of models or a workspace) against `gt`.

    Without components the largest model is scored and images outside it count as missing. With components
    each is scored against the model that holds most of its images.

    Raises:
        InputError: no model or no ground truth, a damaged file, or no image in common.
    """
    truth = load_ground_truth(Path(gt))
    warn_of_unfinished(Path(model))
    models = [read_poses(folder) for folder in find_models(Path(model))]
    return evaluate_poses(models, truth, where=str(model))


def evaluate_poses(models: Sequence[Poses], truth: GroundTruth, *, where: str = "the model") -> Evaluation:
    """`evaluate` on poses in memory; without any model everything is missing.

    Raises:
        InputError: models were given but share no image with the ground truth.
    """
    names = match_names({name for poses in models for name in poses}, truth.poses)
    unknown = sorted({name for poses in models for name in poses} - names.keys())
    if models and not names:
        ours, theirs = (", ".join(sorted(some)[:3]) for some in (unknown, truth.poses))
        raise InputError(f"{where} and the ground truth have no photo in common: {ours} … against {theirs} …")
    known = [{names[name]: pose for name, pose in poses.items() if name in names} for poses in models]
    known.sort(key=len, reverse=True)
    groups = truth.groups()
    best = {label: _best_model(known, members) for label, members in groups.items()}
    errors = {label: _errors(best[label], truth, members) for label, members in groups.items()}
    scores = {label: _score(best[label], truth, members, errors[label]) for label, members in groups.items()}
    return Evaluation(
        overall=_pooled(list(scores.values()), list(errors.values())),
        colmap_benchmark=colmap_benchmark_score(known, truth),
        components=scores if truth.components is not None else {},
        num_registered_in_any=len({name for poses in known for name in poses}),
        model_sizes=tuple(len(poses) for poses in known),
        photos_in_wrong_model=_in_wrong_model(known, truth),
        unknown_photos=tuple(unknown),
        unit=truth.unit,
    )


def _best_model(models: Sequence[Poses], members: Sequence[str]) -> Poses:
    """The model with most of these images, the earlier of equals."""
    wanted = set(members)
    return max(models, key=lambda poses: len(wanted & poses.keys()), default={})


def _errors(model: Poses, truth: GroundTruth, members: Sequence[str]) -> _Errors:
    least = truth.min_baseline
    return _Errors(
        signed=pair_errors(model, truth.poses, members, min_baseline=least),
        unsigned=pair_errors(model, truth.poses, members, min_baseline=least, signed=False),
        unsigned_back=pair_errors(model, truth.poses, members[::-1], min_baseline=least, signed=False),
    )


def _score(model: Poses, truth: GroundTruth, members: Sequence[str], errors: _Errors) -> Score:
    ate = trajectory_error(model, truth.poses, members, metres_per_unit=truth.metres)
    return _figures(len(members), len(model.keys() & set(members)), errors, ate)


def _pooled(scores: Sequence[Score], errors: Sequence[_Errors]) -> Score:
    ate = scores[0].ate if len(scores) == 1 else None
    images = sum(score.num_photos for score in scores)
    joined = _Errors(
        signed=PairErrors.joined([e.signed for e in errors]),
        unsigned=PairErrors.joined([e.unsigned for e in errors]),
        unsigned_back=PairErrors.joined([e.unsigned_back for e in errors]),
    )
    return _figures(images, sum(score.num_registered for score in scores), joined, ate)


def _figures(num_photos: int, num_registered: int, found: _Errors, ate: TrajectoryError | None) -> Score:
    errors, pose = found.signed, found.signed.pose_deg
    forth, back = found.unsigned.pose_deg, found.unsigned_back.pose_deg
    return Score(
        num_photos=num_photos,
        num_registered=num_registered,
        auc={t: auc(pose, t) for t in THRESHOLDS_DEG},
        auc_1deg_bins={t: auc_histogram(pose, t) for t in THRESHOLDS_DEG},
        auc_1deg_bins_unsigned={t: auc_histogram(forth, t) for t in THRESHOLDS_DEG},
        auc_1deg_bins_unsigned_both_ways={t: auc_histogram_both_ways(forth, back, t) for t in THRESHOLDS_DEG},
        rra={t: recall(errors.rotation_deg, t) for t in (5, 15)},
        rta={t: recall(errors.translation_deg, t) for t in (5, 15)},
        rotation_median_deg=float(np.median(errors.rotation_deg)) if len(pose) else 180.0,
        translation_median_deg=float(np.median(errors.translation_deg)) if len(pose) else 180.0,
        ate=ate,
    )


def _in_wrong_model(models: Sequence[Poses], truth: GroundTruth) -> tuple[str, ...]:
    """Images whose scene is not the commonest one of their model; the larger share decides, then the name."""
    if truth.components is None:
        return ()
    wrong: set[str] = set()
    for poses in models:
        counts = Counter(truth.components[name] for name in poses)
        main = min(counts, key=lambda label: (-counts[label], label), default="")
        wrong.update(name for name in poses if truth.components[name] != main)
    return tuple(sorted(wrong))


def _score_dict(score: Score) -> dict[str, object]:
    return {
        "photos": score.num_photos,
        "registered": score.num_registered,
        "auc": {str(t): value for t, value in score.auc.items()},
        "auc_1deg_bins": {str(t): value for t, value in score.auc_1deg_bins.items()},
        "auc_1deg_bins_unsigned": {str(t): value for t, value in score.auc_1deg_bins_unsigned.items()},
        "auc_1deg_bins_unsigned_both_ways": {
            str(t): value for t, value in score.auc_1deg_bins_unsigned_both_ways.items()
        },
        "rra": {str(t): value for t, value in score.rra.items()},
        "rta": {str(t): value for t, value in score.rta.items()},
        "rotation_median_deg": score.rotation_median_deg,
        "translation_median_deg": score.translation_median_deg,
        "ate": None if score.ate is None else asdict(score.ate),
    }


def _row(name: str, score: Score) -> str:
    areas = ", ".join(f"{score.auc[t]:.1f} at {t}°" for t in (1, 5))
    return f"  {name}: {score.num_registered} of {score.num_photos} photos; AUC {areas}"
