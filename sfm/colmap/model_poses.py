"""Camera poses of COLMAP models on disk, read with every size checked before it is believed.

Only the file of images is opened: COLMAP's own reader never ends or takes all memory on a truncated
points3D.bin, and an evaluation needs poses alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from sfm.colmap import model_binary, model_text
from sfm.colmap.model_tables import ImageRow
from sfm.errors import InputError
from sfm.untrusted.documents import fits, read_json
from sfm.workspace.past_runs import unfinished

Poses = Mapping[str, pycolmap.Rigid3d]
"""cam_from_world of every registered image, by name."""

EXPORT_MARKER = "loopsfm_export.json"
"""File in every folder that an export wrote; see `sfm.exports.ownership`."""


def find_models(path: Path) -> tuple[Path, ...]:
    """Model folders at `path`: a model itself, a folder of models 0, 1, … or a workspace with `sparse/`.

    Raises:
        InputError: there is no model.
    """
    for folder in (path, path / "sparse"):
        if _image_file(folder) is not None:
            return (folder,)
        numbered = [child for child in _children(folder) if child.name.isascii() and child.name.isdigit()]
        models = sorted((c for c in numbered if _image_file(c) is not None), key=lambda c: int(c.name))
        if models:
            return tuple(models)
    raise unfinished(path) or InputError(
        f"{path} holds no COLMAP model",
        hint="give a folder with images.bin or images.txt, a folder of such folders, or the OUT of a run",
    )


def read_poses(folder: Path) -> Poses:
    """Poses of one model, from images.bin or else images.txt, sorted by name.

    Raises:
        InputError: there is no such file, it is truncated or malformed, or a name occurs twice.
    """
    file, rows = _rows(folder)
    poses: dict[str, pycolmap.Rigid3d] = {}
    for row in rows:
        if row.name in poses:
            raise InputError(f"{file}: image {row.name!r} occurs twice")
        poses[row.name] = checked_pose(row.pose[:4], row.pose[4:], f"{file}: image {row.name!r}")
    return dict(sorted(poses.items()))


def read_camera_ids(folder: Path) -> Mapping[str, int]:
    """COLMAP's id of the camera of every image of one model, by name; errors as `read_poses`."""
    return {row.name: row.camera_id for row in _rows(folder)[1]}


def read_names(folder: Path) -> Mapping[int, str]:
    """Names of the images of one model by their ids, blanks included; errors as `read_poses`."""
    return {row.image_id: row.name for row in _rows(folder)[1]}


def read_export_marker(folder: Path) -> Mapping[str, Any]:
    """What an export of ours notes about its folder; nothing where there is no readable marker."""
    try:
        marker = read_json(folder / EXPORT_MARKER, errors="surrogateescape")
    except InputError:
        return {}
    return marker if isinstance(marker, dict) else {}


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


def _rows(folder: Path) -> tuple[Path, Iterator[ImageRow]]:
    file = _image_file(folder)
    if file is None:
        raise InputError(f"{folder} has neither images.bin nor images.txt")
    if file.suffix == ".bin":
        return file, model_binary.images(file)
    photos = _photos_of_export(folder)
    rows = model_text.images(file, with_points=False)
    return file, (replace(row, name=photos.get(row.name, row.name)) for row in rows)


def _photos_of_export(folder: Path) -> Mapping[str, str]:
    """Photo by the name that an export of ours gave it, as its marker has them."""
    marker = read_export_marker(folder)
    return marker["photos"] if fits(marker, {"photos": {str: str}}) else {}
