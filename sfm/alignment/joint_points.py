"""Common points of two models, by the keypoints of common images or by verified matches."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from retrieval import Pair
from sfm.colmap.database import FeatureDatabase

_SAME_PLACE_PX = 1.0

Rows = NDArray[np.int64]


def shared_photos(
    a: pycolmap.Reconstruction, b: pycolmap.Reconstruction
) -> list[tuple[pycolmap.Image, pycolmap.Image]]:
    """Images of both models, by name."""
    images = [{model.image(i).name: model.image(i) for i in model.reg_image_ids()} for model in (a, b)]
    return [(images[0][name], images[1][name]) for name in sorted(images[0].keys() & images[1].keys())]


def same_keypoints(a: pycolmap.Image, b: pycolmap.Image) -> tuple[Rows, Rows]:
    """Keypoints of one image in two models that are the same: nearest to each other, within a pixel.

    Where both models have the keypoints of one database, these are all, each with itself.
    """
    xy = [np.array([p.xy for p in image.points2D]).reshape(-1, 2) for image in (a, b)]
    if not len(xy[0]) or not len(xy[1]):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    shorter = min(len(xy[0]), len(xy[1]))
    if np.array_equal(xy[0][:shorter], xy[1][:shorter]):
        return np.arange(shorter), np.arange(shorter)
    distance, near = cKDTree(xy[1]).query(xy[0], distance_upper_bound=_SAME_PLACE_PX)
    _, back = cKDTree(xy[0]).query(xy[1])
    rows = np.flatnonzero(np.isfinite(distance))
    mutual = rows[np.asarray(back)[np.asarray(near)[rows]] == rows]
    return mutual, np.asarray(near, np.int64)[mutual]


def points_in_shared_photos(shared: list[tuple[pycolmap.Image, pycolmap.Image]]) -> set[tuple[int, int]]:
    """Pairs of points of both models that the same keypoint of an image observes."""
    found = set()
    for a, b in shared:
        for i, j in zip(*(rows.tolist() for rows in same_keypoints(a, b)), strict=True):
            if a.points2D[i].has_point3D() and b.points2D[j].has_point3D():
                found.add((int(a.points2D[i].point3D_id), int(b.points2D[j].point3D_id)))
    return found


def matched_points(
    a: pycolmap.Reconstruction, b: pycolmap.Reconstruction, database: Path
) -> set[tuple[int, int]]:
    """Pairs of points of both models that verified matches between their images identify.

    Images whose keypoints are not those of the database are left out.
    """
    return set(_matched(a, b, database))


def _matched(
    a: pycolmap.Reconstruction, b: pycolmap.Reconstruction, database: Path
) -> Iterator[tuple[int, int]]:
    store = FeatureDatabase(database, read_only=True)
    positions = store.keypoint_positions()
    sides = [
        [image for i in sorted(model.reg_image_ids()) if _fits(image := model.image(i), positions)]
        for model in (a, b)
    ]
    inliers = store.inlier_matches()
    for one, other in product(*sides):
        if one.name == other.name or (pair := Pair.of(one.name, other.name)) not in inliers:
            continue
        matches = inliers[pair] if pair.a == one.name else inliers[pair][:, ::-1]
        for i, j in matches.tolist():
            if i < len(one.points2D) and j < len(other.points2D):
                points = one.points2D[i], other.points2D[j]
                if points[0].has_point3D() and points[1].has_point3D():
                    yield int(points[0].point3D_id), int(points[1].point3D_id)


def _fits(image: pycolmap.Image, positions: dict[str, NDArray[np.float32]]) -> bool:
    xy = np.array([p.xy for p in image.points2D], np.float32).reshape(-1, 2)
    stored = positions.get(image.name)
    return stored is not None and len(stored) >= len(xy) and bool(np.array_equal(stored[: len(xy)], xy))
