"""COLMAP models on disk, read only when their files are whole: COLMAP's reader hangs on truncated ones."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path

import pycolmap

from sfm.errors import InputError
from sfm.evaluation.model_poses import find_models, read_names, read_poses
from sfm.workspace import content_key

_POINT = struct.Struct("<Q3d3BdQ")  # id, xyz, colour, error, length of the track
_ELEMENT_BYTES = 8


def read_models(path: Path) -> tuple[pycolmap.Reconstruction, ...]:
    """All models at `path`: a model folder, a folder of models 0, 1, …, or the OUT of a run.

    Raises:
        InputError: there is none, or a file is missing, truncated or contradictory; names it.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist", hint="give the OUT of a run or the folder of a COLMAP model"
        )
    return tuple(read_whole_model(folder) for folder in find_models(path))


def read_whole_model(folder: Path) -> pycolmap.Reconstruction:
    """One model, of COLMAP 3 or 4, binary or text.

    Raises:
        InputError: a file is missing, truncated or contradictory; names it.
    """
    read_poses(folder)
    if (folder / "images.bin").is_file():
        _check_points(folder / "points3D.bin")
    try:
        model = pycolmap.Reconstruction(folder)
        if not (folder / "images.bin").is_file():
            _restore_names(model, read_names(folder))
        return model
    except (ValueError, RuntimeError, IndexError, MemoryError) as error:
        message = str(error).splitlines()[-1] if str(error) else type(error).__name__
        raise InputError(f"{folder} is not a whole COLMAP model: {message}") from error


def _restore_names(model: pycolmap.Reconstruction, names: Mapping[int, str]) -> None:
    """COLMAP's reader of text cuts names at blanks."""
    for image in model.images.values():
        image.name = names.get(image.image_id, image.name)


def model_key(path: Path) -> str:
    """Of the content of all models at `path`."""
    names = ("cameras.bin", "images.bin", "points3D.bin", "cameras.txt", "images.txt", "points3D.txt")
    files = [folder / name for folder in find_models(path) for name in names]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()]
    return content_key("model", 1, hashes)


def _check_points(file: Path) -> None:
    if not file.is_file():
        raise InputError(f"{file} is missing", hint="a COLMAP model has cameras, images and points3D")
    data = file.read_bytes()
    position, count = 8, struct.unpack_from("<Q", data)[0] if len(data) >= 8 else 1
    for _ in range(count):
        if position + _POINT.size > len(data):
            raise InputError(f"{file} is truncated: it announces {count} points and ends before the last")
        position += _POINT.size + _ELEMENT_BYTES * _POINT.unpack_from(data, position)[-1]
    if position != len(data):
        raise InputError(f"{file} is damaged: {len(data)} bytes, where its points take {position}")
