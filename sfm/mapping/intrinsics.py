"""A last adjustment with free principal points, kept where the observations clearly ask for it."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pycolmap

_MIN_IMAGES = 8  # with fewer photos a camera, the poses take up what the principal point should
_MIN_SIGMAS = 6.0
_MIN_SHIFT = 0.0015  # of the longer side: a few wrong matches shift as far, and far less is lost by staying
_MAX_SHIFT = 0.05  # of the longer side, from the centre of the image
_MAX_FOCAL_CHANGE = 0.02  # a focal length that moves along shows that the scene can't tell them apart


@dataclass(frozen=True, slots=True)
class PrincipalPoint:
    """What a free principal point did for one camera."""

    camera_id: int
    num_images: int
    shift_px: tuple[float, float]
    """From the centre of the image."""
    sigmas: float
    """Significance of the fall in reprojection error, in standard deviations, all freed cameras together."""
    accepted: bool
    why: str


def free_principal_points(
    model: pycolmap.Reconstruction,
    options: pycolmap.BundleAdjustmentOptions,
    *,
    fixed_cameras: Set[int],
    only_with_evidence: bool = True,
) -> tuple[pycolmap.Reconstruction, list[PrincipalPoint]]:
    """The model adjusted with free principal points of the cameras whose observations support it.

    Adjustments with and without see the same observations, so that twice the gain in log-likelihood is the
    square of the shift in standard deviations. Cameras that fail a test are fixed and the rest tried again.

    Args:
        model: globally adjusted; left unchanged.
        options: of the global adjustment.
        fixed_cameras: cameras whose intrinsics never change.
        only_with_evidence: False frees all other cameras and keeps the result.

    Returns:
        The adjusted model, or `model` itself when no camera passes, and what was found for each camera tried.
    """
    images_of = _num_images(model)
    least = _MIN_IMAGES if only_with_evidence else 1
    free = {c for c, num in images_of.items() if num >= least and c not in fixed_cameras}
    refused: list[PrincipalPoint] = []
    while free:
        centred = _adjusted(model, options, cameras=free, principal_points=False)
        shifted = _adjusted(model, options, cameras=free, principal_points=True)
        sigmas = _sigmas(centred, shifted)
        found = [
            _judge(centred, shifted, camera_id, images_of[camera_id], sigmas) for camera_id in sorted(free)
        ]
        if not only_with_evidence or all(point.accepted for point in found):
            return shifted, refused + found
        refused += [point for point in found if not point.accepted]
        free -= {point.camera_id for point in refused}
    return model, refused


def _num_images(model: pycolmap.Reconstruction) -> Mapping[int, int]:
    counts: dict[int, int] = {}
    for image_id in model.reg_image_ids():
        camera_id = model.image(image_id).camera_id
        counts[camera_id] = counts.get(camera_id, 0) + 1
    return counts


def _adjusted(
    model: pycolmap.Reconstruction,
    options: pycolmap.BundleAdjustmentOptions,
    *,
    cameras: Set[int],
    principal_points: bool,
) -> pycolmap.Reconstruction:
    """A copy of the model after bundle adjustment in which only the intrinsics of `cameras` may change."""
    adjusted = copy.deepcopy(model)
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in adjusted.reg_image_ids():
        config.add_image(image_id)
    for camera_id in sorted(set(adjusted.cameras) - cameras):
        config.set_constant_cam_intrinsics(camera_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options = copy.deepcopy(options)
    options.refine_principal_point = principal_points
    solver = options.ceres.solver_options
    solver.gradient_tolerance, solver.function_tolerance = (
        1e-4,
        1e-8,
    )  # COLMAP's end too early for a comparison
    solver.max_num_iterations = 100
    pycolmap.create_default_bundle_adjuster(options, config, adjusted).solve()
    adjusted.update_point_3d_errors()
    return adjusted


def _judge(
    centred: pycolmap.Reconstruction,
    shifted: pycolmap.Reconstruction,
    camera_id: int,
    num_images: int,
    sigmas: float,
) -> PrincipalPoint:
    before, after = centred.camera(camera_id), shifted.camera(camera_id)
    centre = np.array([after.width, after.height]) / 2
    shift = np.array([after.principal_point_x, after.principal_point_y]) - centre
    focal_change = abs(after.mean_focal_length() / before.mean_focal_length() - 1)
    why = "supported by the observations"
    if sigmas < _MIN_SIGMAS:
        why = "no significant fall in reprojection error"
    elif np.abs(shift).max() < _MIN_SHIFT * max(after.width, after.height):
        why = "too near the centre to matter"
    elif np.abs(shift).max() > _MAX_SHIFT * max(after.width, after.height):
        why = "implausibly far from the centre"
    elif focal_change > _MAX_FOCAL_CHANGE:
        why = "cannot be told apart from the focal length"
    accepted = why.startswith("supported")
    x, y = (round(float(v), 2) for v in shift)
    return PrincipalPoint(camera_id, num_images, (x, y), round(sigmas, 1), accepted, why)


def _sigmas(centred: pycolmap.Reconstruction, shifted: pycolmap.Reconstruction) -> float:
    """Square root of twice the gain in log-likelihood, for Gaussian residuals of unknown scale."""
    before, after = _residuals_px(centred), _residuals_px(shifted)
    worse, better = float(np.sum(before**2)), float(np.sum(after**2))
    if better <= 0 or worse <= better:
        return 0.0
    return math.sqrt(before.size * math.log(worse / better))


def _residuals_px(model: pycolmap.Reconstruction) -> npt.NDArray[np.float64]:
    """Reprojection residuals of all observations, (N, 2)."""
    residuals = [np.zeros((0, 2))]
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        if points2D := image.get_observation_points2D():
            xy = np.array([point.xy for point in points2D])
            xyz = np.array([model.point3D(point.point3D_id).xyz for point in points2D])
            camera = model.camera(image.camera_id)
            residuals.append(camera.img_from_cam(image.cam_from_world() * xyz) - xy)
    return np.concatenate(residuals)
