"""Checks of a model on disk that COLMAP's own reader lacks.

That reader believes sizes: it never ends on a truncated rigs.bin or frames.bin, and takes all memory for a
count. It refuses repeated ids, and cameras, rigs and frames that refer to missing ones. It accepts numbers
that are not finite, and points and keypoints that do not refer to each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.colmap.model_cameras import checked_camera
from sfm.errors import InputError

from . import model_binary, model_text
from .model_tables import NO_POINT, TRACK_ELEMENT, ImageRow, PointRow

FORMS = {"bin": model_binary, "txt": model_text}
_REQUIRED = ("cameras", "images", "points3D")
_OPTIONAL = ("rigs", "frames")
FILES = (*_REQUIRED, *_OPTIONAL)
MAX_NUM_IMAGES = 2**31 - 1
"""COLMAP's: ids of pairs are made of it."""
_UNIT_TOLERANCE = 1e-2


def check_files(folder: Path) -> None:
    """Refuse a model whose files are damaged, before COLMAP reads them.

    The folder has cameras, images and points3D, binary or text, and, from COLMAP 4, rigs and frames.

    Raises:
        InputError: the first thing that is wrong, with its file.
    """
    form = form_of(folder)
    reader: Any = FORMS[form]
    files = {name: folder / f"{name}.{form}" for name in FILES}
    for row in reader.cameras(files["cameras"]):
        checked_camera(
            row.model, row.width, row.height, row.params, f"{files['cameras']}: camera {row.camera_id}"
        )
    images = list(reader.images(files["images"]))
    for problem in _image_problems(images):
        raise InputError(f"{files['images']}: {problem}")
    has = [files[name].is_file() for name in _OPTIONAL]
    if any(has) and not all(has):
        missing = files[_OPTIONAL[has.index(False)]]
        raise InputError(f"{missing} is missing", hint="rigs and frames go together, or there are neither")
    if all(has) and form == "bin":
        model_binary.check_rigs(files["rigs"])
        model_binary.check_frames(files["frames"])
    _check_points(reader.points(files["points3D"]), images, files)


def check_poses(model: pycolmap.Reconstruction, folder: Path) -> None:
    """Refuse a model as COLMAP has read it, if the pose of an image in it is none.

    Raises:
        InputError: the first such image.
    """
    for image in model.images.values():
        where = f"{folder}: image {image.name!r}"
        try:
            pose = image.cam_from_world()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{where} has no pose, by itself or by its rig") from error
        length = float(np.linalg.norm(pose.rotation.quat))
        if not abs(length - 1) <= _UNIT_TOLERANCE:
            raise InputError(f"{where} has a quaternion of length {length:.4g} for its rotation, not 1")
        if not np.isfinite(pose.translation).all():
            raise InputError(f"{where} stands at a place that is not finite")


def form_of(folder: Path) -> str:
    """`bin` or `txt`: which of its files COLMAP reads.

    Raises:
        InputError: it has not all of either; names one that is missing.
    """
    for form in FORMS:
        if all((folder / f"{name}.{form}").is_file() for name in _REQUIRED):
            return form
    likelier = "bin" if (folder / "images.bin").is_file() else "txt"
    missing = next(name for name in _REQUIRED if not (folder / f"{name}.{likelier}").is_file())
    raise InputError(
        f"{folder / missing}.{likelier} is missing", hint="a COLMAP model has cameras, images and points3D"
    )


def _image_problems(images: Sequence[ImageRow]) -> Iterator[str]:
    names = Counter(image.name for image in images)
    for image in images:
        where = f"image {image.name!r}"
        if image.image_id >= MAX_NUM_IMAGES:
            yield f"{where} has the id {image.image_id}: COLMAP's end before {MAX_NUM_IMAGES}"
        if not image.name.strip():
            yield f"image {image.image_id} has no name"
        if not _is_utf8(image.name):
            yield f"the name of image {image.image_id} is not UTF-8: {image.name!r}"
        if names[image.name] > 1:
            yield f"{where} occurs twice"
        if not np.isfinite(image.points["xy"]).all():
            yield f"{where} has a keypoint at a place that is not finite"


def _check_points(rows: Iterable[PointRow], images: Sequence[ImageRow], files: Mapping[str, Path]) -> None:
    """Points and the keypoints that observe them must refer to each other."""
    file = files["points3D"]
    ids: list[int] = []
    tracks: list[NDArray[Any]] = []
    for row in rows:
        if not np.isfinite(row.values).all():
            raise InputError(f"{file}: point {row.point_id} lies at a place that is not finite")
        ids.append(row.point_id)
        tracks.append(row.track)
    listed = _as_observations(ids, tracks, images, file)
    seen = _of_images(images)
    if not np.array_equal(listed, seen):
        raise InputError(
            f"{files['images']} and {file} contradict each other: a keypoint observes a point that does not "
            "know of it, or the other way round"
        )


def _as_observations(
    ids: Sequence[int], tracks: Sequence[NDArray[Any]], images: Sequence[ImageRow], file: Path
) -> NDArray[np.uint64]:
    """Image, keypoint and point of each element of a track, (n, 3), sorted."""
    elements = np.concatenate([np.zeros(0, TRACK_ELEMENT), *tracks])
    points = np.repeat(np.array(ids, np.uint64), [len(track) for track in tracks])
    known = np.isin(elements["image"], [image.image_id for image in images])
    if not known.all():
        which = int(np.argmin(known))
        raise InputError(
            f"{file}: point {points[which]} is seen by image {elements['image'][which]}, which is missing"
        )
    return _sorted(elements["image"], elements["keypoint"], points)


def _of_images(images: Sequence[ImageRow]) -> NDArray[np.uint64]:
    """The same, of the keypoints of all images that observe a point."""
    parts = [
        (np.full(len(rows), image.image_id), rows, image.points["point"][rows])
        for image in images
        if len(rows := np.flatnonzero(image.points["point"] != NO_POINT))
    ]
    if not parts:
        return np.zeros((0, 3), np.uint64)
    image_ids, keypoints, points = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _sorted(image_ids, keypoints, points)


def _sorted(*columns: NDArray[Any]) -> NDArray[np.uint64]:
    order = np.lexsort(columns)
    return np.stack([column[order].astype(np.uint64) for column in columns], axis=1)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
