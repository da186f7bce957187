"""Stage: how well each registered photo is held, and which are probably at a wrong place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from retrieval import Pair
from sfm.mapping.quality.photo_doubt import doubts
from sfm.mapping.quality.photo_quality import model_quality
from sfm.mapping.scene import Scene
from sfm.types import PhotoQuality

STAGE = "quality"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of a registered photo's pose."""

    quality: PhotoQuality
    doubt: str
    """Why it is probably wrong; empty where nothing speaks for that."""


def judged_photos(
    database: Path,
    models: Sequence[pycolmap.Reconstruction],
    options: pycolmap.BundleAdjustmentOptions,
    *,
    fixed_cameras: Set[int],
    doubtful: Set[Pair],
) -> Mapping[str, Judgement]:
    """Figures and doubts by photo; of one in several models those in the largest.

    Args:
        database: that the models were made from; only read.
        models: largest first; left unchanged.
        options: of their last adjustment.
        fixed_cameras: cameras whose intrinsics the user gave.
        doubtful: pairs that may be look-alikes'.
    """
    if not models:
        return {}
    scene, judged = Scene.open(database), dict[str, Judgement]()
    for model in reversed(models):
        found = model_quality(scene, model, options, fixed_cameras=fixed_cameras, doubtful=doubtful)
        counts = {image.name: image.num_points3D for image in map(model.image, model.reg_image_ids())}
        why = doubts(found, counts, doubtful)
        for name, quality in found.photos.items():
            judged[name] = Judgement(quality, why.get(name, ""))
    return judged
