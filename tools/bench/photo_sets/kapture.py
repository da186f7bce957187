"""Photos of a folder of kapture: cameras and, where there are any, true poses; from `sensors/*.txt`; pairs.

CSV with `#` for comments. `sensors.txt`: sensor_id, name, camera, MODEL, width, height, parameters …;
`records_camera.txt`: timestamp, sensor_id, photo; `trajectories.txt`: timestamp, sensor_id, qw, qx, qy, qz,
tx, ty, tz (world to device), which the queries of some benchmarks do not have. Rigs are refused. Pairs of
queries and photos of the map, from another program's retrieval: query, photo, score.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from photo_sets.mapfree import pose_of
from photo_sets.texts import Line, lines_of, numbers
from sfm.errors import InputError
from sfm.ingest.intrinsics import checked_params

_MOST_PX = 1_000_000
"""Of a side of a photo."""
_COLUMNS = {
    "sensors.txt": "sensor_id, name, camera, MODEL, width, height, parameters ...",
    "trajectories.txt": "timestamp, sensor_id, qw, qx, qy, qz, tx, ty, tz",
    "records_camera.txt": "timestamp, sensor_id, photo",
}
"""Of a line, separated by commas; other files hold pairs."""
_PAIR = "query, photo, score"
_MODELS = frozenset(pycolmap.CameraModelId.__members__) - {"INVALID"}


@dataclass(frozen=True, slots=True)
class Record:
    """A photo."""

    camera: pycolmap.Camera | None
    """None where its intrinsics are unknown (UNKNOWN_CAMERA)."""
    cam_from_world: pycolmap.Rigid3d | None
    """None where it is not known."""


def load_kapture(folder: Path) -> Mapping[str, Record]:
    """The photos of a folder that holds `sensors/`, by name, in the order of their file.

    Raises:
        InputError: a file is missing or malformed, or there is a rig; with file and line.
    """
    sensors = folder / "sensors"
    if (sensors / "rigs.txt").is_file():
        raise InputError(f"{sensors / 'rigs.txt'}: rigs are not read", hint="give a pose for each camera")
    cameras: dict[str, pycolmap.Camera | None] = {}
    for line, values in _rows(sensors / "sensors.txt", 3):
        if values[0] in cameras:
            raise InputError(f"{line.where}: a second sensor {values[0]!r}")
        if values[2] == "camera":
            cameras[values[0]] = camera_of(line, values[3:])
    poses: dict[tuple[str, str], pycolmap.Rigid3d] = {}
    if (sensors / "trajectories.txt").is_file():
        for line, values in _rows(sensors / "trajectories.txt", 9):
            given = numbers(Line(line.where, " ".join(values[2:])), 7, _COLUMNS["trajectories.txt"])
            pose = pose_of(line, given)
            if (values[0], values[1]) in poses:
                raise InputError(f"{line.where}: a second pose of {values[1]!r} at {values[0]}")
            poses[values[0], values[1]] = pose
    found: dict[str, Record] = {}
    for line, (time, sensor, name) in _rows(sensors / "records_camera.txt", 3):
        if sensor not in cameras:
            raise InputError(f"{line.where}: {sensors / 'sensors.txt'} has no camera {sensor!r}")
        if name in found:
            raise InputError(f"{line.where}: photo {name!r} occurs twice")
        found[name] = Record(cameras[sensor], poses.get((time, sensor)))
    if not found:
        raise InputError(f"{sensors / 'records_camera.txt'} names no photo")
    return found


def load_pairs(path: Path) -> list[tuple[str, str]]:
    """Queries and photos of the map, each query's of the highest score first.

    Raises:
        InputError: the file is missing or malformed; with file and line.
    """
    found = [
        (query, photo, float(numbers(Line(line.where, score), 1, "a score")[0]))
        for line, (query, photo, score) in _rows(path, 3)
    ]
    if not found:
        raise InputError(f"{path} names no pair")
    return [pair[:2] for pair in sorted(found, key=lambda pair: (pair[0], -pair[2]))]


def _rows(path: Path, least: int) -> list[tuple[Line, list[str]]]:
    rows = []
    for line in lines_of(path):
        if not line.text.lstrip().startswith("#"):
            values = [value.strip() for value in line.text.split(",")]
            if len(values) < least or (path.name != "sensors.txt" and len(values) != least):
                raise InputError(
                    f"{line.where}: {len(values)} values, {least} are expected",
                    hint=_COLUMNS.get(path.name, _PAIR),
                )
            rows.append((line, values))
    return rows


def camera_of(line: Line, values: list[str]) -> pycolmap.Camera | None:
    """A camera from its model, width, height and parameters; None for UNKNOWN_CAMERA.

    Raises:
        InputError: the model is not COLMAP's, or the numbers are not as many as it has, or no size, or
            impossible.
    """
    if values[:1] == ["UNKNOWN_CAMERA"]:
        return None
    if not values or values[0] not in _MODELS:
        raise InputError(f"{line.where}: {(values or [''])[0]!r} is no camera model of COLMAP")
    camera = pycolmap.Camera.create_from_model_name(1, values[0], 1.0, 1, 1)
    what = f"width, height and {len(camera.params)} parameters of {values[0]}"
    given = numbers(Line(line.where, " ".join(values[1:])), 2 + len(camera.params), what)
    if any(not 1 <= value <= _MOST_PX or value != int(value) for value in given[:2]):
        raise InputError(f"{line.where}: width and height must be whole numbers from 1 to {_MOST_PX}")
    camera.width, camera.height = int(given[0]), int(given[1])
    camera.params = list(checked_params(line.where, values[0], (camera.width, camera.height), values[3:]))
    return camera
