"""Rigs of cameras that the user describes, as COLMAP's rig_config.json."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import get_args

import pycolmap

from sfm.config.schema import CameraModel
from sfm.errors import InputError
from sfm.types import Rig, RigSensor
from sfm.untrusted.documents import read_json
from sfm.untrusted.numbers import checked_reals, shown

_MODELS = get_args(CameraModel)
_KEYS = frozenset(
    {
        "image_prefix",
        "ref_sensor",
        "cam_from_rig_rotation",
        "cam_from_rig_translation",
        "camera_model_name",
        "camera_params",
    }
)


def read_rig_config(path: Path) -> tuple[Rig, ...]:
    """The rigs of a COLMAP rig_config.json.

    It is a list of rigs, each with `cameras`: `image_prefix` begins the names of a camera's photos, what
    follows it is the same for all photos of one frame; one camera has `ref_sensor: true`, the others may have
    `cam_from_rig_rotation` (w, x, y, z) and `cam_from_rig_translation`; any may have `camera_model_name` and
    `camera_params`.

    Raises:
        InputError: naming the file, the line or the key, and what is wrong with it.
    """
    content = read_json(path, option="images.rig_config")
    if not isinstance(content, list) or not content:
        raise InputError(f"{path}: expected a list of rigs, as COLMAP's rig_config.json")
    rigs = tuple(_rig(f"{path}: [{index}]", value) for index, value in enumerate(content))
    prefixes = Counter(sensor.prefix for rig in rigs for sensor in rig.sensors)
    repeated = next((prefix for prefix, count in prefixes.items() if count > 1), None)
    if repeated is not None:
        raise InputError(f"{path}: two cameras have image_prefix {repeated!r}")
    return rigs


def check_rig_photos(path: Path, rigs: Sequence[Rig], names: Collection[str]) -> None:
    """Refuse rigs that do not fit the photos; `path` is named in the message.

    Raises:
        InputError: a camera without photos, or a rig no frame of which has two photos.
    """
    sensors = sensors_of(rigs, names)
    for index, rig in enumerate(rigs):
        for place, sensor in enumerate(rig.sensors):
            if sensor.prefix not in sensors.values():
                where = f"{path}: [{index}].cameras[{place}].image_prefix"
                raise InputError(
                    f"{where}: no photo's name begins with {sensor.prefix!r}",
                    hint="names are relative to the photo folder, with / between folders",
                )
        prefixes = {sensor.prefix for sensor in rig.sensors}
        frames = Counter(name.removeprefix(p) for name, p in sensors.items() if p in prefixes)
        if len(prefixes) > 1 and max(frames.values()) < 2:
            raise InputError(
                f"{path}: [{index}]: no photos of different cameras have the same name after image_prefix",
                hint="photos taken together have equal names after their camera's prefix",
            )


def sensors_of(rigs: Sequence[Rig], names: Collection[str]) -> dict[str, str]:
    """The prefix of the camera that took each photo of a rig, by name; the longest where several fit."""
    prefixes = sorted((s.prefix for rig in rigs for s in rig.sensors), key=len, reverse=True)
    found = {name: next((p for p in prefixes if name.startswith(p)), None) for name in names}
    return {name: prefix for name, prefix in found.items() if prefix is not None}


def _rig(where: str, value: object) -> Rig:
    cameras = value.get("cameras") if isinstance(value, dict) else None
    if not isinstance(cameras, list) or not cameras:
        raise InputError(f"{where}: expected an object with a list `cameras`")
    sensors = tuple(_sensor(f"{where}.cameras[{index}]", camera) for index, camera in enumerate(cameras))
    references = sum(sensor.is_reference for sensor in sensors)
    if references != 1:
        raise InputError(f"{where}: {references} cameras have ref_sensor: true; exactly one should")
    return Rig(sensors)


def _sensor(where: str, value: object) -> RigSensor:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object with image_prefix")
    if unknown := sorted(set(value) - _KEYS):
        raise InputError(f"{where}: unknown key {unknown[0]!r}", hint=f"one of {', '.join(sorted(_KEYS))}")
    prefix, reference = value.get("image_prefix"), value.get("ref_sensor", False)
    if not isinstance(prefix, str) or not prefix:
        raise InputError(f"{where}.image_prefix: expected the beginning of photo names")
    if not isinstance(reference, bool):
        raise InputError(f"{where}.ref_sensor: expected true or false")
    rotation = _numbers(f"{where}.cam_from_rig_rotation", value.get("cam_from_rig_rotation"), 4)
    translation = _numbers(f"{where}.cam_from_rig_translation", value.get("cam_from_rig_translation"), 3)
    if (rotation is None) != (translation is None):
        raise InputError(f"{where}: cam_from_rig_rotation and cam_from_rig_translation go together")
    if reference and rotation is not None:
        raise InputError(f"{where}: the camera with ref_sensor: true is the rig's own frame")
    if rotation is not None and abs(math.hypot(*rotation) - 1) > 0.01:
        raise InputError(f"{where}.cam_from_rig_rotation: not a unit quaternion (w, x, y, z)")
    return RigSensor(prefix, reference, rotation, translation, *_camera(where, value))


def _camera(where: str, value: Mapping[str, object]) -> tuple[str | None, tuple[float, ...] | None]:
    model, params = value.get("camera_model_name"), value.get("camera_params")
    if model is None and params is None:
        return None, None
    if model not in _MODELS:
        raise InputError(f"{where}.camera_model_name: {shown(model)}", hint=f"one of {', '.join(_MODELS)}")
    if params is None:
        return str(model), None
    count = len(pycolmap.Camera.create_from_model_name(1, str(model), 1.0, 1, 1).params)
    return str(model), _numbers(f"{where}.camera_params", params, count)


def _numbers(where: str, value: object, count: int) -> tuple[float, ...] | None:
    return None if value is None else checked_reals(value, count, where)
