"""Priors of real lenses on intrinsics, as residuals of a bundle adjustment."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyceres  # makes `problem` of COLMAP's adjusters known, too
import pycolmap

from ..scene.camera_models import effects_by_parameter, prior_of
from .linearized_observations import MIN_SIGMA_PX


def add_prior(
    problem: pyceres.Problem,
    camera: pycolmap.Camera,
    options: pycolmap.BundleAdjustmentOptions,
    *,
    sigma_px: float,
    principal_point: bool,
    is_cropped: bool = False,
    sigma_focal: float | None = None,
    design_effects: Mapping[str, float] | None = None,
) -> None:
    """Add the prior of a camera with free intrinsics, and hold what is not to be free.

    Args:
        problem: of COLMAP's adjuster, all intrinsics of the camera being free that `options` free.
        camera: of the model that is adjusted.
        options: of the adjustment.
        sigma_px: standard deviation of the observations, px, by which all other residuals are not divided.
        principal_point: whether it is free.
        is_cropped: whether the principal point may lie anywhere.
        sigma_focal: relative standard deviation of the focal length from its present value; None: it is free.
        design_effects: as `ModelSelection.design_effects`.
    """
    held = [
        *(() if options.refine_focal_length else camera.focal_length_idxs()),
        *(() if options.refine_extra_params else camera.extra_params_idxs()),
        *(() if principal_point else camera.principal_point_idxs()),
    ]
    params = camera.params
    if not camera.focal_length_idxs() or not problem.has_parameter_block(params) or len(held) == len(params):
        return
    mean, covariance = prior_of(camera, is_cropped=is_cropped, sigma_focal=sigma_focal)
    mean[held] = params[held]
    less = 1 / np.sqrt(effects_by_parameter(camera, design_effects or {}))
    covariance *= np.outer(less, less)
    problem.add_residual_block(
        pyceres.factors.NormalPrior(mean, covariance / max(sigma_px, MIN_SIGMA_PX) ** 2), None, [params]
    )
    problem.set_manifold(params, pyceres.SubsetManifold(len(params), sorted(held)))
