"""The configuration of an adjustment of a whole model."""

from __future__ import annotations

from collections.abc import Set

import pycolmap


def all_photos(
    model: pycolmap.Reconstruction, *, constant_cameras: Set[int]
) -> pycolmap.BundleAdjustmentConfig:
    """All registered images, with the intrinsics of some cameras held; the gauge is free."""
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    for camera_id in sorted(constant_cameras & set(model.cameras)):
        config.set_constant_cam_intrinsics(camera_id)
    return config
