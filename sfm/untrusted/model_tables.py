"""What the five files of a COLMAP model say, as plain values that nobody has checked against each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

Sensor = tuple[int, int]
"""Type and id of a sensor, as COLMAP numbers them."""

CAMERA = int(pycolmap.SensorType.CAMERA)
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


@dataclass(frozen=True, slots=True)
class RigRow:
    """One rig."""

    rig_id: int
    sensors: tuple[Sensor, ...]
    poses: tuple[tuple[float, ...], ...]
    """sensor_from_rig of those sensors whose is known, in the form of an image's."""


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One frame: what a rig took at one moment."""

    frame_id: int
    rig_id: int
    pose: tuple[float, ...]
    """rig_from_world."""
    data: tuple[tuple[Sensor, int], ...]
    """Each sensor and what it took: of cameras the id of an image."""
