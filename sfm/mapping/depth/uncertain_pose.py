"""A camera pose from points of which some are uncertain along one direction, as those lifted by depth are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from kernels.median_deviation import median_deviation

_NUM_ROUNDS = 8
_NUM_INDEPENDENT = 10  # errors of depth in one image, however many points it lifts: neighbours err alike
_MAX_SIGMAS = 3.0
_MAX_POINTS = 1500  # that a pose is refined with

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UncertainPoints:
    """Points of a model, where an image sees them, and by how much each may be off."""

    xy: Array
    """(N, 2), keypoints of the image, px."""
    xyz: Array
    """(N, 3), world."""
    offset: Array
    """(N, 3), world: one standard deviation along the ray that the point was lifted on; zero for triangulated
    points."""

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> UncertainPoints:
        return UncertainPoints(self.xy[rows], self.xyz[rows], self.offset[rows])

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def lifted(self) -> NDArray[np.bool_]:
        """Which points are uncertain, (N,)."""
        return np.asarray(self.offset.any(axis=1))


def refine_pose(
    points: UncertainPoints, camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d, *, sigma_px: float
) -> tuple[pycolmap.Rigid3d, NDArray[np.bool_]]:
    """The pose that fits best, with errors in standard deviations, and which points agree with it.

    An error of depth moves a point along its epipolar line, so residuals weigh little along that line. Across
    it they weigh as much as those of triangulated points. Outliers lose weight by a Cauchy loss whose width
    follows the median error.

    Args:
        points: at least three.
        camera: of the image; unchanged.
        cam_from_world: initial pose.
        sigma_px: standard deviation of the keypoints.

    Returns:
        The pose, and of each point (N,) whether it lies in front and within three standard deviations.
    """
    focal, seen = camera.mean_focal_length(), np.asarray(camera.cam_from_img(points.xy))
    rotation = Rotation.from_matrix(cam_from_world.rotation.matrix())
    pose = np.concatenate((rotation.as_rotvec(), cam_from_world.translation))
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), _MAX_POINTS)).astype(np.int64))
    some, seen_some = points[chosen], seen[chosen]
    share = min(1.0, _NUM_INDEPENDENT / max(int(np.count_nonzero(some.lifted)), 1))
    for _ in range(_NUM_ROUNDS):
        axes, sigmas = _axes(some, pose, focal, sigma_px)
        errors = _errors(some.xyz, seen_some, pose, axes) * focal
        distances = np.linalg.norm(errors / sigmas, axis=1, keepdims=True)
        width = max(median_deviation(distances), 1.0)
        weights = focal / sigmas * np.sqrt(np.array([share, 1.0]) / (1 + (distances / width) ** 2))

        def residuals(pose: Array, axes: Array = axes, weights: Array = weights) -> Array:
            return (_errors(some.xyz, seen_some, pose, axes) * weights).ravel()

        pose = least_squares(residuals, pose, method="lm", x_scale="jac", max_nfev=200).x
    axes, sigmas = _axes(points, pose, focal, sigma_px)
    distances = np.linalg.norm(_errors(points.xyz, seen, pose, axes) * focal / sigmas, axis=1)
    agrees = (_in_cam(points.xyz, pose)[:, 2] > 0) & (distances <= _MAX_SIGMAS)
    turn = pycolmap.Rotation3d(Rotation.from_rotvec(pose[:3]).as_quat())
    return pycolmap.Rigid3d(turn, pose[3:]), agrees


def _in_cam(xyz: Array, pose: Array) -> Array:
    return np.asarray(Rotation.from_rotvec(pose[:3]).apply(xyz) + pose[3:])


def _projected(xyz: Array, pose: Array) -> Array:
    """Points on the image plane at unit distance, (N, 2)."""
    in_cam = _in_cam(xyz, pose)
    return np.asarray(in_cam[:, :2] / np.maximum(in_cam[:, 2:], 1e-6))


def _errors(xyz: Array, seen: Array, pose: Array, axes: Array) -> Array:
    """Reprojection errors along `axes`, at unit distance, (N, 2)."""
    return np.asarray(np.einsum("nij,nj->ni", axes, _projected(xyz, pose) - seen))


def _axes(points: UncertainPoints, pose: Array, focal: float, sigma_px: float) -> tuple[Array, Array]:
    """Along and across the line that depth moves a point on: axes (N, 2, 2), deviations (N, 2) in px."""
    near, far = (_projected(points.xyz + side * points.offset, pose) for side in (-1, 1))
    along = (far - near) * focal / 2
    length = np.linalg.norm(along, axis=1)
    unit = np.where(length[:, None] > 1e-9, along / np.maximum(length, 1e-9)[:, None], (1.0, 0.0))
    axes = np.stack((unit, np.column_stack((-unit[:, 1], unit[:, 0]))), axis=1)
    return axes, np.column_stack((np.hypot(sigma_px, length), np.full(len(length), sigma_px)))
