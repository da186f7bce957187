"""Which way is up in a model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pycolmap
from numpy.typing import NDArray

Vectors = NDArray[np.float64]

# Quarter turns (columns: stored x and y axes in terms of the upright photo's) by EXIF orientation.
_UPRIGHT_FROM_STORED = {
    1: ((1, 0), (0, 1)),
    2: ((-1, 0), (0, 1)),
    3: ((-1, 0), (0, -1)),
    4: ((1, 0), (0, -1)),
    5: ((0, 1), (1, 0)),
    6: ((0, -1), (1, 0)),
    7: ((0, -1), (-1, 0)),
    8: ((0, 1), (-1, 0)),
}


def upright_from_world(model: pycolmap.Reconstruction, orientations: Mapping[str, int]) -> Vectors:
    """A rotation that brings the model's up direction to +z, as far as the photos tell.

    People hold cameras level: the horizontal image axes of upright photos lie in the ground plane, so up is
    the direction most nearly perpendicular to all of them. Where these axes are all parallel, up is the mean
    of the photos' own.

    Args:
        model: any model.
        orientations: EXIF orientation by image name; 1 where it is missing.

    Returns:
        (3, 3) rotation matrix.
    """
    if not model.num_reg_images():
        return np.eye(3)
    right, up, back = _photo_axes(model, orientations)
    spread, directions = np.linalg.eigh(right.T @ right / len(right))
    mean_up = up.mean(axis=0)
    level = directions[:, 0]
    if spread[1] < 0.02:
        # Any direction perpendicular to the one horizontal axis would do.
        level = mean_up - (mean_up @ directions[:, 2]) * directions[:, 2]
    # Photos taken straight down say nothing by their own up, but look against it.
    sense = level @ mean_up if abs(level @ mean_up) > 0.2 else level @ back.mean(axis=0)
    return _turn_to_z(level if sense >= 0 else -level)


def _photo_axes(
    model: pycolmap.Reconstruction, orientations: Mapping[str, int]
) -> tuple[Vectors, Vectors, Vectors]:
    """World directions right, up and back of each upright photo; (N, 3) each."""
    rights, ups, backs = [], [], []
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        world_from_cam = image.cam_from_world().rotation.matrix().T
        turn = np.array(_UPRIGHT_FROM_STORED.get(orientations.get(image.name, 1), _UPRIGHT_FROM_STORED[1]))
        right, down = turn @ world_from_cam[:, :2].T
        rights.append(right)
        ups.append(-down)
        backs.append(-world_from_cam[:, 2])
    return np.array(rights), np.array(ups), np.array(backs)


def _turn_to_z(up: Vectors) -> Vectors:
    z = up / (np.linalg.norm(up) or 1.0)
    if not z.any():
        return np.eye(3)
    x = np.cross(np.eye(3)[np.argmin(abs(z))], z)
    x /= np.linalg.norm(x)
    return np.stack((x, np.cross(z, x), z))
