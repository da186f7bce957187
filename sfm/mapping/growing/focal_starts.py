"""Models that begin with a shorter focal length, too, where pairs of images leave it open: the likelier one.

A camera that turns about a point near itself shows nearly the same with a longer focal length and the
opposite motion. From a focal length that is too long, adjustments end there; from one that is too short, they
find the right one.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np
import pycolmap

from ..measures.residuals import residual_lengths
from ..scene.camera_models import with_focal_length
from ..scene.journal import Journal
from ..scene.scene import Scene
from .submodels import MappingContext, Submodel
from .trials import best_model


def best_of_starts(
    context: MappingContext, candidates: Set[str], journal: Journal, *, max_trials: int | None = None
) -> Submodel | None:
    """`best_model`, or the one from shorter focal lengths of the cameras of `candidates`, if it is likelier.

    The scene's cameras keep the focal lengths that the model began with.
    """
    found = best_model(context, candidates, journal, max_trials=max_trials)
    images = context.scene.cache.images.values()
    cameras = sorted({image.camera_id for image in images if image.name in candidates})
    shorter = {i: context.shorter_focal[i] for i in cameras if i in context.shorter_focal}
    if not shorter:
        return found
    present = {i: context.scene.cache.camera(i).mean_focal_length() for i in shorter}
    _set(context.scene, shorter)
    other = best_model(context, candidates, Journal(), max_trials=max_trials)
    before, after = (_log_likelihood(one.reconstruction) if one else 0.0 for one in (found, other))
    is_likelier = after > before
    journal.note("shorter_focal", focal_px=shorter, gain=round(after - before), kept=is_likelier)
    if not is_likelier:
        _set(context.scene, present)
    return other if is_likelier else found


def _log_likelihood(model: pycolmap.Reconstruction) -> float:
    """Of the observations by which points are known better than exactly, beside keypoints that lie anywhere.

    Residuals are normal, with the variance that they have. Three coordinates a point are spent on the point.
    """
    lengths = residual_lengths(model)
    redundant = model.compute_num_observations() - 1.5 * model.num_points3D()
    if not len(lengths) or redundant <= 0:
        return 0.0
    cameras = [model.camera(model.image(image_id).camera_id) for image_id in model.reg_image_ids()]
    log_area = np.mean([np.log(camera.width * camera.height) for camera in cameras])
    variance = max(float(np.mean(lengths**2)) / 2, np.finfo(float).eps)
    return float(redundant * (log_area - np.log(2 * np.pi * variance) - 1))


def _set(scene: Scene, focal_px: Mapping[int, float]) -> None:
    for camera_id, value in focal_px.items():
        camera = scene.cache.camera(camera_id)
        camera.params = with_focal_length(camera, value).params.tolist()
