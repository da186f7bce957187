"""Models that begin with shorter focal lengths, too, where pairs of images leave these open: the likeliest.

A camera that turns about a point near itself shows nearly the same with a longer focal length and the
opposite motion. From a focal length that is too long, adjustments end there; from one that is too short, they
find the right one, if growing does not bend the model. So there are several, and adjusted ones are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np
import pycolmap

from ..measures.residuals import redundancy, residual_lengths
from ..scene.camera_models import with_focal_length
from ..scene.journal import Journal
from ..scene.scene import Scene
from .submodels import MappingContext, Submodel, settled
from .trials import best_model


def best_of_starts(
    context: MappingContext, candidates: Set[str], journal: Journal, *, max_trials: int | None = None
) -> Submodel | None:
    """`best_model`, or the likeliest of those from several focal lengths of the cameras of `candidates`.

    It is adjusted to the end where there are several. The scene's cameras keep the focal lengths that it
    began with.
    """
    found = best_model(context, candidates, journal, max_trials=max_trials)
    images = context.scene.cache.images.values()
    cameras = {image.camera_id for image in images if image.name in candidates}
    starts = [{i: px for i, px in one.items() if i in cameras} for one in context.shorter_focal]
    if not any(starts):
        return found
    best = {i: context.scene.cache.camera(i).mean_focal_length() for i in starts[0]}
    found = settled(context, found) if found else None
    for start in starts:
        _set(context.scene, start)
        other = best_model(context, candidates, Journal(), max_trials=max_trials)
        other = settled(context, other) if other else None
        before, after = (_log_likelihood(one.reconstruction) if one else 0.0 for one in (found, other))
        is_likelier = after > before
        journal.note("shorter_focal", focal_px=start, gain=round(after - before), kept=is_likelier)
        if is_likelier:
            found, best = other, start
    _set(context.scene, best)
    return found


def _log_likelihood(model: pycolmap.Reconstruction) -> float:
    """Of the observations by which points are known better than exactly, beside keypoints that lie anywhere.

    Residuals are normal, with the variance that they have.
    """
    lengths = residual_lengths(model)
    tracks = np.array([point.track.length() for point in model.points3D.values()])
    redundant = float(tracks @ redundancy(tracks))
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
