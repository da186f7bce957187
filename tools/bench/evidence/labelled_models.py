"""Models of collections with known poses: the evidence on each, and which of their images are right."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pycolmap

from evidence.logistic import Reals, Truth
from retrieval import Pair
from sfm.colmap.model_poses import find_models
from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.evaluation import load_ground_truth
from sfm.ingest.grey_photos import GreyPhotos
from sfm.mapping import InconsistencyReport
from sfm.mapping.measures.agreement import median_errors_px
from sfm.mapping.measures.photo_consistency import similar_log_odds
from sfm.mapping.measures.residual_ratio import residual_ratio
from sfm.mapping.pose_consistency.pose_features import ModelEvidence, pose_features
from sfm.mapping.scene.scene import Scene

_MIN_IMAGES = 5
_PLACE, _TURN_DEG = 0.1, 8.0
"""Largest error of a right pose: share of the extent of the true positions, and degrees."""
_TRIALS = 400


@dataclass(frozen=True, slots=True, eq=False)
class LabelledModel:
    """A model with known poses."""

    kind: str
    name: str
    evidence: ModelEvidence
    features: Mapping[str, Reals]
    is_known: Truth
    """(N,) of its images."""
    is_right: Truth
    """(N,) within the largest set of images that one similarity brings to the truth."""
    reprojection_px: Reals
    pairs: Mapping[Pair, bool] = field(default_factory=dict)
    """Whether the images of a pair are rightly placed to each other, of those whose photos are compared."""
    similar: Mapping[Pair, float] = field(default_factory=dict)
    """`similar_log_odds` of the same pairs."""
    residual_ratio: float | None = None
    """As the product measures it."""
    has_true_poses: bool = False
    """Whether no mapper found the poses."""

    @property
    def matrix(self) -> Reals:
        """Features of the known images, (K, F)."""
        return np.array([values[self.is_known] for values in self.features.values()]).T

    @property
    def truth(self) -> Truth:
        """Of the known images, (K,)."""
        return self.is_right[self.is_known]


def labelled(entries: Sequence[Mapping[str, str]]) -> list[LabelledModel]:
    """The models of some entries of MODELS.json."""
    pycolmap.logging.minloglevel = 2
    found: list[LabelledModel] = []
    for one in entries:
        truth, photos = (Path(one[key]) if one.get(key) else None for key in ("truth", "photos"))
        folder, database = Path(one["models"]), Path(one["database"])
        models = labelled_models(
            one["kind"], truth, database, folder, defers=bool(one["defers"]), photos=photos
        )
        found += [replace(model, has_true_poses=bool(one.get("true_poses"))) for model in models]
    return found


def labelled_models(
    kind: str, truth: Path | None, database: Path, folder: Path, *, defers: bool, photos: Path | None = None
) -> list[LabelledModel]:
    """The models below a folder, with evidence and labels.

    Args:
        kind: of the collection.
        truth: poses; None: all images are right.
        database: that the models were made from.
        folder: of the models.
        defers: whether they grew without some pairs.
        photos: None: the models are judged by the database alone.
    """
    scene, report = _scene(database)
    source = GreyPhotos(photos) if photos else None
    scene = replace(scene, photos=source)
    poses = {
        name: (np.asarray(pose.rotation.matrix()), np.asarray(pose.inverse().translation))
        for name, pose in (load_ground_truth(truth).poses.items() if truth else ())
    }
    found = []
    for path in find_models(folder):
        model = pycolmap.Reconstruction(path)
        images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: str(image.name))
        if len(images) < _MIN_IMAGES:
            continue
        deferred = report.deferred if defers else frozenset()
        errors_of_pairs = median_errors_px(scene, model, scene.view_graph.edges)
        evidence = ModelEvidence.of(scene, model, report.probability, deferred, errors_px=errors_of_pairs)
        placed = {i.name: i.cam_from_world() for i in images if i.name in poses or not truth}
        is_known = np.array([image.name in placed for image in images])
        right = _right(placed, poses) if truth else frozenset(placed)
        is_right = np.array([image.name in right for image in images])
        errors_px = np.array([_mean_error_px(model, image) for image in images])
        similar = similar_log_odds(model, source) if source else {}
        pairs = {pair: pair.a in right and pair.b in right for pair in similar}
        if truth:
            pairs = rightly_placed(pairs, placed, poses, right)
        found.append(
            LabelledModel(
                kind,
                folder.as_posix(),
                evidence,
                pose_features(evidence),
                is_known,
                is_right,
                errors_px,
                pairs,
                {pair: similar[pair] for pair in pairs},
                residual_ratio(scene, model, errors_of_pairs),
            )
        )
    return found


def rightly_placed(
    pairs: Collection[Pair],
    placed: Mapping[str, pycolmap.Rigid3d],
    truth: Mapping[str, tuple[Reals, Reals]],
    right: Collection[str],
) -> dict[Pair, bool]:
    """Whether the relative pose of both images is right, in the scale of the right images."""
    names = sorted(right)
    if len(names) < 3:
        return {}
    model, true = (
        np.array([position(name) for name in names])
        for position in (lambda name: placed[name].inverse().translation, lambda name: truth[name][1])
    )
    scale = np.linalg.norm(true - true.mean(axis=0)) / np.linalg.norm(model - model.mean(axis=0))
    every = np.array([truth[name][1] for name in sorted(placed)])
    reach = _PLACE * np.linalg.norm(every - every.mean(axis=0), axis=1).max()
    found = {}
    for pair in pairs:
        if pair.a in placed and pair.b in placed:
            here, there = (placed[name] for name in pair)
            baseline = here.rotation.matrix() @ (there.inverse().translation - here.inverse().translation)
            true_here, true_there = (truth[name] for name in pair)
            true_baseline = true_here[0] @ (true_there[1] - true_here[1])
            turn = there.rotation.matrix() @ here.rotation.matrix().T @ true_here[0] @ true_there[0].T
            angle_deg = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
            away = np.linalg.norm(scale * baseline - true_baseline)
            found[pair] = bool(away <= reach and angle_deg <= _TURN_DEG)
    return found


@lru_cache(1)
def _scene(database: Path) -> tuple[Scene, InconsistencyReport]:
    report = read_inconsistent_pairs(database)
    if report is None:
        raise SystemExit(f"{database} holds too many verified pairs")
    return Scene.open(database), report


def _mean_error_px(model: pycolmap.Reconstruction, image: pycolmap.Image) -> float:
    errors = [model.point3D(point.point3D_id).error for point in image.get_observation_points2D()]
    return float(np.mean(errors)) if errors else float("inf")


def _right(poses: Mapping[str, pycolmap.Rigid3d], truth: Mapping[str, tuple[Reals, Reals]]) -> frozenset[str]:
    """Images of the largest set that one similarity, of one image's rotation, brings to their true poses."""
    names = sorted(poses)
    if len(names) < 3:
        return frozenset()
    source = np.array([poses[name].inverse().translation for name in names])
    target = np.array([truth[name][1] for name in names])
    turns = np.array([truth[name][0].T @ poses[name].rotation.matrix() for name in names])
    reach = _PLACE * np.linalg.norm(target - target.mean(axis=0), axis=1).max()
    rng, best = np.random.default_rng(0), np.zeros(len(names), bool)
    for _ in range(_TRIALS):
        i, j = rng.choice(len(names), 2, replace=False)
        if (length := np.linalg.norm(source[i] - source[j])) < 1e-9:
            continue
        scaled = np.linalg.norm(target[i] - target[j]) / length * source @ turns[i].T
        away = np.linalg.norm(scaled - scaled[i] - (target - target[i]), axis=1)
        cosines = (np.einsum("ij,kij->k", turns[i], turns) - 1) / 2
        fits = (away <= reach) & (np.degrees(np.arccos(np.clip(cosines, -1, 1))) <= _TURN_DEG)
        best = max(best, fits, key=np.count_nonzero)
    return frozenset(np.array(names)[best].tolist())
