"""Whether the points of a finished model say where its photos are."""

from __future__ import annotations

import pycolmap

from .evidence.view_graph import MIN_NUM_INLIERS


def why_undetermined(model: pycolmap.Reconstruction) -> str:
    """What a model lacks that its poses could mean something, in words; empty where nothing is.

    Bundle adjustment pulls photos from one spot together, and the filters then take out the points; what is
    left are poses that nothing holds.
    """
    num_points = model.num_points3D()
    if num_points < MIN_NUM_INLIERS:
        return f"only {num_points} points are left of it, as of photos from almost one spot"
    return ""
