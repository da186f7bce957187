"""A last bundle adjustment with known positions as robust priors, kept where the observations allow it."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pycolmap

from sfm.mapping.scene.adjusted_photos import all_photos
from sfm.mapping.scene.linear_solver import with_linear_solver

from .priors import PositionPrior

_MAX_ERROR_RATIO = 1.02


@dataclass(frozen=True, slots=True)
class PositionAdjustment:
    """What positions as priors did to the reprojection error."""

    error_before_px: float
    error_after_px: float
    accepted: bool
    why: str


def adjust_with_positions(
    model: pycolmap.Reconstruction,
    priors: Mapping[str, PositionPrior],
    options: pycolmap.BundleAdjustmentOptions,
    *,
    fixed_cameras: frozenset[int],
    seed: int,
    only_with_evidence: bool = True,
) -> tuple[pycolmap.Reconstruction, PositionAdjustment]:
    """The model adjusted with positions of its photos, Cauchy loss on each in standard deviations.

    Args:
        model: aligned to the positions; left unchanged.
        priors: of photos of the model, without those that are clearly wrong.
        only_with_evidence: False keeps the result whatever it does to the reprojection error.

    Returns:
        The adjusted model, or `model` itself when its reprojection error would rise too far.
    """
    adjusted = copy.deepcopy(model)
    config = all_photos(adjusted, constant_cameras=fixed_cameras)
    ids = {adjusted.image(image_id).name: image_id for image_id in adjusted.reg_image_ids()}
    options = copy.deepcopy(with_linear_solver(adjusted, options))
    # Priors are weak next to observations; COLMAP's tolerance would go on turning the last screw for minutes.
    options.ceres.solver_options.function_tolerance = 1e-6
    prior_options = pycolmap.PosePriorBundleAdjustmentOptions()
    prior_options.ceres.prior_position_loss_function_type = pycolmap.LossFunctionType.CAUCHY
    prior_options.alignment_ransac.random_seed = seed
    rows = [_row(adjusted.image(ids[name]), prior) for name, prior in priors.items() if name in ids]
    adjuster = pycolmap.create_pose_prior_bundle_adjuster(options, prior_options, config, rows, adjusted)
    usable = adjuster.solve().is_solution_usable()
    before = _error_px(model)
    after = _error_px(adjusted) if usable else np.inf
    accepted = usable and (not only_with_evidence or after <= _MAX_ERROR_RATIO * before)
    why = "the reprojection error does not suffer" if accepted else "the reprojection error would rise"
    found = PositionAdjustment(round(before, 4), round(after, 4), accepted, why)
    return (adjusted if accepted else model), found


def _row(image: pycolmap.Image, prior: PositionPrior) -> pycolmap.PosePrior:
    row = pycolmap.PosePrior()
    row.pose_prior_id, row.corr_data_id = image.image_id, image.data_id
    row.position, row.position_covariance = prior.xyz, np.diag(prior.sigma**2)
    row.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
    return row


def _error_px(model: pycolmap.Reconstruction) -> float:
    model.update_point_3d_errors()
    return float(model.compute_mean_reprojection_error())
