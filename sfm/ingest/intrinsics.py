"""Known intrinsics from the user: a COLMAP parameter string or a cameras.txt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pycolmap

from sfm.config.schema import CameraModel
from sfm.errors import InputError
from sfm.untrusted.documents import read_text
from sfm.untrusted.numbers import checked_real, shown, whole

Size = tuple[int, int]

_MODELS = get_args(CameraModel)


@dataclass(frozen=True, slots=True)
class KnownCamera:
    """Intrinsics for photos of one size."""

    model: str
    size: Size
    params: tuple[float, ...]


def parse_camera_params(text: str, model: str, size: Size) -> KnownCamera:
    """Comma-separated parameters in COLMAP's order, such as "2559.7, 1536, 1152, -0.0205".

    Raises:
        InputError: not numbers, not as many as the model has, or impossible for photos of this size.
    """
    where = "images.camera_params"
    return KnownCamera(model, size, checked_params(where, model, size, text.split(",")))


def read_cameras_file(path: Path) -> tuple[KnownCamera, ...]:
    """The cameras of a COLMAP cameras.txt, in the order of the file.

    Raises:
        InputError: the file cannot be read, a line is not `CAMERA_ID MODEL WIDTH HEIGHT PARAMS...`, or two
            cameras have one size, which is what assigns photos to cameras.
    """
    cameras: dict[Size, KnownCamera] = {}
    ids: set[int] = set()
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}:{number}"
        camera_id, camera = _parse_line(where, line.split())
        if camera_id in ids:
            raise InputError(f"{where}: camera id {camera_id} occurs twice")
        if camera.size in cameras:
            raise InputError(
                f"{where}: a second camera of {_text(camera.size)} px",
                hint="photos get their camera by size: give one camera per size",
            )
        ids.add(camera_id)
        cameras[camera.size] = camera
    if not cameras:
        raise InputError(f"{path} holds no camera", hint="each line: CAMERA_ID MODEL WIDTH HEIGHT PARAMS...")
    return tuple(cameras.values())


def _lines(path: Path) -> list[str]:
    text = read_text(path, option="images.cameras_file", what="a text file such as COLMAP's cameras.txt")
    return text.splitlines()


def _parse_line(where: str, words: Sequence[str]) -> tuple[int, KnownCamera]:
    camera = camera_of_words(where, words, "CAMERA_ID")
    return _whole_number(where, words[0], "CAMERA_ID numbers the cameras from 1 on"), camera


def camera_of_words(where: str, words: Sequence[str], first: str) -> KnownCamera:
    """The camera of a line whose first word, not looked at here, is followed by MODEL WIDTH HEIGHT PARAMS...

    Raises:
        InputError: there are fewer words, or they are no camera; begins with `where`.
    """
    if len(words) < 5:
        raise InputError(f"{where}: {len(words)} values; wanted {first} MODEL WIDTH HEIGHT PARAMS...")
    model = words[1]
    if model not in _MODELS:
        raise InputError(f"{where}: unknown camera model {shown(model)}", hint=f"one of {', '.join(_MODELS)}")
    hint = "width and height of the photos, in pixels"
    width, height = (_whole_number(where, word, hint) for word in words[2:4])
    return KnownCamera(model, (width, height), checked_params(where, model, (width, height), words[4:]))


def _whole_number(where: str, word: str, hint: str) -> int:
    value = whole(word, low=1)
    if value is None:
        raise InputError(f"{where}: {shown(word)} is not a positive whole number below 2^31", hint=hint)
    return value


def checked_params(where: str, model: str, size: Size, words: Sequence[str]) -> tuple[float, ...]:
    """The parameters of a camera for photos of one size.

    Raises:
        InputError: not numbers, not as many as the model has, or impossible; begins with `where`.
    """
    camera = pycolmap.Camera.create_from_model_name(1, model, 1.0, *size)
    names = [name.strip() for name in camera.params_info.split(",")]
    if len(words) != len(names):
        raise InputError(
            f"{where}: {model} takes {len(names)} parameters ({', '.join(names)}), not {len(words)}",
            hint="in this order, as COLMAP writes them; lengths in pixels of these photos",
        )
    params = tuple(_real_number(where, word) for word in words)
    focals = [params[i] for i in camera.focal_length_idxs()]
    if not all(0.05 <= focal / max(size) <= 100 for focal in focals):
        raise InputError(
            f"{where}: a focal length of {focals[0]:g} px is impossible for {_text(size)} px",
            hint="lengths are in pixels of these photos, not in mm and not normalised",
        )
    if [params[i] for i in camera.metadata_params_idxs()] not in ([], list(size)):
        raise InputError(f"{where}: {model} repeats the photos' size: {size[0]}, {size[1]}")
    centre = [params[i] for i in camera.principal_point_idxs()]
    inside = all(0 < at < length for at, length in zip(centre, size, strict=False))
    if not inside or max(centre, default=2) <= 1:
        there = ", ".join(f"{at:g}" for at in centre)
        raise InputError(
            f"{where}: the principal point {there} lies outside photos of {_text(size)} px",
            hint="lengths are in pixels of these photos, not in mm and not normalised",
        )
    return params


def _real_number(where: str, word: str) -> float:
    if not word.strip():
        raise InputError(f"{where}: an empty value is not a number")
    return checked_real(word.strip(), where)


def _text(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
