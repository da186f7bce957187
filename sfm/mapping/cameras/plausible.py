"""Which intrinsics can be those of a lens."""

from __future__ import annotations

import numpy as np
import pycolmap

from ..scene.camera_models import principal_point

_MAX_ANGLE = 1.55  # rad, of rays: past 89 degrees few lenses see anything
_MOST_DISPLACED = 1 / 3
"""Of the distance from the centre: there a radius of r (1 + k r²) folds back."""


def plausible(camera: pycolmap.Camera) -> bool:
    """Whether intrinsics can be those of a lens, while a model grows.

    They are within COLMAP's own bounds; or coefficients of distortion are larger and yet displace the corners
    of the image moderately, as those of long lenses and of rational models do. No focal length is too long
    for a camera that has a prior of it.
    """
    mapper = pycolmap.IncrementalMapperOptions()
    longest = np.inf if camera.has_prior_focal_length else mapper.max_focal_length_ratio
    focal = mapper.min_focal_length_ratio, longest
    if not camera.has_bogus_params(*focal, mapper.max_extra_param):
        return True
    if camera.has_bogus_params(*focal, np.inf):
        return False
    return _most_displaced(camera) <= _MOST_DISPLACED and one_to_one(camera)


def _most_displaced(camera: pycolmap.Camera) -> float:
    """Displacement of the image's corners by distortion, as a share of their distance from the centre."""
    params = np.array(camera.params)
    params[list(camera.extra_params_idxs())] = 0.0
    undistorted = pycolmap.Camera(camera.todict() | {"params": params})
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]) * (camera.width, camera.height)
    rays = np.column_stack((np.asarray(undistorted.cam_from_img(corners)), np.ones(len(corners))))
    seen = np.asarray(camera.img_from_cam(rays))
    centre = principal_point(camera)
    shares = np.linalg.norm(seen - corners, axis=1) / np.linalg.norm(corners - centre, axis=1)
    return float(np.max(np.nan_to_num(shares, nan=np.inf)))


def cameras_in_use(model: pycolmap.Reconstruction) -> set[int]:
    """Ids of the cameras of registered images."""
    return {model.image(image_id).camera_id for image_id in model.reg_image_ids()}


def implausible_cameras(model: pycolmap.Reconstruction) -> set[int]:
    """Ids of those of them whose intrinsics are not `plausible`."""
    return {camera_id for camera_id in cameras_in_use(model) if not plausible(model.camera(camera_id))}


def one_to_one(camera: pycolmap.Camera) -> bool:
    """Whether rays further from the axis are seen further from the image centre, out to the corners.

    A distortion that many parameters fit to the middle of the image can fold its corners back in.
    """
    if camera.is_spherical():
        return True
    centre = principal_point(camera)
    size = np.array([camera.width, camera.height])
    angles = np.linspace(0.001, _MAX_ANGLE, 400)
    for corner in (np.zeros(2), size, size * (0, 1), size * (1, 0)):
        towards = (corner - centre) / np.linalg.norm(corner - centre)
        rays = np.column_stack((np.sin(angles)[:, None] * towards, np.cos(angles)))
        radii = (np.asarray(camera.img_from_cam(rays)) - centre) @ towards
        inside = np.maximum.accumulate(radii) < np.linalg.norm(corner - centre)
        if np.any(np.diff(radii[inside]) <= 0):
            return False
    return True
