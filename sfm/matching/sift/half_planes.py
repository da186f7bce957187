"""Epipolar geometry as angles: the half-planes about the baseline of two photos in which their rays lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from kernels.values import Bands
from sfm.matching.guide import Guide, GuideView

Array = NDArray[np.float64]

_DEPTH_POINTS = 8
_DEPTH_MARGIN = 1.5
"""Partners are sought up to so many times deeper than the points around are, and as many times nearer."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Rays:
    """Keypoints of one photo as its camera in the model sees them.

    directions: (n, 3) float64, at depth 1.
    near, far: (n,) float64, least and largest depth of the model's points around each keypoint.
    """

    directions: Array
    near: Array
    far: Array

    @classmethod
    def of(cls, xy: NDArray[np.floating], view: GuideView) -> Rays:
        """Rays of keypoints (n, 2) in px of a photo that observes at least one point."""
        positions = np.asarray(xy, np.float64)
        flat = np.asarray(view.camera.cam_from_img(positions), np.float64).reshape(-1, 2)
        flat[~np.isfinite(flat).all(axis=1)] = 0.0  # where the distortion cannot be undone
        ranks = [*range(1, min(_DEPTH_POINTS, len(view.observed)) + 1)]
        around = np.asarray(cKDTree(view.observed[:, :2]).query(positions, k=ranks)[1], np.int64)
        depths = view.observed[around, 2]
        return cls(np.column_stack((flat, np.ones(len(flat)))), depths.min(axis=1), depths.max(axis=1))


@dataclass(frozen=True, slots=True)
class HalfPlanes:
    """Where the rays of photos a and b lie about the baseline, in the frame of camera b; angles in rad.

    angle_a, angle_b: (n,), (m,) of the half-plane of each ray.
    along_b: (m,) between the baseline, away from camera a, and the ray.
    radius_b: (m,) distance from a nearby epipolar line at depth 1, over the sine of the angle between ray and
        baseline.
    low_a, high_a: (n,) least and largest `along_b` of the partner, by the depths around.
    """

    angle_a: Array
    low_a: Array
    high_a: Array
    angle_b: Array
    along_b: Array
    radius_b: Array

    @classmethod
    def of(cls, a: Rays, b: Rays, guide: Guide) -> HalfPlanes | None:
        """None without a baseline, as then there are no epipolar lines."""
        baseline = np.asarray(guide.b_from_a.translation, np.float64)
        length = np.linalg.norm(baseline)
        if not length > 1e-6 * np.median(guide.a.observed[:, 2]):
            return None
        axis = baseline / length
        u = np.cross(axis, np.eye(3)[int(np.argmin(np.abs(axis)))])
        u /= np.linalg.norm(u)
        v = np.cross(axis, u)
        turned = a.directions @ guide.b_from_a.rotation.matrix().T
        across = np.column_stack((b.directions @ u, b.directions @ v))
        radius = np.maximum(np.hypot(*across.T), _TINY)
        # distance from a line of the image: that from the plane over the length of the normal's image part
        normals = (across[:, :1] * v - across[:, 1:] * u) / radius[:, None]
        depths = a.near / _DEPTH_MARGIN, a.far * _DEPTH_MARGIN
        ends = [_angle_to(axis, turned * depth[:, None] + baseline) for depth in depths]
        return cls(
            np.arctan2(turned @ v, turned @ u),
            np.minimum(*ends),
            np.maximum(*ends),
            np.arctan2(across[:, 1], across[:, 0]),
            np.arctan2(radius, b.directions @ axis),
            radius / np.maximum(np.hypot(normals[:, 0], normals[:, 1]), _TINY),
        )

    def bands(self, width: float, slack: float) -> Bands:
        """Pairs of keypoints within `width` of each other's epipolar line; `slack` is added to either end.

        Both are distances in the image of b at depth 1.
        """
        tolerance = np.where(width < self.radius_b, np.arcsin(np.minimum(width / self.radius_b, 1)), np.pi)
        ends = self.low_a - slack, self.high_a + slack
        return Bands(self.angle_a, *ends, self.angle_b, tolerance, self.along_b)

    def offsets(self, matches: NDArray[np.int64]) -> Array:
        """(k,) distances of keypoints of b from the epipolar lines of their partners, for matches (k, 2)."""
        turn = np.abs(self.angle_a[matches[:, 0]] - self.angle_b[matches[:, 1]])
        turn = np.minimum(np.minimum(turn, 2 * np.pi - turn), np.pi / 2)
        return np.asarray(self.radius_b[matches[:, 1]] * np.sin(turn))


def _angle_to(axis: Array, points: Array) -> Array:
    along = points @ axis
    across = np.linalg.norm(points - along[:, None] * axis, axis=1)
    return np.asarray(np.arctan2(across, along))
