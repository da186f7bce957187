"""The pose of one photo against points that stand, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

_STEP = 1e-6
_MIN_GAIN = 1.05
"""A later way to choose the intrinsics must bring this many times the inliers of an earlier one."""
_MIN_SHARE = 0.5
"""Of the points that a photo sees must agree, where fewer agree than a photo of the model needs."""
_LENIENT = 0.4

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Intrinsics:
    """Where the intrinsics of a query may come from.

    camera: to begin with; never changed.
    source: model | given | exif | estimated; against a single photo, pointmaps | default where nobody knows.
    """

    camera: pycolmap.Camera
    source: str

    @property
    def free_focal(self) -> bool:
        """Whether the focal length is estimated with the pose."""
        return self.source in ("exif", "estimated")


@dataclass(frozen=True, slots=True, eq=False)
class QueryPose:
    """The pose of a query image.

    Attributes:
        cam_from_world: COLMAP's convention: x right, y down, z forward.
        camera: intrinsics, with the estimated focal length where it is free.
        intrinsics: where they come from, as for `Intrinsics`.
        num_points: points of the model that the photo's keypoints match.
        inliers: (num_points,) whether each agrees with the pose.
        error_px: root mean square reprojection error of the inliers.
        covariance: (6, 6), of a small rotation vector r (rad) and translation d (the model's unit). The true
            pose is X_cam = exp(r) R X + t + d. From the scatter of the inliers'
            residuals; the points are taken for exact, and a free focal length is marginalised.
    """

    cam_from_world: pycolmap.Rigid3d
    camera: pycolmap.Camera
    intrinsics: str
    num_points: int
    inliers: NDArray[np.bool_]
    error_px: float
    covariance: Array

    @property
    def num_inliers(self) -> int:
        """Points that agree."""
        return int(np.count_nonzero(self.inliers))

    @property
    def centre_covariance(self) -> Array:
        """(3, 3), of the camera's centre in the world, C = -R^T t."""
        rotation = self.cam_from_world.rotation.matrix()
        # C' = -(exp(r) R)^T (t + d) = C - R^T d - R^T [t]x r to first order
        t = self.cam_from_world.translation
        cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
        jacobian = -rotation.T @ np.hstack((cross, np.eye(3)))
        return np.asarray(jacobian @ self.covariance @ jacobian.T)

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""
        sigma = np.sqrt(np.diag(self.covariance))
        return {
            "R_cw": self.cam_from_world.rotation.matrix().tolist(),
            "t_cw": self.cam_from_world.translation.tolist(),
            "centre": self.cam_from_world.inverse().translation.tolist(),
            "num_points": self.num_points,
            "num_inliers": self.num_inliers,
            "reprojection_error_px": round(self.error_px, 4),
            "covariance": self.covariance.tolist(),
            "sigma_rotation_deg": float(np.degrees(np.linalg.norm(sigma[:3]))),
            "sigma_centre": float(np.sqrt(np.trace(self.centre_covariance))),
            "camera": camera_dict(self.camera, self.intrinsics),
        }


def camera_dict(camera: pycolmap.Camera, source: str) -> dict[str, object]:
    """Intrinsics and where they come from, as JSON values."""
    return {
        "model": camera.model.name,
        "width": camera.width,
        "height": camera.height,
        "params": [float(value) for value in camera.params],
        "intrinsics": source,
    }


def estimate_pose(
    xy: Array, xyz: Array, choices: Sequence[Intrinsics], *, max_error_px: float, seed: int
) -> QueryPose | None:
    """The pose that most points agree with (LO-RANSAC, then refinement of the inliers); None: none does.

    Args:
        xy: (N, 2), keypoints, px.
        xyz: (N, 3), the points that they match, world.
        choices: of intrinsics; of those with about as many inliers the first is taken.
        max_error_px: largest error of an inlier.
        seed: of RANSAC.
    """
    best: QueryPose | None = None
    for choice in choices:
        found = _pose(xy, xyz, choice, max_error_px, seed)
        if found and (best is None or found.num_inliers > _MIN_GAIN * best.num_inliers):
            best = found
    return best


def is_enough(pose: QueryPose, min_num_inliers: int) -> bool:
    """Whether a pose has the inliers that a photo of a model needs, or fewer but most of what it sees."""
    if pose.num_inliers >= min_num_inliers:
        return True
    lenient = math.ceil(_LENIENT * min_num_inliers)
    return pose.num_inliers >= lenient and pose.num_inliers >= _MIN_SHARE * pose.num_points


def _pose(xy: Array, xyz: Array, choice: Intrinsics, max_error_px: float, seed: int) -> QueryPose | None:
    camera = pycolmap.Camera(choice.camera.todict())
    estimation = pycolmap.AbsolutePoseEstimationOptions()
    estimation.ransac.max_error, estimation.ransac.random_seed = max_error_px, seed
    has_focal = bool(camera.focal_length_idxs())  # a spherical camera has none
    free_focal = choice.free_focal and has_focal
    estimation.estimate_focal_length = choice.source == "estimated" and has_focal
    refinement = pycolmap.AbsolutePoseRefinementOptions()
    refinement.refine_focal_length, refinement.gradient_tolerance = free_focal, 1e-6
    found = pycolmap.estimate_and_refine_absolute_pose(xy, xyz, camera, estimation, refinement)
    if found is None:
        return None
    pose: pycolmap.Rigid3d = found["cam_from_world"]
    inliers = np.asarray(found["inlier_mask"], bool)
    if np.count_nonzero(inliers) <= 4:
        return None
    error_px, covariance = pose_covariance(xy[inliers], xyz[inliers], camera, pose, free_focal=free_focal)
    if covariance is None:
        return None
    return QueryPose(pose, camera, choice.source, len(xy), inliers, error_px, covariance)


def pose_covariance(
    xy: Array, xyz: Array, camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d, *, free_focal: bool
) -> tuple[float, Array | None]:
    """Root mean square residual (px) and covariance (6, 6) of a pose, as `QueryPose` defines it.

    sigma^2 (J^T J)^-1 with sigma^2 from the residuals and their degrees of freedom. None where the points
    leave the pose open. (COLMAP's own takes half angles, and residuals of one pixel under a robust loss.)
    """
    residuals = _projected(xyz, camera, cam_from_world, np.zeros(7)) - xy
    rms = float(np.sqrt(np.mean(np.sum(residuals**2, axis=1))))
    steps = np.diag([_STEP] * 3 + [_STEP * float(np.abs(xyz).max() + 1)] * 3 + [_STEP])
    columns = [
        (_projected(xyz, camera, cam_from_world, s) - _projected(xyz, camera, cam_from_world, -s)).ravel()
        / (2 * s.sum())
        for s in steps[: 7 if free_focal else 6]
    ]
    jacobian = np.column_stack(columns)
    freedom = residuals.size - jacobian.shape[1]
    information = jacobian.T @ jacobian
    if freedom <= 0 or not np.all(np.isfinite(information)) or np.linalg.cond(information) > 1e14:
        return rms, None
    sigma2 = float(np.sum(residuals**2)) / freedom
    return rms, np.asarray(sigma2 * np.linalg.inv(information))[:6, :6]


def _projected(xyz: Array, camera: pycolmap.Camera, pose: pycolmap.Rigid3d, change: Array) -> Array:
    """Image points (N, 2) after a change of the pose and of the focal length, as a share."""
    in_cam = Rotation.from_rotvec(change[:3]).apply(xyz @ pose.rotation.matrix().T)
    moved = in_cam + pose.translation + change[3:6]
    if change[6]:
        camera = pycolmap.Camera(camera.todict())
        params = np.array(camera.params)
        params[list(camera.focal_length_idxs())] *= 1 + change[6]
        camera.params = params.tolist()
    return np.asarray(camera.img_from_cam(moved), np.float64)
