"""Which photos of a model show the same as another one, by the points that they share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Covisibility:
    """Points by photo and photos by point, by their ids."""

    points: Mapping[int, Sequence[int]]
    photos: Mapping[int, Sequence[int]]

    @classmethod
    def of(cls, model: pycolmap.Reconstruction) -> Covisibility:
        """All registered photos of a model, each point once a photo."""
        points, photos = {}, defaultdict(list)
        for image_id in sorted(model.reg_image_ids()):
            observations = model.image(image_id).get_observation_points2D()
            points[image_id] = sorted({observation.point3D_id for observation in observations})
            for point_id in points[image_id]:
                photos[point_id].append(image_id)
        return cls(points, photos)

    def neighbours(self, image_id: int, count: int) -> list[int]:
        """Up to `count` photos that share the most points with one, the most first, ties by id."""
        shared = Counter(other for point in self.points[image_id] for other in self.photos[point])
        del shared[image_id]
        return sorted(shared, key=lambda other: (-shared[other], other))[:count]

    def partners(self, image_id: int, count: int) -> list[int]:
        """Up to `count` photos that together see a photo's points best, the best first.

        The first shares the most points. Each further one is chosen for the points that those before it see
        least. A point counts half as much each time it has been seen.
        """
        weights = dict.fromkeys(self.points[image_id], 1.0)
        chosen: list[int] = []
        while len(chosen) < count:
            gains: dict[int, float] = defaultdict(float)
            for point, weight in weights.items():
                for other in self.photos[point]:
                    gains[other] += weight
            best = max(sorted(gains.keys() - {image_id, *chosen}), key=gains.__getitem__, default=None)
            if best is None:
                break
            chosen.append(best)
            for point in weights.keys() & set(self.points[best]):
                weights[point] /= 2
        return chosen


def observed_points(
    model: pycolmap.Reconstruction, image_id: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions (N, 2), px, of the points that a photo sees, and their depth (N,) in its camera frame."""
    image = model.image(image_id)
    observations = image.get_observation_points2D()
    xy = np.array([o.xy for o in observations], np.float64).reshape(-1, 2)
    xyz = np.array([model.point3D(o.point3D_id).xyz for o in observations], np.float64).reshape(-1, 3)
    pose = image.cam_from_world()
    return xy, np.asarray(xyz @ pose.rotation.matrix()[2] + pose.translation[2], np.float64)
