"""The content of three files of a COLMAP model, as plain values that are not checked against each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_POINT = 2**64 - 1
"""What a keypoint holds instead of the id of a point where it observes none."""
POINT2D = np.dtype([("xy", "<f8", 2), ("point", "<u8")])
TRACK_ELEMENT = np.dtype([("image", "<u4"), ("keypoint", "<u4")])


@dataclass(frozen=True, slots=True)
class CameraRow:
    """One camera."""

    camera_id: int
    model: str
    width: int
    height: int
    params: tuple[float, ...]
    where: str
    """The file and what of it, as messages begin."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image."""

    image_id: int
    name: str
    pose: tuple[float, ...]
    """cam_from_world: quaternion w, x, y, z, then translation."""
    camera_id: int
    points: NDArray[np.void]
    """Its keypoints, as `POINT2D`."""


@dataclass(frozen=True, slots=True)
class PointRow:
    """One point."""

    point_id: int
    values: tuple[float, ...]
    """Place, and reprojection error."""
    track: NDArray[np.void]
    """Who observes it, as `TRACK_ELEMENT`."""
