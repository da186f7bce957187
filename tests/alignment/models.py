"""Synthetic models on disk, whole and in parts."""

import copy
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pycolmap
from scipy.spatial.transform import Rotation

from tests.mapping import synthetic

TURN = pycolmap.Sim3d(
    2.5, pycolmap.Rotation3d(Rotation.from_rotvec([0.3, -0.5, 0.8]).as_matrix()), np.array([10.0, -4.0, 2.0])
)


def scene(folder: Path, num_images: int = 12) -> synthetic.Scene:
    return synthetic.synthesize(folder / "database.db", num_images=num_images)


def part(model: pycolmap.Reconstruction, image_ids: Iterable[int]) -> pycolmap.Reconstruction:
    """The model without its other photos."""
    kept, some = set(image_ids), copy.deepcopy(model)
    for image_id in sorted(set(model.reg_image_ids()) - kept):
        for index, point in enumerate(some.image(image_id).points2D):
            if point.has_point3D():
                some.delete_observation(image_id, index)
        some.deregister_frame(some.image(image_id).frame_id)
    return some


def write(model: pycolmap.Reconstruction, folder: Path) -> Path:
    folder.mkdir(parents=True)
    model.write(folder)
    return folder


def largest_distance(a: pycolmap.Reconstruction, b: pycolmap.Reconstruction) -> float:
    """Between the places of a photo in both models, which stand in one frame."""
    places = {image.name: image.projection_center() for image in b.images.values()}
    return max(float(np.linalg.norm(i.projection_center() - places[i.name])) for i in a.images.values())
