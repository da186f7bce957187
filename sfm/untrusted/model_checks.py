"""A COLMAP model on disk, checked as a whole before COLMAP's own reader sees it.

That reader believes what it reads: it hangs on a truncated rigs.bin or frames.bin, takes all memory for
a count, and models that contradict themselves end as an exception far from the cause, or take the process
along.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm.errors import InputError
from sfm.evaluation.model_cameras import checked_camera
from sfm.evaluation.model_poses import checked_pose

from . import model_binary, model_text
from .model_tables import CAMERA, NO_POINT, TRACK_ELEMENT, FrameRow, ImageRow, PointRow, RigRow

FORMS = {"bin": model_binary, "txt": model_text}
_REQUIRED = ("cameras", "images", "points3D")
_OPTIONAL = ("rigs", "frames")
FILES = (*_REQUIRED, *_OPTIONAL)
MAX_NUM_IMAGES = 2**31 - 1
"""COLMAP's: ids of pairs are made of it."""
_NO_ID = 2**32 - 1
_UNIT_TOLERANCE = 1e-2
_KINDS = (CAMERA, 1)  # camera and inertial unit


def check_model(folder: Path) -> None:
    """Refuse a model whose files are damaged, or contradict themselves or each other.

    Args:
        folder: with cameras, images and points3D, binary or text, and, from COLMAP 4, rigs and frames.

    Raises:
        InputError: the first thing that is wrong, with its file.
    """
    form = form_of(folder)
    reader: Any = FORMS[form]
    files = {name: folder / f"{name}.{form}" for name in FILES}
    cameras = _cameras(files["cameras"], reader)
    images = _by_id(reader.images(files["images"]), "image_id", files["images"])
    _refuse(files["images"], _image_problems(images, cameras))
    has = [files[name].is_file() for name in _OPTIONAL]
    if any(has) and not all(has):
        missing = files[_OPTIONAL[has.index(False)]]
        raise InputError(f"{missing} is missing", hint="rigs and frames go together, or there are neither")
    if all(has):
        rigs = _by_id(reader.rigs(files["rigs"]), "rig_id", files["rigs"])
        _refuse(files["rigs"], _rig_problems(rigs, cameras))
        frames = _by_id(reader.frames(files["frames"]), "frame_id", files["frames"])
        _refuse(files["frames"], chain(_frame_problems(frames, rigs, images), _unframed(frames, images)))
    _check_points(reader.points(files["points3D"]), images, files)


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


def _cameras(file: Path, reader: Any) -> Collection[int]:
    rows = _by_id(reader.cameras(file), "camera_id", file)
    for row in rows.values():
        checked_camera(row.model, row.width, row.height, row.params, f"{file}: camera {row.camera_id}")
    return rows.keys()


def _by_id(rows: Iterable[Any], key: str, file: Path) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for row in rows:
        number = getattr(row, key)
        if number in found:
            raise InputError(f"{file}: the {key.replace('_', ' ')} {number} occurs twice")
        if number == _NO_ID:
            raise InputError(f"{file}: {number} is no {key.replace('_', ' ')}: COLMAP uses it for none")
        found[number] = row
    return found


def _refuse(file: Path, problems: Iterable[str]) -> None:
    for problem in problems:
        raise InputError(f"{file}: {problem}")


def _image_problems(images: Mapping[int, ImageRow], cameras: Collection[int]) -> Iterator[str]:
    names = Counter(image.name for image in images.values())
    for image in images.values():
        where = f"image {image.name!r}"
        if image.image_id >= MAX_NUM_IMAGES:
            yield f"{where} has the id {image.image_id}: COLMAP's end before {MAX_NUM_IMAGES}"
        if not image.name.strip():
            yield f"image {image.image_id} has no name"
        if not _is_utf8(image.name):
            yield f"the name of image {image.image_id} is not UTF-8: {image.name!r}"
        if names[image.name] > 1:
            yield f"{where} occurs twice"
        if image.camera_id not in cameras:
            yield f"{where} belongs to camera {image.camera_id}, which is missing"
        yield from _pose_problems(where, image.pose)
        if not np.isfinite(image.points["xy"]).all():
            yield f"{where} has a keypoint at a place that is not finite"


def _pose_problems(where: str, pose: Sequence[float]) -> Iterator[str]:
    try:
        checked_pose(tuple(pose[:4]), tuple(pose[4:]), where)
    except InputError as error:
        yield str(error)
        return
    length = float(np.linalg.norm(pose[:4]))
    if abs(length - 1) > _UNIT_TOLERANCE:
        yield f"{where} has a quaternion of length {length:.4g} for its rotation, not 1"


def _rig_problems(rigs: Mapping[int, RigRow], cameras: Collection[int]) -> Iterator[str]:
    owner: dict[object, int] = {}
    for rig in rigs.values():
        where = f"rig {rig.rig_id}"
        if not rig.sensors:
            yield f"{where} has no sensor"
        for sensor in rig.sensors:
            if sensor[0] not in _KINDS:
                yield f"{where} has a sensor of the unknown type {sensor[0]}"
            if sensor in owner:
                yield f"camera {sensor[1]} is in the rigs {owner[sensor]} and {rig.rig_id}, or twice in one"
            if sensor[0] == CAMERA and sensor[1] not in cameras:
                yield f"{where} has camera {sensor[1]}, which is missing"
            owner[sensor] = rig.rig_id
        for pose in rig.poses:
            yield from _pose_problems(f"a sensor of {where}", pose)


def _frame_problems(
    frames: Mapping[int, FrameRow], rigs: Mapping[int, RigRow], images: Mapping[int, ImageRow]
) -> Iterator[str]:
    for frame in frames.values():
        where = f"frame {frame.frame_id}"
        if frame.rig_id not in rigs:
            yield f"{where} belongs to rig {frame.rig_id}, which is missing"
            continue
        yield from _pose_problems(where, frame.pose)
        sensors = set(rigs[frame.rig_id].sensors)
        for sensor, data_id in frame.data:
            if sensor not in sensors:
                yield f"{where} has data of a sensor ({sensor[1]}) that its rig does not have"
            if sensor[0] == CAMERA and (data_id not in images or images[data_id].camera_id != sensor[1]):
                yield f"{where} has image {data_id} of camera {sensor[1]}, which is missing"


def _unframed(frames: Mapping[int, FrameRow], images: Mapping[int, ImageRow]) -> Iterator[str]:
    found = Counter(i for frame in frames.values() for (kind, _), i in frame.data if kind == CAMERA)
    for image in images.values():
        if found[image.image_id] != 1:
            yield f"image {image.name!r} is in {found[image.image_id]} frames, not in one"


def _check_points(
    rows: Iterable[PointRow], images: Mapping[int, ImageRow], files: Mapping[str, Path]
) -> None:
    """Points and the keypoints that observe them must know each other."""
    file = files["points3D"]
    ids: list[int] = []
    tracks: list[NDArray[Any]] = []
    for row in rows:
        if not np.isfinite(row.values).all():
            raise InputError(f"{file}: point {row.point_id} lies at a place that is not finite")
        ids.append(row.point_id)
        tracks.append(row.track)
    if len(set(ids)) < len(ids):
        raise InputError(f"{file}: the point id {Counter(ids).most_common(1)[0][0]} occurs twice")
    if NO_POINT in ids:
        raise InputError(f"{file}: {NO_POINT} is no point id: COLMAP uses it for none")
    said = _as_observations(ids, tracks, images, file)
    seen = _of_images(images)
    if not np.array_equal(said, seen):
        raise InputError(
            f"{files['images']} and {file} contradict each other: a keypoint observes a point that does not "
            "know of it, or the other way round"
        )


def _as_observations(
    ids: Sequence[int], tracks: Sequence[NDArray[Any]], images: Mapping[int, ImageRow], file: Path
) -> NDArray[np.uint64]:
    """Image, keypoint and point of each element of a track, (n, 3), sorted."""
    elements = np.concatenate([np.zeros(0, TRACK_ELEMENT), *tracks])
    points = np.repeat(np.array(ids, np.uint64), [len(track) for track in tracks])
    known = np.isin(elements["image"], np.array(list(images), np.uint32))
    if not known.all():
        which = int(np.argmin(known))
        raise InputError(
            f"{file}: point {points[which]} is seen by image {elements['image'][which]}, which is missing"
        )
    return _sorted(elements["image"], elements["keypoint"], points)


def _of_images(images: Mapping[int, ImageRow]) -> NDArray[np.uint64]:
    """The same, of the keypoints of all images that observe a point."""
    parts = [
        (np.full(len(rows), image.image_id), rows, image.points["point"][rows])
        for image in images.values()
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
