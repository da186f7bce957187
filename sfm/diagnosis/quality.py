"""Stage: the quality of each pose, and images whose pose is probably wrong."""

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
from sfm.mapping import NO_DOUBT, InconsistencyReport
from sfm.mapping.pose_consistency.pose_probability import PoseProbabilities
from sfm.mapping.scene.photo_source import PhotoSource
from sfm.mapping.scene.scene import Scene
from sfm.types import PhotoQuality

STAGE = "quality"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Quality of the pose of a registered image."""

    quality: PhotoQuality
    doubt: str
    """Why it is probably wrong; empty without evidence."""


@dataclass(frozen=True, slots=True)
class JudgedModels:
    """Quality of the images of all models, and their cleared pairs."""

    photos: Mapping[str, Judgement]
    """Of an image in several models, that in the largest."""
    cleared_pairs: frozenset[Pair]
    """Deferred pairs that agree with a model which other pairs connect."""
    models: tuple[PoseProbabilities, ...] = ()
    """How likely the poses of each model are right, in the order of the models."""


def judged_models(
    database: Path,
    models: Sequence[pycolmap.Reconstruction],
    options: pycolmap.BundleAdjustmentOptions,
    *,
    fixed_cameras: Set[int],
    cropped_cameras: Set[int] = frozenset(),
    consistency: InconsistencyReport = NO_DOUBT,
    photos: PhotoSource | None = None,
) -> JudgedModels:
    """Quality of each image, and the deferred pairs that agree with the models.

    Args:
        database: that the models were made from; only read.
        models: largest first; left unchanged.
        options: of their last adjustment.
        fixed_cameras: cameras whose intrinsics the user gave.
        cropped_cameras: cameras of crops, whose principal points are free.
        consistency: of the verified pairs; without probabilities all are true.
        photos: by whose appearance placements are judged.
    """
    if not models:
        return JudgedModels({}, frozenset())
    scene, judged, right = Scene.open(database, photos=photos), dict[str, Judgement](), frozenset[Pair]()
    chances: list[PoseProbabilities] = []
    for model in reversed(models):
        found = model_quality(
            scene,
            model,
            options,
            fixed_cameras=fixed_cameras,
            cropped_cameras=cropped_cameras,
            probability=consistency.probability or dict.fromkeys(scene.view_graph.edges, 1.0),
            deferred=consistency.deferred,
        )
        chances.insert(0, found.probabilities)
        why = doubts(found, _held_by(model))
        for name, quality in found.photos.items():
            judged[name] = Judgement(quality, why.get(name, ""))
        right |= cleared_pairs(found, consistency.deferred)
    return JudgedModels(judged, right, tuple(chances))


def _held_by(model: pycolmap.Reconstruction) -> dict[str, int]:
    """Number of points that each image sees, or the other images of its frame."""
    images = [model.image(image_id) for image_id in model.reg_image_ids()]
    of_frame: Counter[int] = Counter()
    for image in images:
        of_frame[image.frame_id] += image.num_points3D
    return {image.name: of_frame[image.frame_id] for image in images}
