"""Stage: how well each registered photo is held, and which are probably at a wrong place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from retrieval import Pair
from sfm.diagnosis.cleared_pairs import cleared_pairs
from sfm.diagnosis.photo_doubt import doubts
from sfm.diagnosis.photo_quality import model_quality
from sfm.mapping.scene.scene import Scene
from sfm.types import PhotoQuality

STAGE = "quality"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of a registered photo's pose."""

    quality: PhotoQuality
    doubt: str
    """Why it is probably wrong; empty where nothing speaks for that."""


@dataclass(frozen=True, slots=True)
class JudgedModels:
    """What is known of the photos of all models, and of their pairs."""

    photos: Mapping[str, Judgement]
    """Of one in several models that in the largest."""
    cleared_pairs: frozenset[Pair]
    """Pairs that may be look-alikes', and that a model agrees with which does not hang on them."""


def judged_models(
    database: Path,
    models: Sequence[pycolmap.Reconstruction],
    options: pycolmap.BundleAdjustmentOptions,
    *,
    fixed_cameras: Set[int],
    deferred: Set[Pair],
) -> JudgedModels:
    """Figures and doubts by photo, and what the models say of doubtful pairs.

    Args:
        database: that the models were made from; only read.
        models: largest first; left unchanged.
        options: of their last adjustment.
        fixed_cameras: cameras whose intrinsics the user gave.
        deferred: pairs that may be look-alikes'.
    """
    if not models:
        return JudgedModels({}, frozenset())
    scene, judged, right = Scene.open(database), dict[str, Judgement](), frozenset[Pair]()
    for model in reversed(models):
        found = model_quality(scene, model, options, fixed_cameras=fixed_cameras, deferred=deferred)
        counts = _held_by(model)
        why = doubts(found, counts, deferred)
        for name, quality in found.photos.items():
            judged[name] = Judgement(quality, why.get(name, ""))
        right |= cleared_pairs(found, deferred)
    return JudgedModels(judged, right)


def _held_by(model: pycolmap.Reconstruction) -> dict[str, int]:
    """Points that hold each photo: those that it sees, or that the other cameras of its rig see."""
    images = [model.image(image_id) for image_id in model.reg_image_ids()]
    of_frame: Counter[int] = Counter()
    for image in images:
        of_frame[image.frame_id] += image.num_points3D
    return {image.name: of_frame[image.frame_id] for image in images}
