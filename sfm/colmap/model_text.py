"""Three text files of a COLMAP model, entry by entry; an InputError names the line that is malformed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sfm.errors import InputError
from sfm.untrusted.documents import read_text
from sfm.untrusted.numbers import real, whole

from .model_tables import NO_POINT, POINT2D, TRACK_ELEMENT, CameraRow, ImageRow, PointRow

_Row = TypeVar("_Row")
_MAX_ID = 2**32 - 2
_MAX_LONG_ID = 2**64 - 2


def cameras(file: Path) -> Iterator[CameraRow]:
    """The cameras of a cameras.txt."""
    for where, line in _lines(file):
        yield _parsed(partial(_camera, where), line, where, "CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]")


def images(file: Path, *, with_points: bool = True) -> Iterator[ImageRow]:
    """The images of an images.txt: two lines each, the second of which may be empty.

    Without `with_points` the second lines are not read, and no image has keypoints.
    """
    lines = iter(_all_lines(file))
    for where, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        after, text = next(lines, (where, ""))
        row = _parsed(_image, line, where, "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME")
        points = _parsed(_points2d, text if with_points else "", after, "POINTS2D[] as (X, Y, POINT3D_ID)")
        yield ImageRow(row.image_id, row.name, row.pose, row.camera_id, points)


def points(file: Path) -> Iterator[PointRow]:
    """The points of a points3D.txt."""
    for where, line in _lines(file):
        yield _parsed(_point, line, where, "POINT3D_ID X Y Z R G B ERROR TRACK[]")


def _all_lines(file: Path) -> list[tuple[str, str]]:
    text = read_text(file, errors="surrogateescape")
    return [(f"{file}:{number}", line) for number, line in enumerate(text.split("\n"), start=1)]


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    for where, line in _all_lines(file):
        if line.strip() and not line.lstrip().startswith("#"):
            yield where, line


def _parsed(parse: Callable[[str], _Row], line: str, where: str, wanted: str) -> _Row:
    try:
        return parse(line)
    except (ValueError, IndexError) as error:
        raise InputError(f"{where}: expected {wanted!r}, found {line[:80]!r}") from error


def _camera(where: str, line: str) -> CameraRow:
    words = line.split()
    width, height = (_id(word, 2**63) for word in words[2:4])
    return CameraRow(_id(words[0]), words[1], width, height, _reals(words[4:]), where)


def _image(line: str) -> ImageRow:
    words = line.split(maxsplit=9)
    none = np.zeros(0, POINT2D)
    return ImageRow(_id(words[0]), words[9].rstrip(), tuple(map(float, words[1:8])), _id(words[8]), none)


def _points2d(line: str) -> NDArray[np.void]:
    words = line.split()
    if len(words) % 3:
        raise ValueError("not three values a keypoint")
    found = np.zeros(len(words) // 3, POINT2D)
    found["xy"] = np.array([words[0::3], words[1::3]], np.float64).T
    ids = [NO_POINT if word == "-1" else _id(word, _MAX_LONG_ID) for word in words[2::3]]
    found["point"] = np.array(ids, np.uint64)
    return found


def _point(line: str) -> PointRow:
    words = line.split()
    for word in words[4:7]:
        _id(word, 255)
    track = np.zeros(len(words[8:]) // 2, TRACK_ELEMENT)
    track["image"] = [_id(word) for word in words[8::2]]
    track["keypoint"] = [_id(word) for word in words[9::2]]
    return PointRow(_id(words[0], _MAX_LONG_ID), _reals([*words[1:4], words[7]]), track)


def _id(word: str, most: int = _MAX_ID) -> int:
    found = whole(word, high=most)
    if found is None:
        raise ValueError("not a whole number in its range")
    return found


def _reals(words: Sequence[str]) -> tuple[float, ...]:
    """Finite numbers: COLMAP reads no other ones from text."""
    found = tuple(value for word in words if (value := real(word)) is not None)
    if len(found) != len(words):
        raise ValueError("not a finite number")
    return found
