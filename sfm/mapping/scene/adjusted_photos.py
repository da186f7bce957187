"""The configuration of an adjustment of a whole model."""

from __future__ import annotations

from collections.abc import Set

import pycolmap

from .camera_models import NEED_PRIORS


def all_photos(
    model: pycolmap.Reconstruction, *, constant_cameras: Set[int], has_priors: bool = False
) -> pycolmap.BundleAdjustmentConfig:
    """All registered images, with the intrinsics of some cameras held; the gauge is free.

    Where the adjustment has no priors on intrinsics, cameras whose models need them are held as well.
    """
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    held = set() if has_priors else cameras_that_need_priors(model)
    for camera_id in sorted((constant_cameras & set(model.cameras)) | held):
        config.set_constant_cam_intrinsics(camera_id)
    return config


def cameras_that_need_priors(model: pycolmap.Reconstruction) -> set[int]:
    """Ids of cameras that adjustments without priors have to hold."""
    return {camera_id for camera_id, camera in model.cameras.items() if camera.model_name in NEED_PRIORS}
