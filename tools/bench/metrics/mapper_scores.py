"""How right a mapper's models are: photos right and wrong against the truth, and agreement of two mappers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from sfm.colmap.model_poses import Poses, find_models, read_poses
from sfm.errors import InputError
from sfm.evaluation.evaluate import evaluate_poses
from sfm.evaluation.ground_truth import GroundTruth
from sfm.evaluation.metrics import Array, centres, trajectory_error
from sfm.geometry.similarity import fit_similarity_robustly

MIN_MODEL_SIZE = 3
_MAX_TURN_DEG, _MAX_DISTANCE = 2.0, 0.02
_AGREED_TURN_DEG, _AGREED_DISTANCE = 1.0, 0.01


@dataclass(frozen=True, slots=True)
class Scores:
    """Against the truth; a photo is right within 2 degrees and 2 % of the extent after a similarity fit."""

    auc1: float
    auc3: float
    auc5: float
    ate: float | None
    """Of the largest model, in units of the extent; None where the truth has several components."""
    right: int
    """Of each component's largest model."""
    right_in_any: int
    """Of all models, each fitted by itself."""
    wrong: tuple[str, ...]
    """Photos of any model that are not right."""


@dataclass(frozen=True, slots=True)
class FoundModels:
    """Models of three photos or more below a folder, largest first."""

    poses: tuple[Poses, ...] = ()
    folders: tuple[Path, ...] = ()
    problem: str = ""
    """Why there are none, or which of them cannot be read; empty where all is well."""


def found_models(folder: Path) -> FoundModels:
    """What an engine left in a folder; whatever is wrong with it is told, not raised."""
    found: list[tuple[Poses, Path]] = []
    problems = []
    try:
        for model in find_models(folder):
            try:
                found.append((read_poses(model), model))
            except InputError as error:
                problems.append(str(error))
    except InputError as error:
        problems.append(str(error))
    found = [(poses, model) for poses, model in found if len(poses) >= MIN_MODEL_SIZE]
    found.sort(key=lambda entry: -len(entry[0]))
    if not found and not problems:
        problems.append(f"{folder} holds no model of {MIN_MODEL_SIZE} photos or more")
    return FoundModels(
        tuple(poses for poses, _ in found), tuple(model for _, model in found), "; ".join(problems)
    )


def read_models(folder: Path) -> list[Poses]:
    """Poses of the models of three photos or more, largest first; none where nothing was built."""
    return list(found_models(folder).poses)


def score(models: Sequence[Poses], truth: GroundTruth) -> Scores:
    """Score models, largest first."""
    overall = evaluate_poses(models, truth).overall
    groups = truth.groups()
    best: dict[str, frozenset[str]] = dict.fromkeys(groups, frozenset())
    right: set[str] = set()
    for poses in models:
        label = max(groups, key=lambda group: len(poses.keys() & set(groups[group])))
        found = right_photos(poses, truth.poses, groups[label])
        right |= found
        best[label] = best[label] or found
    size = max((box_diagonal(truth.poses, names) for names in groups.values()), default=0.0)
    placed = {name for poses in models for name in poses if name in truth.poses}
    return Scores(
        auc1=overall.auc[1],
        auc3=overall.auc[3],
        auc5=overall.auc[5],
        ate=overall.ate.raw / size if overall.ate else None,
        right=sum(len(found) for found in best.values()),
        right_in_any=len(right),
        wrong=tuple(sorted(placed - right)),
    )


def box_diagonal(poses: Poses, names: Collection[str]) -> float:
    """Diagonal of the bounding box of camera centres."""
    return float(np.linalg.norm(np.ptp(centres(poses, sorted(names)), axis=0)))


def right_photos(poses: Poses, true: Poses, members: Collection[str]) -> frozenset[str]:
    """Photos of a model that are where the truth has them, by a fit that few wrong photos do not bend."""
    limit = _MAX_DISTANCE * box_diagonal(true, members)
    return _near(true, poses, set(members), limit, _MAX_TURN_DEG)


def agreement(reference: Poses, poses: Poses) -> float:
    """Share of `reference`'s photos within 1 % of its extent and 1 degree in the other model, per cent.

    A turn that all cameras have in common is taken out: it comes from another principal point.
    """
    if not reference:
        return 100.0
    limit = _AGREED_DISTANCE * box_diagonal(reference, reference.keys())
    near = _near(reference, poses, set(reference), limit, _AGREED_TURN_DEG, common_turn=True)
    return round(100 * len(near) / len(reference), 1)


def common_errors(ours: Poses, peer: Poses, truth: GroundTruth) -> tuple[float, float] | None:
    """ATE of two models over the photos that are right in both, each fitted to these; None below three."""
    if truth.components is not None:
        return None
    members = truth.poses.keys()
    both = sorted(right_photos(ours, truth.poses, members) & right_photos(peer, truth.poses, members))
    errors = [trajectory_error(poses, truth.poses, both) for poses in (ours, peer)]
    if errors[0] is None or errors[1] is None:
        return None
    return errors[0].raw, errors[1].raw


def flagged_photos(record: Mapping[str, object]) -> frozenset[str]:
    """Registered photos of which `run.json` says that they may be wrong."""
    outcomes = record.get("outcomes", [])
    assert isinstance(outcomes, list)
    return frozenset(
        outcome["name"]
        for outcome in outcomes
        if outcome.get("model") is not None and (outcome.get("doubt") or outcome.get("reason"))
    )


def _fit(source: Array, target: Array, limit: float) -> pycolmap.Sim3d | None:
    """The similarity that brings most centres within the limit, refined on these.

    Least distances alone are not enough: one photo far away shrinks the model into a point.
    """
    if len(source) < MIN_MODEL_SIZE or limit <= 0:
        return None
    options = pycolmap.RANSACOptions()
    options.max_error, options.random_seed, options.min_num_trials = limit, 0, 1000
    found = pycolmap.estimate_sim3d_robust(source, target, options)
    near = np.flatnonzero(found["inlier_mask"]) if found else np.arange(len(source))
    if len(near) < MIN_MODEL_SIZE:
        near = np.arange(len(source))
    return fit_similarity_robustly(source[near], target[near])


def _near(
    reference: Poses,
    poses: Poses,
    members: set[str],
    limit: float,
    max_turn_deg: float,
    *,
    common_turn: bool = False,
) -> frozenset[str]:
    common = sorted(members & poses.keys() & reference.keys())
    target, source = centres(reference, common), centres(poses, common)
    fit = _fit(source, target, limit)
    if fit is None:
        return frozenset()
    distance = np.linalg.norm(fit * source - target, axis=1)
    turns = (reference[n].rotation * fit.rotation * poses[n].rotation.inverse() for n in common)
    left = np.array([turn.matrix() for turn in turns])
    if common_turn:
        u, _, vt = np.linalg.svd(np.median(left, axis=0))  # the nearest rotation
        left = left @ (u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt).T
    cosine = (np.trace(left, axis1=1, axis2=2) - 1) / 2
    angles = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    near = (distance <= limit) & (angles <= max_turn_deg)
    return frozenset(name for name, right in zip(common, near, strict=True) if right)
