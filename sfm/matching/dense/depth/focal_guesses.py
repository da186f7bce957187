"""Focal lengths of cameras that nobody gave, from the points that the network sees in their photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sfm.mast3r.values import ViewDepth
from sfm.types import Collection

from ..inference.photo_map import PhotoMap


def guess_focal_lengths(
    collection: Collection, views: Mapping[str, Sequence[ViewDepth]], maps: Mapping[str, PhotoMap]
) -> dict[int, float]:
    """Median focal length (photo px) by camera id, over all views of photos without a given focal length."""
    votes: dict[int, list[float]] = {}
    for photo in collection.photos:
        camera = collection.cameras[photo.camera_id]
        if camera.fixed or camera.has_prior_focal_length:
            continue
        scale = maps[photo.name].photo_px if photo.name in maps else 0.0
        focals = [view.focal_px * scale for view in views.get(photo.name, ())]
        votes.setdefault(photo.camera_id, []).extend(f for f in focals if np.isfinite(f) and f > 0)
    return {camera_id: float(np.median(found)) for camera_id, found in votes.items() if found}
