"""Camera poses of COLMAP models on disk, read with every size checked before it is believed.

Only the file of images is opened: COLMAP's own reader hangs or takes all memory on a truncated points3D.bin,
and poses are all that an evaluation needs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from sfm.errors import InputError

Poses = Mapping[str, pycolmap.Rigid3d]
"""cam_from_world of every registered image, by name."""

EXPORT_MARKER = "loopsfm_export.json"
"""File in every folder that an export wrote; see `sfm.exports.ownership`."""

_HEADER = struct.Struct("<I7dI")  # image id, quaternion w x y z, translation, camera id
_POINT2D_BYTES = 24
_LEAST_IMAGE_BYTES = _HEADER.size + 1 + 8


def find_models(path: Path) -> tuple[Path, ...]:
    """Model folders at `path`: a model itself, a folder of models 0, 1, … or a workspace with `sparse/`.

    Raises:
        InputError: there is no model.
    """
    for folder in (path, path / "sparse"):
        if _image_file(folder) is not None:
            return (folder,)
        numbered = [child for child in _children(folder) if child.name.isdigit()]
        models = sorted((c for c in numbered if _image_file(c) is not None), key=lambda c: int(c.name))
        if models:
            return tuple(models)
    raise InputError(
        f"{path} holds no COLMAP model",
        hint="give a folder with images.bin or images.txt, a folder of such folders, or the OUT of a run",
    )


def read_poses(folder: Path) -> Poses:
    """Poses of one model, from images.bin or else images.txt, sorted by name.

    Raises:
        InputError: there is no such file, it is truncated or malformed, or a name occurs twice.
    """
    file, entries = _entries(folder)
    poses: dict[str, pycolmap.Rigid3d] = {}
    for entry in entries:
        if entry.name in poses:
            raise InputError(f"{file}: image {entry.name!r} occurs twice")
        poses[entry.name] = checked_pose(entry.quaternion, entry.translation, f"{file}: image {entry.name!r}")
    return dict(sorted(poses.items()))


def read_camera_ids(folder: Path) -> Mapping[str, int]:
    """COLMAP's id of the camera of every image of one model, by name; errors as `read_poses`."""
    return {entry.name: entry.camera_id for entry in _entries(folder)[1]}


def read_names(folder: Path) -> Mapping[int, str]:
    """Names of the images of one model by their ids, blanks included; errors as `read_poses`."""
    return {entry.image_id: entry.name for entry in _entries(folder)[1]}


def checked_pose(
    quaternion_wxyz: tuple[float, ...], translation: tuple[float, ...], where: str
) -> pycolmap.Rigid3d:
    """A pose from its numbers; `where` begins the message of the error if they make none.

    Raises:
        InputError: numbers that are not finite, or a quaternion of no length.
    """
    quaternion = np.array(quaternion_wxyz, dtype=np.float64)
    length = float(np.linalg.norm(quaternion))
    if not (np.isfinite(length) and length > 1e-8 and np.all(np.isfinite(translation))):
        raise InputError(
            f"{where} has no valid pose: quaternion {quaternion_wxyz}, translation {translation}"
        )
    w, x, y, z = quaternion / length
    return pycolmap.Rigid3d(
        pycolmap.Rotation3d(np.array([x, y, z, w])), np.array(translation, dtype=np.float64)
    )


def _image_file(folder: Path) -> Path | None:
    candidates = (folder / "images.bin", folder / "images.txt")
    return next((file for file in candidates if file.is_file()), None)


def _children(folder: Path) -> list[Path]:
    return [child for child in folder.iterdir() if child.is_dir()] if folder.is_dir() else []


class _Entry(NamedTuple):
    name: str
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]
    camera_id: int
    image_id: int


def _entries(folder: Path) -> tuple[Path, Iterator[_Entry]]:
    file = _image_file(folder)
    if file is None:
        raise InputError(f"{folder} has neither images.bin nor images.txt")
    return file, _binary_entries(file) if file.suffix == ".bin" else _text_entries(file)


def _binary_entries(file: Path) -> Iterator[_Entry]:
    data = file.read_bytes()
    if len(data) < 8:
        raise _damaged(file, len(data))
    (count,) = struct.unpack_from("<Q", data)
    if count * _LEAST_IMAGE_BYTES > len(data) - 8:
        raise InputError(
            f"{file} is damaged: {len(data)} bytes cannot hold the {count} images that it announces"
        )
    position = 8
    for _ in range(count):
        end = data.find(b"\0", position + _HEADER.size)
        if position + _HEADER.size > len(data) or end < 0 or end + 9 > len(data):
            raise _damaged(file, len(data))
        values = _HEADER.unpack_from(data, position)
        name = data[position + _HEADER.size : end].decode("utf-8", errors="surrogateescape")
        (num_points,) = struct.unpack_from("<Q", data, end + 1)
        position = end + 9 + _POINT2D_BYTES * num_points
        if position > len(data):
            raise _damaged(file, len(data))
        yield _Entry(name, values[1:5], values[5:8], values[8], values[0])


def _text_entries(file: Path) -> Iterator[_Entry]:
    """Two lines an image: its pose and name, then its keypoints, a line that may be empty."""
    text = file.read_text(encoding="utf-8", errors="surrogateescape")
    photos = _photos_of_export(file.parent)
    lines = [(i, line) for i, line in enumerate(text.split("\n"), start=1) if not line.startswith("#")]
    for number, line in lines[::2]:
        if not line.strip():
            continue
        parts = line.split(maxsplit=9)
        try:
            values = tuple(float(part) for part in parts[1:8])
            image_id, camera_id, name = int(parts[0]), int(parts[8]), parts[9].rstrip("\r\n")
        except (ValueError, IndexError) as error:
            wanted = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
            raise InputError(f"{file}:{number}: expected {wanted!r}, found {line[:80]!r}") from error
        yield _Entry(photos.get(name, name), values[:4], values[4:], camera_id, image_id)


def _photos_of_export(folder: Path) -> Mapping[str, str]:
    """Photo by the name that an export of ours gave it, as its marker has them."""
    try:
        photos = json.loads((folder / EXPORT_MARKER).read_text(encoding="utf-8", errors="surrogateescape"))
        return {str(name): str(photo) for name, photo in photos["photos"].items()}
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return {}


def _damaged(file: Path, size: int) -> InputError:
    return InputError(f"{file} is truncated: it ends after {size} bytes, in the middle of an image")
