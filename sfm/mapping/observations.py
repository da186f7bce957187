"""What registered photos see, as arrays: pycolmap hands it out one object an observation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pycolmap


def seen_by(image: pycolmap.Image) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Ids of the points that a photo observes, (N,), and where it sees them, (N, 2) px."""
    points2D = image.get_observation_points2D()
    return _ids(points2D), np.array([point.xy for point in points2D], np.float64).reshape(-1, 2)


def track_lengths(model: pycolmap.Reconstruction) -> dict[int, npt.NDArray[np.int64]]:
    """For each registered photo, by image id: how many observations each of its points has, (N,)."""
    ids = {
        image_id: _ids(model.image(image_id).get_observation_points2D())
        for image_id in sorted(model.reg_image_ids())
    }
    every = np.concatenate([np.zeros(0, np.int64), *ids.values()])
    _, index, counts = np.unique(every, return_inverse=True, return_counts=True)
    ends = np.cumsum([len(seen) for seen in ids.values()])
    return dict(zip(ids, np.split(counts[index], ends[:-1]), strict=True)) if ids else {}


def _ids(points2D: Iterable[pycolmap.Point2D]) -> npt.NDArray[np.int64]:
    return np.array([point.point3D_id for point in points2D], np.int64)
