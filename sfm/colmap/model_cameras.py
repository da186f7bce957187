"""Cameras of COLMAP models on disk, and of ground truth, each checked before it is believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pycolmap

from sfm.colmap import model_binary, model_text
from sfm.errors import InputError
from sfm.untrusted.numbers import real, shown, whole

_MODELS = {int(model): name for name, model in pycolmap.CameraModelId.__members__.items() if int(model) >= 0}


def read_cameras(folder: Path) -> Mapping[int, pycolmap.Camera]:
    """Cameras of one model by id, from cameras.bin or else cameras.txt.

    Raises:
        InputError: there is no such file, or an entry of it is malformed; the message names both.
    """
    for file, read in (
        (folder / "cameras.bin", model_binary.cameras),
        (folder / "cameras.txt", model_text.cameras),
    ):
        if file.is_file():
            return {
                row.camera_id: checked_camera(row.model, row.width, row.height, row.params, row.where)
                for row in read(file)
            }
    raise InputError(f"{folder} has neither cameras.bin nor cameras.txt")


def checked_camera(
    model: object, width: object, height: object, params: object, where: str
) -> pycolmap.Camera:
    """A camera from a model name of COLMAP's, pixels and parameters; `where` begins the message of an error.

    Raises:
        InputError: no such model, an impossible size, or other than its number of finite parameters
            (EQUIRECTANGULAR may have none, since its own are width and height).
    """
    if model not in _MODELS.values():
        raise InputError(f"{where}: COLMAP has no camera model {model!r}")
    size = [None if isinstance(n, str) else whole(n, low=1) for n in (width, height)]
    if None in size:
        raise InputError(f"{where}: a photo cannot have {shown(width)} x {shown(height)} pixels")
    listed = params if isinstance(params, list | tuple) else ()
    if model == "EQUIRECTANGULAR" and not listed and isinstance(params, list | tuple):
        listed = size  # the parameters of this model are width and height once more
    values = [
        number for value in listed if not isinstance(value, str) and (number := real(value)) is not None
    ]
    camera = pycolmap.Camera(model=model, width=size[0], height=size[1], params=values)
    if len(values) != len(listed):
        raise InputError(f"{where}: parameters must be numbers, finite ones, found {shown(params)}")
    if not camera.verify_params():
        raise InputError(f"{where}: {model} has the parameters {camera.params_info}, found {shown(params)}")
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
