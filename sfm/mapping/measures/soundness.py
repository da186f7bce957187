"""Whether the points of a model determine its camera poses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pycolmap
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from ..scene.linear_solver import images_by_point
from ..scene.view_graph import MIN_NUM_INLIERS

MIN_COMMON_POINTS = 15
"""That two parts of a model, or two models, see: points have noise; three fix a similarity without any."""


def why_undetermined(model: pycolmap.Reconstruction) -> str:
    """Why the points of a model do not determine its poses, in words; empty where they do.

    Bundle adjustment pulls images without parallax together, and the filters then remove their points.
    """
    num_points = model.num_points3D()
    if num_points < MIN_NUM_INLIERS:
        return f"only {num_points} points are left of it, as of photos from almost one spot"
    return ""


def point_connected_parts(model: pycolmap.Reconstruction) -> list[frozenset[str]]:
    """Names of the registered images by part, largest first; shared points connect the images of a part.

    Images that share enough points are a part, and so are parts that do, repeatedly. Bundle adjustment does
    not determine how one part lies to another.
    """
    images = sorted(model.reg_image_ids())
    names = np.array([model.image(image_id).name for image_id in images])
    part: npt.NDArray[np.integer] = np.arange(len(images))
    seen = observation_matrix(model)
    while True:
        members = sp.csr_array((np.ones(len(part)), (np.arange(len(part)), part)))
        by_part = ((seen @ members) > 0).astype(np.int32)  # points x parts
        num_parts, joined = connected_components((by_part.T @ by_part) >= MIN_COMMON_POINTS, directed=False)
        part = joined[part]
        if num_parts == by_part.shape[1]:
            break
    parts = [frozenset(names[part == number].tolist()) for number in range(num_parts)]
    return sorted(parts, key=lambda part: (-len(part), min(part)))


def observation_matrix(model: pycolmap.Reconstruction) -> sp.csr_array:
    """Points x registered images by their ids, 1 where an image observes a point.

    Of points that three images observe: a wrong match of two makes a point, too, but a third rarely agrees.
    """
    seen = sp.csr_array(images_by_point(model))
    return seen[np.diff(seen.indptr) > 2].astype(np.int32)
