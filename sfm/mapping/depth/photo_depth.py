"""The depth of images compared with the depth of their points in a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from ..scene.scene import Scene
from .fit import MIN_POINTS, DepthFit, fit_depth, is_known

_MAX_POINTS = 1000  # that one image is judged by

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeenDepth:
    """Depth of a registered image where it sees points of the model; all (N,), only where it is known."""

    depth: Array
    """In the unit of the image."""
    confidence: Array
    model_depth: Array
    """Of the points, in the unit of the model."""


def depth_at_points(scene: Scene, model: pycolmap.Reconstruction, name: str) -> SeenDepth | None:
    """The depth of a registered image at the points that it sees; None where too little is known."""
    image = model.image(scene.id_of[name])
    seen = image.get_observation_points2D()
    seen = seen[:: max(1, len(seen) // _MAX_POINTS)]
    if scene.depth is None or not seen:
        return None
    found = scene.depth.at(name, np.array([point.xy for point in seen]))
    if found is None:
        return None
    depth, confidence = found
    xyz = np.array([model.point3D(point.point3D_id).xyz for point in seen])
    model_depth = (image.cam_from_world() * xyz)[:, 2]
    known = is_known(depth, confidence) & (model_depth > 0)
    if np.count_nonzero(known) < MIN_POINTS:
        return None
    return SeenDepth(depth[known], confidence[known], model_depth[known])


def fit_to_points(scene: Scene, model: pycolmap.Reconstruction, name: str) -> DepthFit | None:
    """How the depth of a registered image relates to the points that it sees; None where it doesn't."""
    seen = depth_at_points(scene, model, name)
    return None if seen is None else fit_depth(seen.depth, seen.confidence, seen.model_depth)


def is_contradicted(scene: Scene, model: pycolmap.Reconstruction) -> bool:
    """Whether the depth of most images has nothing to do with the model: its parallax is likely noise."""
    seen = [depth_at_points(scene, model, model.image(i).name) for i in model.reg_image_ids()]
    told = [one for one in seen if one is not None]
    fits = [fit_depth(one.depth, one.confidence, one.model_depth) for one in told]
    return 2 * sum(fit is None for fit in fits) > len(told)
