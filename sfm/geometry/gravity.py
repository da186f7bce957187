"""Which way is up in a model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

Vectors = NDArray[np.float64]

_MIN_LEVEL_IMAGES = 5
_LEVEL_DEG = 5.0
_MIN_SPREAD = 0.02
_MIN_AGREEING = 0.9
_MAX_ROLLED = 0.1
"""Variance of horizontal axes across the plane that they should lie in, of the smaller one within it."""

# Quarter turns (columns: stored x and y axes in terms of the upright image's) by EXIF orientation.
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
    """A rotation that brings the model's up direction to +z, as far as the images determine it.

    People hold cameras level: the horizontal axes of upright images lie in the ground plane. So up is the
    direction most nearly perpendicular to all of them. Where these axes are all parallel, up is the mean of
    the images' own.

    Args:
        model: any model.
        orientations: EXIF orientation by image name; 1 where it is missing.

    Returns:
        (3, 3) rotation matrix.
    """
    if not model.num_reg_images():
        return np.eye(3)
    right, up, back = _image_axes(model, orientations)
    spread, directions = np.linalg.eigh(right.T @ right / len(right))
    mean_up = up.mean(axis=0)
    level = directions[:, 0]
    if spread[1] < _MIN_SPREAD:
        # Any direction perpendicular to the one horizontal axis would do.
        level = mean_up - (mean_up @ directions[:, 2]) * directions[:, 2]
    # The up axes of images taken straight down are level; their viewing directions point down.
    sense = level @ mean_up if abs(level @ mean_up) > 0.2 else level @ back.mean(axis=0)
    return _turn_to_z(level if sense >= 0 else -level)


@dataclass(frozen=True, slots=True)
class Level:
    """The up direction and horizontal axes of images that were held level."""

    up: Vectors
    """(3,) unit vector; where there is one axis only, from how the images look on average."""
    axes: Vectors
    """(1 or 2, 3) unit vectors that lie in the ground plane for sure."""


def level_of(model: pycolmap.Reconstruction, orientations: Mapping[str, int]) -> Level | None:
    """Up, if the images were held level enough for `upright_from_world` to be believed.

    Their horizontal axes must lie in one plane to within a few degrees, or all be parallel, as those of
    images along a street are; and they must agree on which side is up.
    """
    if model.num_reg_images() < _MIN_LEVEL_IMAGES:
        return None
    turn = upright_from_world(model, orientations)
    right, up, back = _image_axes(model, orientations)
    tilt = np.rad2deg(np.arcsin(np.clip(np.abs(right @ turn[2]), 0, 1)))
    sense = np.maximum(up @ turn[2], back @ turn[2])  # images taken straight down have no up of their own
    if np.median(tilt) >= _LEVEL_DEG or np.mean(sense > 0) <= _MIN_AGREEING:
        return None
    (rolled, spread, _), directions = np.linalg.eigh(right.T @ right / len(right))
    if spread <= _MIN_SPREAD:
        return Level(turn[2], directions[:, 2:].T)
    return Level(turn[2], directions[:, 1:].T) if rolled < _MAX_ROLLED * spread else None


def is_level(model: pycolmap.Reconstruction, orientations: Mapping[str, int]) -> bool:
    """Whether the images determine the up direction."""
    found = level_of(model, orientations)
    return found is not None and len(found.axes) == 2


def upright_axes(image: pycolmap.Image, orientation: int) -> Vectors:
    """World directions (3, 3), a row each, to the right, up and back of an image as it is looked at.

    Those of a mirrored image are no rotation.
    """
    world_from_cam = image.cam_from_world().rotation.matrix().T
    turn = np.array(_UPRIGHT_FROM_STORED.get(orientation, _UPRIGHT_FROM_STORED[1]))
    right, down = turn @ world_from_cam[:, :2].T
    return np.stack((right, -down, -world_from_cam[:, 2]))


def _image_axes(
    model: pycolmap.Reconstruction, orientations: Mapping[str, int]
) -> tuple[Vectors, Vectors, Vectors]:
    """World directions right, up and back of each upright image; (N, 3) each."""
    rights, ups, backs = [], [], []
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        right, up, back = upright_axes(image, orientations.get(image.name, 1))
        rights.append(right)
        ups.append(up)
        backs.append(back)
    return np.array(rights), np.array(ups), np.array(backs)


def _turn_to_z(up: Vectors) -> Vectors:
    z = up / (np.linalg.norm(up) or 1.0)
    if not z.any():
        return np.eye(3)
    x = np.cross(np.eye(3)[np.argmin(abs(z))], z)
    x /= np.linalg.norm(x)
    return np.stack((x, np.cross(z, x), z))
