"""Metres for a model, from images whose depth is metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap

from ..scene.scene import Scene
from .fit import fit_depth, relative_spread, weighted_median
from .photo_depth import depth_at_points

_MIN_IMAGES = 3  # whose depth agrees with the model; all of a smaller one


@dataclass(frozen=True, slots=True)
class MetricScale:
    """Metres in one unit of a model."""

    scale: float
    spread: float
    """Relative standard deviation between images, from the median absolute deviation."""
    num_images: int


def metric_scale(scene: Scene, model: pycolmap.Reconstruction) -> MetricScale | None:
    """The median over images of the median ratio of their depth to that of the model.

    Images whose depth does not fit their points are left out. None where depth is not metric or of too few
    images.
    """
    if scene.depth is None or not scene.depth.metric:
        return None
    ratios = []
    for image_id in sorted(model.reg_image_ids()):
        seen = depth_at_points(scene, model, model.image(image_id).name)
        if seen and fit_depth(seen.depth, seen.confidence, seen.model_depth):
            ratios.append(weighted_median(seen.depth / seen.model_depth, seen.confidence - 1))
    if len(ratios) < min(_MIN_IMAGES, model.num_reg_images()) or not ratios:
        return None
    scale = float(np.median(ratios))
    spread = relative_spread(np.array(ratios), np.ones(len(ratios)), scale)
    return MetricScale(scale, spread, len(ratios))


def scale_to_metres(model: pycolmap.Reconstruction, metric: MetricScale) -> None:
    """Change the unit of a model to metres."""
    model.transform(pycolmap.Sim3d(metric.scale, pycolmap.Rotation3d(), np.zeros(3)))
