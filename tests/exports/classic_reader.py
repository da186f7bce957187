"""COLMAP's three classic binary files read by the letter, as Gaussian-splatting loaders do."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

PINHOLE_MODELS = {0: ("SIMPLE_PINHOLE", 3), 1: ("PINHOLE", 4)}
NO_POINT = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class ClassicImage:
    """One entry of images.bin."""

    name: str
    camera_id: int
    q_cw: np.ndarray
    t_cw: np.ndarray
    xy: np.ndarray
    point3D_ids: np.ndarray


@dataclass(frozen=True, slots=True)
class ClassicModel:
    """All three files; cameras as (model, width, height, params)."""

    cameras: dict[int, tuple[str, int, int, tuple[float, ...]]]
    images: dict[int, ClassicImage]
    points: dict[int, np.ndarray]
    tracks: dict[int, np.ndarray]


def read_classic(folder: Path) -> ClassicModel:
    """Read a model; a byte too many or too few, a distorted camera or a non-ASCII name is an error."""
    cameras = _whole(folder / "cameras.bin", _read_cameras)
    images = _whole(folder / "images.bin", _read_images)
    points, tracks = _whole(folder / "points3D.bin", _read_points)
    return ClassicModel(cameras, images, points, tracks)


def _whole(path, read):
    with path.open("rb") as file:
        value = read(file)
        assert file.read() == b"", f"{path} has trailing bytes"
    return value


def _take(file: BinaryIO, form: str) -> tuple:
    form = "<" + form
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _read_cameras(file: BinaryIO) -> dict[int, tuple[str, int, int, tuple[float, ...]]]:
    cameras = {}
    for _ in range(_take(file, "Q")[0]):
        camera_id, model_id, width, height = _take(file, "iiQQ")
        assert model_id in PINHOLE_MODELS, "only undistorted datasets (PINHOLE or SIMPLE_PINHOLE) supported"
        name, num_params = PINHOLE_MODELS[model_id]
        cameras[camera_id] = (name, width, height, _take(file, f"{num_params}d"))
    return cameras


def _read_images(file: BinaryIO) -> dict[int, ClassicImage]:
    images = {}
    for _ in range(_take(file, "Q")[0]):
        image_id, *pose, camera_id = _take(file, "idddddddi")
        name = ""
        while (char := file.read(1)) != b"\x00":
            name += char.decode("utf-8")  # byte by byte, as the loaders do
        rows = np.array([_take(file, "ddQ") for _ in range(_take(file, "Q")[0])], dtype=object).reshape(-1, 3)
        images[image_id] = ClassicImage(
            os.path.basename(name), camera_id, np.array(pose[:4]), np.array(pose[4:]), rows[:, :2], rows[:, 2]
        )
    return images


def _read_points(file: BinaryIO) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    points, tracks = {}, {}
    for _ in range(_take(file, "Q")[0]):
        point_id, *values = _take(file, "QdddBBBd")
        points[point_id] = np.array(values[:3])
        length = _take(file, "Q")[0]
        tracks[point_id] = np.array(_take(file, f"{2 * length}i")).reshape(-1, 2)
    return points, tracks
