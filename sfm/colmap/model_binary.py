"""The five binary files of a COLMAP model, entry by entry: no count is believed that the file cannot hold.

A truncated or damaged file is an InputError that names it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pycolmap

from sfm.errors import InputError

from .binary import BinaryFile
from .model_tables import POINT2D, TRACK_ELEMENT, CameraRow, ImageRow, PointRow

_CAMERA = struct.Struct("<IiQQ")  # id, model, width, height
_IMAGE = struct.Struct("<I7dI")  # id, pose, camera
_POINT = struct.Struct("<Q3d3BdQ")  # id, place, colour, error, length of the track
_RIG = struct.Struct("<II")  # id, number of sensors
_SENSOR = struct.Struct("<iI")  # type, id
_FLAG = struct.Struct("<B")
_POSE = struct.Struct("<7d")
_FRAME = struct.Struct("<II7dI")  # id, rig, pose, number of data ids
_DATA = np.dtype("<i4,<u4,<u8")  # sensor, id of what it took
_COUNT = struct.Struct("<Q")


def cameras(file: Path) -> Iterator[CameraRow]:
    """The cameras of a cameras.bin."""
    content = BinaryFile(file, "camera")
    for _ in range(content.count(_CAMERA.size)):
        camera_id, number, width, height = content.record(_CAMERA)
        if number not in _models():
            raise InputError(f"{file}: camera {camera_id}: COLMAP has no camera model of number {number}")
        model, num_params = _models()[number]
        params = tuple(content.array("<f8", num_params).tolist())
        yield CameraRow(camera_id, model, width, height, params, f"{file}: camera {camera_id}")
    content.end()


def images(file: Path) -> Iterator[ImageRow]:
    """The images of an images.bin."""
    content = BinaryFile(file, "image")
    for _ in range(content.count(_IMAGE.size + 1 + _COUNT.size)):
        values, name = content.record(_IMAGE), content.text()
        points = content.array(POINT2D, content.record(_COUNT)[0])
        yield ImageRow(values[0], name, values[1:8], values[8], points)
    content.end()


def points(file: Path) -> Iterator[PointRow]:
    """The points of a points3D.bin."""
    content = BinaryFile(file, "point")
    for _ in range(content.count(_POINT.size)):
        values = content.record(_POINT)
        yield PointRow(values[0], (*values[1:4], values[7]), content.array(TRACK_ELEMENT, values[8]))
    content.end()


def check_rigs(file: Path) -> None:
    """Compare the size of a rigs.bin with what it announces."""
    content = BinaryFile(file, "rig")
    for _ in range(content.count(_RIG.size)):
        for index in range(content.record(_RIG)[1]):
            content.record(_SENSOR)
            if index and content.record(_FLAG)[0]:  # the first one is the rig's own frame
                content.record(_POSE)
    content.end()


def check_frames(file: Path) -> None:
    """Compare the size of a frames.bin with what it announces."""
    content = BinaryFile(file, "frame")
    for _ in range(content.count(_FRAME.size)):
        content.array(_DATA, content.record(_FRAME)[9])
    content.end()


@cache
def _models() -> dict[int, tuple[str, int]]:
    """Name and number of parameters of each camera model, by COLMAP's number of it."""
    known = {int(model): name for name, model in pycolmap.CameraModelId.__members__.items()}
    return {
        number: (name, len(pycolmap.Camera.create_from_model_name(0, name, 1.0, 1, 1).params))
        for number, name in known.items()
        if number >= 0
    }
