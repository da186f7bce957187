"""Common points of two models of overlapping clusters, and one model of both."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pycolmap

Ids = npt.NDArray[np.int64]


def shared_points(a: pycolmap.Reconstruction, b: pycolmap.Reconstruction) -> Ids:
    """Points of both models that are the same, since a keypoint of an image in both observes them; (N, 2)
    int64.

    Both models are of one database. Each point is in one row at most, with the point that shares most
    keypoints.
    """
    common = sorted(set(a.reg_image_ids()) & set(b.reg_image_ids()))
    rows = [np.column_stack(_seen_by_both(a.image(i), b.image(i))) for i in common]
    pairs, votes = np.unique(np.concatenate([np.zeros((0, 2), np.int64), *rows]), axis=0, return_counts=True)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0], -votes))]
    first = [np.zeros(len(pairs), dtype=bool) for _ in range(2)]
    for column, mask in enumerate(first):
        mask[np.unique(pairs[:, column], return_index=True)[1]] = True
    return np.asarray(pairs[first[0] & first[1]])


def _seen_by_both(a: pycolmap.Image, b: pycolmap.Image) -> tuple[Ids, Ids]:
    ids_a, ids_b = (_point_ids(image) for image in (a, b))
    count = min(len(ids_a), len(ids_b))
    both = np.flatnonzero((ids_a[:count] >= 0) & (ids_b[:count] >= 0))
    return ids_a[both], ids_b[both]


def _point_ids(image: pycolmap.Image) -> Ids:
    """Id of the point that each keypoint observes, -1 where there is none; (N,)."""
    return np.array([p.point3D_id if p.has_point3D() else -1 for p in image.points2D], dtype=np.int64)


def positions(model: pycolmap.Reconstruction, ids: Iterable[int]) -> npt.NDArray[np.float64]:
    """Of points, (N, 3)."""
    return np.array([model.point3D(i).xyz for i in ids]).reshape(-1, 3)


def add_points(
    model: pycolmap.Reconstruction,
    other: pycolmap.Reconstruction,
    model_from_other: pycolmap.Sim3d,
    same: Ids,
) -> None:
    """Give `model` the points of `other`, whose poses it has by now.

    Args:
        model: has all images of `other`.
        other: left unchanged.
        model_from_other: between the frames of both.
        same: (N, 2) points of both that are one: these get the observations of both. No keypoint changes its
            point.
    """
    owner = dict(zip(same[:, 1].tolist(), same[:, 0].tolist(), strict=True))
    taken = {
        image_id: set(np.flatnonzero(_point_ids(image) >= 0).tolist())
        for image_id in other.reg_image_ids()
        if (image := model.image(image_id)).num_points3D
    }
    for point_id in sorted(other.point3D_ids()):
        point = other.point3D(point_id)
        free = [e for e in point.track.elements if e.point2D_idx not in taken.get(e.image_id, ())]
        if point_id in owner:
            for element in free:
                model.add_observation(owner[point_id], element)
        elif len({element.image_id for element in free}) >= 2:
            model.add_point3D(model_from_other * point.xyz, pycolmap.Track(free), point.color)
