"""How surely the observations of a model hold the pose of each photo, from bundle adjustment's Hessian.

A model's place, turn and size in the world are free, so a covariance means something only next to a choice
of these seven. Here it is the one under which all cameras together move least (inner constraints; Triggs et
al. 2000, Bundle Adjustment: A Modern Synthesis, section 9.2.2): no photo is held fixed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pycolmap

from kernels.cross_matrices import cross_matrices
from sfm.mapping.cameras.priors import add_prior

MAX_PHOTOS = 250
"""Of one model; the joint covariance of more takes seconds and grows with their cube."""
MAX_LINKS = 20_000_000
"""Sum of squared track lengths, the couplings between photos; 2.5 s."""
_MIN_PHOTOS = 3
# In the model scaled to unit size: poses and points are taken to be known to 100 sizes and as many radians.
# That keeps the Hessian invertible along the seven free directions, and is too weak to be felt in the others.
_DAMPING = 1e-4

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PoseSigma:
    """Standard deviations of one photo's pose."""

    position: float
    """Of the camera's centre, root of the covariance's trace; the model's unit."""
    rotation_deg: float
    """The same for a small rotation vector."""


def pose_sigmas(
    model: pycolmap.Reconstruction,
    options: pycolmap.BundleAdjustmentOptions,
    *,
    fixed_cameras: Set[int],
    cropped_cameras: Set[int] = frozenset(),
    sum_of_squares: float,
) -> tuple[Mapping[str, PoseSigma], str]:
    """Standard deviations of the poses of a model by name, or none and why not, in words.

    Photos without a point have none. sigma^2 H^-1 with the scatter sigma^2 of the residuals; points and free
    intrinsics are marginalised.

    Args:
        model: adjusted; left unchanged.
        options: of the adjustment, with the intrinsics that are free.
        fixed_cameras: cameras whose intrinsics are not.
        cropped_cameras: cameras of crops, whose principal points are free, whatever `options` say.
        sum_of_squares: of the lengths of all residuals, px^2.
    """
    ids = sorted(image_id for image_id in model.reg_image_ids() if model.image(image_id).num_points3D)
    if len(ids) < _MIN_PHOTOS:
        return {}, f"fewer than {_MIN_PHOTOS} photos"
    if len(ids) > MAX_PHOTOS:
        return {}, f"more than {MAX_PHOTOS} photos: would take too long"
    if sum(point.track.length() ** 2 for point in model.points3D.values()) > MAX_LINKS:
        return {}, "its points are seen by too many photos each: would take too long"
    if any(len(frame.data_ids) > 1 for frame in model.frames.values()):
        return {}, "the cameras of a rig move together"
    unit, size = _unit_sized(model, ids)
    if unit is None:
        return {}, "all photos are at one spot"
    freedom = 2 * model.compute_num_observations() - 3 * model.num_points3D() - 6 * len(ids)
    variance = sum_of_squares / freedom if freedom > 0 else 0.0
    cropped = cropped_cameras - fixed_cameras
    joint = (
        _joint_covariance(unit, ids, options, fixed_cameras, cropped, np.sqrt(variance)) if variance else None
    )
    if joint is None:
        return {}, "the observations leave poses open"
    free = _in_inner_gauge(*joint)
    sigma = np.sqrt(variance * np.maximum(np.diagonal(free).reshape(-1, 2, 3).sum(axis=2), 0))
    return {
        model.image(image_id).name: PoseSigma(float(size * position), float(np.rad2deg(turn)))
        for image_id, (turn, position) in zip(ids, sigma, strict=True)
    }, ""


def _unit_sized(
    model: pycolmap.Reconstruction, ids: Sequence[int]
) -> tuple[pycolmap.Reconstruction | None, float]:
    """A copy whose cameras have their mean at the origin and the root mean square distance 1 from it."""
    centres = np.array([model.image(image_id).projection_center() for image_id in ids])
    middle = centres.mean(axis=0)
    size = float(np.sqrt(np.mean(np.sum((centres - middle) ** 2, axis=1))))
    if not size > 0:
        return None, size
    unit = copy.deepcopy(model)
    unit.transform(pycolmap.Sim3d(1 / size, pycolmap.Rotation3d(), -middle / size))
    return unit, size


def _joint_covariance(
    model: pycolmap.Reconstruction,
    ids: Sequence[int],
    options: pycolmap.BundleAdjustmentOptions,
    fixed_cameras: Set[int],
    cropped_cameras: Set[int],
    sigma_px: float,
) -> tuple[Array, Array] | None:
    """Covariance (6 N, 6 N) of all (rotation, centre) in the world, residuals of 1 px, and centres (N, 3).

    Intrinsics have the priors that they had in the last adjustment, for observations of `sigma_px`.
    """
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in ids:
        config.add_image(image_id)
    for camera_id in fixed_cameras & set(model.cameras):
        config.set_constant_cam_intrinsics(camera_id)
    is_free = options.refine_principal_point
    options = copy.deepcopy(options)
    options.refine_principal_point = is_free or bool(cropped_cameras)
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.TRIVIAL
    wanted = pycolmap.BACovarianceOptions()
    wanted.params, wanted.damping = pycolmap.BACovarianceOptionsParams.POSES, _DAMPING
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, model)
    problem = adjuster.problem  # keeps the priors alive
    for camera_id in sorted(set(model.cameras) - fixed_cameras):
        is_cropped = camera_id in cropped_cameras
        add_prior(
            problem,
            model.camera(camera_id),
            options,
            sigma_px=sigma_px,
            principal_point=is_free or is_cropped,
            is_cropped=is_cropped,
        )
    found = pycolmap.estimate_ba_covariance(wanted, model, adjuster)
    if found is None:
        return None
    num = len(ids)
    blocks = np.empty((num, num, 6, 6))
    to_world = np.empty((num, 6, 6))
    centres = np.empty((num, 3))
    for row, first in enumerate(ids):
        pose = model.image(first).cam_from_world()
        to_world[row], centres[row] = _to_world(pose), model.image(first).projection_center()
        for column, second in enumerate(ids[row:], row):
            block = found.get_cam_cross_cov_from_world(first, second)
            if block is None or block.shape != (6, 6):
                return None
            blocks[row, column], blocks[column, row] = block, block.T
    if not np.all(np.isfinite(blocks)):
        return None
    blocks = to_world[:, None] @ blocks @ to_world[None].swapaxes(-1, -2)
    return blocks.transpose(0, 2, 1, 3).reshape(6 * num, 6 * num), centres


def _to_world(pose: pycolmap.Rigid3d) -> Array:
    """Jacobian (6, 6) of (rotation, centre), both in the world, by Ceres' (half rotation vector, shift).

    R' = exp(2 h) R = R exp(2 R^T h). To first order, C' = -R'^T (t + d) = C - R^T d - R^T [t]x 2 h.
    """
    turn = pose.rotation.matrix().T
    return np.block([[2 * turn, np.zeros((3, 3))], [-2 * turn @ cross_matrices(pose.translation), -turn]])


def _in_inner_gauge(covariance: Array, centres: Array) -> Array:
    """The covariance (6 N, 6 N) without what moves, turns or scales the whole model.

    A similarity (s, theta, tau) of the world turns cameras by -theta and moves centres by s C + theta x C +
    tau. Centres are in units of the model's size, so that they count like radians.
    """
    num = len(centres)
    gauge = np.zeros((num, 6, 7))
    gauge[:, :3, :3] = -np.eye(3)
    gauge[:, 3:, :3] = -cross_matrices(centres)
    gauge[:, 3:, 3:6] = np.eye(3)
    gauge[:, 3:, 6] = centres
    basis = np.linalg.qr(gauge.reshape(6 * num, 7))[0]
    half = covariance - basis @ (basis.T @ covariance)
    return np.asarray(half - (half @ basis) @ basis.T)
