"""What the pose of a pair of photos is estimated from, and the pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pycolmap
from numpy.typing import NDArray

Array = NDArray[np.float64]
Method = Literal["essential", "pnp"]


@dataclass(frozen=True, slots=True, eq=False)
class PairObservations:
    """Matches of photos a and b, with the depth of both.

    Attributes:
        xy_a: (N, 2), px.
        xy_b: (N, 2), px.
        depth_a: (N,), along the optical axis of a, metres; NaN where unknown.
        depth_b: (N,), of b.
        camera_a: intrinsics of a.
        camera_b: intrinsics of b.
    """

    xy_a: Array
    xy_b: Array
    depth_a: Array
    depth_b: Array
    camera_a: pycolmap.Camera
    camera_b: pycolmap.Camera

    @property
    def rays(self) -> tuple[Array, Array]:
        """Points (N, 3) at depth 1 of the matches, in the cameras of a and of b; NaN where a lens has no ray
        for a pixel."""
        return _rays(self.camera_a, self.xy_a), _rays(self.camera_b, self.xy_b)

    @property
    def cells(self) -> NDArray[np.int64]:
        """(N,), the cell of a grid over photo a that each match lies in."""
        size = np.array([self.camera_a.width, self.camera_a.height])
        column, row = np.clip(self.xy_a * _CELLS / size, 0, _CELLS - 1).astype(np.int64).T
        return np.asarray(column + _CELLS * row, np.int64)


_CELLS = 6
"""Of a side of the photo. Errors of matches farther apart than a cell are taken for independent."""


@dataclass(frozen=True, slots=True, eq=False)
class MetricPose:
    """The pose of photo b in the frame of the camera of a.

    Attributes:
        b_from_a: metres; COLMAP's axes: x right, y down, z forward.
        method: essential: from the essential matrix, its length from the depth of both photos; pnp: from the
            points of a.
        inliers: (N,), matches that agree with the pose and with its length.
        error_px: root mean square error of the inliers: to their epipolar lines, or of their points.
        covariance: (6, 6) of a small rotation vector r (rad) and translation d (m): the true pose is
            X_b = exp(r) R X_a + t + d.
    """

    b_from_a: pycolmap.Rigid3d
    method: Method
    inliers: NDArray[np.bool_]
    error_px: float
    covariance: Array

    @property
    def num_inliers(self) -> int:
        """Matches that agree."""
        return int(np.count_nonzero(self.inliers))


def _rays(camera: pycolmap.Camera, xy: Array) -> Array:
    flat = np.asarray(camera.cam_from_img(xy), np.float64)
    return np.column_stack((flat, np.ones(len(flat))))
