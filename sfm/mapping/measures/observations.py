"""What registered images see, as arrays: pycolmap hands it out one object an observation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pycolmap


@dataclass(frozen=True, slots=True)
class PointTable:
    """Where the points of a model are, each read once although several images observe it."""

    ids: npt.NDArray[np.int64]
    """(N,), ascending."""
    xyz: npt.NDArray[np.float64]
    """(N, 3), world."""

    @classmethod
    def of(cls, model: pycolmap.Reconstruction) -> PointTable:
        """All points of a model."""
        points = sorted(model.points3D.items())
        xyz = np.array([point.xyz for _, point in points]).reshape(-1, 3)
        return cls(np.array([point_id for point_id, _ in points], np.int64), xyz)

    def xyz_of(self, ids: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Of points of the model by their ids (M,), (M, 3)."""
        return np.asarray(self.xyz[np.searchsorted(self.ids, np.asarray(ids, np.int64))])


def seen_by(image: pycolmap.Image) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Ids of the points that an image observes, (N,), and where it sees them, (N, 2) px."""
    return _arrays(image.get_observation_points2D())


def some_seen_by(image: pycolmap.Image, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """As `seen_by`, of at most so many of the observations, evenly spread over their list."""
    points2D = image.get_observation_points2D()
    return _arrays(points2D[:: -(-len(points2D) // count) or 1])


def num_points_of_images(model: pycolmap.Reconstruction) -> dict[str, int]:
    """Number of points that each registered image observes, by the names of the images in their order."""
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: image.name)
    return {image.name: image.num_points3D for image in images}


def points_of_second(
    model: pycolmap.Reconstruction, first_of_second: Mapping[int, int]
) -> npt.NDArray[np.int64]:
    """Ids of the points of the second matcher's keypoints, ascending; no track has keypoints of both.

    Args:
        model: left unchanged.
        first_of_second: as `Scene.first_of_second`; empty where there is no second matcher.
    """
    if not first_of_second:
        return np.zeros(0, np.int64)
    any_of = ((i, point.track.elements[0]) for i, point in model.points3D.items())
    return np.array(
        sorted(
            i
            for i, one in any_of
            if one.image_id in first_of_second and one.point2D_idx >= first_of_second[one.image_id]
        ),
        np.int64,
    )


def _arrays(points2D: Iterable[pycolmap.Point2D]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    points2D = list(points2D)
    ids = np.array([point.point3D_id for point in points2D], np.int64)
    return ids, np.array([point.xy for point in points2D], np.float64).reshape(-1, 2)
