"""Directions in which a camera sees pixels, and how far away points are, for flat and for spherical cameras.

A spherical camera (EQUIRECTANGULAR) sees all around: it has no image plane, no focal length, and nothing
behind it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pycolmap

Array = npt.NDArray[np.float64]


def bearing_vectors(xy: npt.NDArray[np.floating], camera: pycolmap.Camera) -> Array:
    """Directions of positions (N, 2), px, in the camera frame, (N, 3).

    Points (x, y, 1) on the image plane at unit distance; unit vectors where the camera is spherical.
    """
    positions = np.asarray(xy, dtype=np.float64)
    if camera.is_spherical():
        return np.asarray(camera.cam_ray_from_img(positions), np.float64).reshape(-1, 3)
    return np.column_stack((np.asarray(camera.cam_from_img(positions)), np.ones(len(xy))))


def image_plane(camera: pycolmap.Camera) -> Array:
    """What takes directions to homogeneous pixels without distortion, (3, 3); to themselves in a sphere."""
    return np.eye(3) if camera.is_spherical() else np.asarray(camera.calibration_matrix(), np.float64)


def px_per_radian(camera: pycolmap.Camera) -> float:
    """Pixels for a small angle on the axis: the focal length, where there is one, whatever its sign."""
    return camera.width / (2 * np.pi) if camera.is_spherical() else abs(camera.mean_focal_length())


def depths(in_cam: Array, camera: pycolmap.Camera) -> Array:
    """How far points (N, 3) of the camera's frame are, (N,): along the axis, or from a spherical camera."""
    return np.linalg.norm(in_cam, axis=-1) if camera.is_spherical() else in_cam[..., 2]
