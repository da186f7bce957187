"""Cameras of COLMAP models on disk, and of ground truth, each checked before it is believed."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pycolmap

from sfm.errors import InputError

_HEADER = struct.Struct("<IiQQ")  # camera id, model id, width, height
_MODELS = {int(model): name for name, model in pycolmap.CameraModelId.__members__.items() if int(model) >= 0}


def read_cameras(folder: Path) -> Mapping[int, pycolmap.Camera]:
    """Cameras of one model by id, from cameras.bin or else cameras.txt.

    Raises:
        InputError: there is no such file, or an entry of it is malformed; the message names both.
    """
    for file, entries in (
        (folder / "cameras.bin", _binary_entries),
        (folder / "cameras.txt", _text_entries),
    ):
        if file.is_file():
            return dict(entries(file))
    raise InputError(f"{folder} has neither cameras.bin nor cameras.txt")


def checked_camera(
    model: object, width: object, height: object, params: object, where: str
) -> pycolmap.Camera:
    """A camera from a model name of COLMAP's, pixels and parameters; `where` begins the message of an error.

    Raises:
        InputError: no such model, a size that is none, or not just as many finite parameters as it has.
    """
    if model not in _MODELS.values():
        raise InputError(f"{where}: COLMAP has no camera model {model!r}")
    if not all(isinstance(n, int) and 0 < n < 2**31 for n in (width, height)):
        raise InputError(f"{where}: a photo cannot have {width!r} x {height!r} pixels")
    try:
        values = np.array(params, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: parameters must be numbers, found {params!r}") from error
    camera = pycolmap.Camera(model=model, width=width, height=height, params=values.ravel())
    if values.ndim != 1 or not camera.verify_params() or not np.all(np.isfinite(values)):
        raise InputError(f"{where}: {model} has the parameters {camera.params_info}, found {params!r}")
    return camera


def checked_cameras(
    content: object, names: Iterable[str], where: str
) -> Mapping[str, pycolmap.Camera] | None:
    """The entry `cameras` of a gt.json: {NAME: {model, width, height, params}}, those of `names`.

    Raises:
        InputError: it has another form, or a camera is none.
    """
    if content is None:
        return None
    if not isinstance(content, dict):
        raise InputError(f"{where}: cameras must map photo names to cameras")
    cameras = {}
    for name in names:
        if name in content:
            entry = content[name] if isinstance(content[name], dict) else {}
            model, width, height, params = (entry.get(key) for key in ("model", "width", "height", "params"))
            cameras[name] = checked_camera(model, width, height, params, f"{where}: camera of {name!r}")
    return cameras


def camera_entry(camera: pycolmap.Camera) -> dict[str, object]:
    """The entry of a camera in a gt.json."""
    return {
        "model": camera.model_name,
        "width": camera.width,
        "height": camera.height,
        "params": [float(value) for value in camera.params],
    }


def _text_entries(file: Path) -> Iterator[tuple[int, pycolmap.Camera]]:
    text = file.read_text(encoding="utf-8", errors="surrogateescape")
    for number, line in enumerate(text.splitlines(), start=1):
        parts = line.split()
        if not parts or line.startswith("#"):
            continue
        try:
            camera_id, width, height = int(parts[0]), int(parts[2]), int(parts[3])
            params = [float(part) for part in parts[4:]]
        except (ValueError, IndexError) as error:
            wanted = "CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"
            raise InputError(f"{file}:{number}: expected {wanted!r}, found {line[:80]!r}") from error
        yield camera_id, checked_camera(parts[1], width, height, params, f"{file}:{number}")


def _binary_entries(file: Path) -> Iterator[tuple[int, pycolmap.Camera]]:
    data = file.read_bytes()
    truncated = InputError(f"{file} is truncated: it ends after {len(data)} bytes, in the middle of a camera")
    if len(data) < 8:
        raise truncated
    position = 8
    for _ in range(min(struct.unpack_from("<Q", data)[0], len(data))):
        if position + _HEADER.size > len(data):
            raise truncated
        camera_id, model_id, width, height = _HEADER.unpack_from(data, position)
        where = f"{file}: camera {camera_id}"
        if model_id not in _MODELS:
            raise InputError(f"{where}: COLMAP has no camera model of number {model_id}")
        position += _HEADER.size
        num_params = len(pycolmap.Camera.create_from_model_name(0, _MODELS[model_id], 1.0, 1, 1).params)
        if position + 8 * num_params > len(data):
            raise truncated
        params = struct.unpack_from(f"<{num_params}d", data, position)
        position += 8 * num_params
        yield camera_id, checked_camera(_MODELS[model_id], width, height, params, where)
