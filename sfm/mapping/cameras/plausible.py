"""Which intrinsics can be those of a lens."""

from __future__ import annotations

import numpy as np
import pycolmap

_MAX_ANGLE = 1.55  # rad, of rays: past 89 degrees few lenses see anything


def plausible(camera: pycolmap.Camera) -> bool:
    """Whether intrinsics lie within COLMAP's own bounds while a model grows."""
    mapper = pycolmap.IncrementalMapperOptions()
    limits = mapper.min_focal_length_ratio, mapper.max_focal_length_ratio, mapper.max_extra_param
    return not camera.has_bogus_params(*limits)


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
    centre = np.array([camera.principal_point_x, camera.principal_point_y])
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
