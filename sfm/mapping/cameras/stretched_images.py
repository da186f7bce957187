"""Images that were stretched: their pixels are not square.

Video with pixels that are wider than high, and images that were resized to another shape, have a focal length
in x and another one in y. Cameras of one focal length then bend the model, and each image is explained better
by intrinsics of its own.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import pycolmap

from ..scene.camera_models import as_model, ladder_of
from .group_adjustment import (
    MAX_ERROR_RATIO,
    Group,
    adjusted,
    are_observed,
    errors_of,
    firm_points,
    focal_lengths,
    groups_by,
    mean_of,
    num_observations,
)

STRETCHED = "OPENCV"
"""The poorest camera model of two focal lengths and distortion."""


@dataclass(frozen=True, slots=True)
class StretchedImages:
    """The images of one camera whose pixels are not square."""

    image_ids: Group
    focal_px: float
    """Mean of those in x and in y."""
    aspect: float
    """fy / fx."""
    error_px: float
    """Their mean reprojection error, cut at `MAX_ERROR_PX`."""
    error_square_px: float
    """The same with square pixels."""


def aspect_of(camera: pycolmap.Camera) -> float:
    """Focal length in y over that in x; 1 for a spherical camera."""
    return camera.focal_length_y / camera.focal_length_x if camera.focal_length_idxs() else 1.0


def stretched_images(model: pycolmap.Reconstruction, cameras: Set[int]) -> dict[int, StretchedImages]:
    """By camera, where one aspect of all pixels explains its images clearly better than square ones.

    Args:
        model: registered images and points; left unchanged.
        cameras: that are looked at, of a model that can be given two focal lengths.
    """
    could = {i for i in cameras & set(model.cameras) if STRETCHED in ladder_of(model.camera(i).model_name)}
    images = [i for i in sorted(model.reg_image_ids()) if model.image(i).camera_id in could]
    by_camera = groups_by(images, lambda i: model.image(i).camera_id)
    points = firm_points(model)
    observed = num_observations(model, points)
    asked = [group for group in by_camera.values() if are_observed(group, observed)]
    if not asked:
        return {}
    start = focal_lengths(model, [i for group in asked for i in group])
    square = adjusted(model, points, asked, start, camera_model="SIMPLE_RADIAL")
    free = adjusted(square, points, asked, focal_lengths(square, start), camera_model=STRETCHED)
    before, after = errors_of(square), errors_of(free)
    found = {}
    for group in asked:
        camera = free.camera(free.image(group[0]).camera_id)
        errors = mean_of(after, group), mean_of(before, group)
        if errors[0] <= MAX_ERROR_RATIO * errors[1]:
            camera_id = model.image(group[0]).camera_id
            found[camera_id] = StretchedImages(group, camera.mean_focal_length(), aspect_of(camera), *errors)
    return found


def stretched(camera: pycolmap.Camera, aspect: float) -> pycolmap.Camera:
    """The camera with pixels of an aspect, the mean of its focal lengths as it was."""
    if aspect == 1 or STRETCHED not in ladder_of(camera.model_name):
        return camera
    richest = ladder_of(camera.model_name)
    needed = max(camera.model_name, STRETCHED, key=richest.index)
    wider, mean_px = as_model(camera, needed), camera.mean_focal_length()
    wider.focal_length_x = 2 * mean_px / (1 + aspect)
    wider.focal_length_y = 2 * mean_px * aspect / (1 + aspect)
    return wider
