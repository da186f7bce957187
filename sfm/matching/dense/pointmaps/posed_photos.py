"""Cameras of the network's images as those of the stored photos."""

from __future__ import annotations

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.mapping.scene.pose_source import PosedImage

from ..inference.photo_map import PhotoMap

_FAR_PX = 1000.0
"""Between two network pixels whose difference shows how axes lie in a photo."""


def posed_image(
    cam_from_world: pycolmap.Rigid3d, focal: float, principal_point: tuple[float, float], photo: PhotoMap
) -> PosedImage | None:
    """A camera in stored pixels of its photo; None for a photo that is stored mirrored.

    Args:
        cam_from_world: of the upright camera, as the network sees the photo.
        focal: px of the network's image.
        principal_point: px of the network's image, whose upper-left pixel has its centre at (0, 0).
        photo: where the network's pixels lie.
    """
    stored_from_upright, axes = _turn(photo), _axes_in_photo(photo)
    if stored_from_upright is None:
        return None
    pose = stored_from_upright * cam_from_world
    along = np.abs(axes).sum(axis=1) * focal
    centre = photo.to_photo(np.array([principal_point]))[0]
    return PosedImage(pose, (float(along[0]), float(along[1])), (float(centre[0]), float(centre[1])))


def upright_pose(cam_from_world: pycolmap.Rigid3d, photo: PhotoMap) -> pycolmap.Rigid3d | None:
    """The pose of the upright camera, as the network sees the photo, by that of the stored one.

    None for a photo that is stored mirrored.
    """
    stored_from_upright = _turn(photo)
    return None if stored_from_upright is None else stored_from_upright.inverse() * cam_from_world


def _turn(photo: PhotoMap) -> pycolmap.Rigid3d | None:
    """From the frame of the upright camera to that of the stored one; None for a mirrored photo."""
    turn = np.eye(3)
    turn[:2, :2] = np.sign(_axes_in_photo(photo))
    if np.linalg.det(turn) < 0:
        return None
    return pycolmap.Rigid3d(pycolmap.Rotation3d(turn), np.zeros(3))


def _axes_in_photo(photo: PhotoMap) -> NDArray[np.float64]:
    """(2, 2): stored photo pixels per network pixel, columns for its x and y; zero where axes don't agree."""
    ends = photo.to_photo(np.array([[0.0, 0.0], [_FAR_PX, 0.0], [0.0, _FAR_PX]])).astype(np.float64)
    axes = np.asarray((ends[1:] - ends[0]).T / _FAR_PX)
    return np.where(np.abs(axes) < 1e-3 * np.abs(axes).max(), 0.0, axes)
