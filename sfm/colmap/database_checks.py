"""Checks of a database from elsewhere before COLMAP's mapper reads it.

COLMAP trusts its input. A wrong index, a truncated blob or an infinite keypoint ends as an exception far from
its cause, a wrong model, or a crash.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.colmap.database_columns import schema_problems
from sfm.colmap.pair_ids import image_ids_of_pair
from sfm.errors import InputError

_KEYPOINT_COLUMNS = (2, 4, 6)
_SCALE_AND_ANGLE = 4  # columns of keypoints with those
_MAX_OUTSIDE = 10  # times the size of the photo: lens models send keypoints a little outside, none so far
_GEOMETRY_VALUES = {"F": 9, "E": 9, "H": 9, "qvec": 4, "tvec": 3}
_CAMERA = int(pycolmap.SensorType.CAMERA)
_CAMERA_COLUMNS = ("camera1", "camera2")  # cameras that the verification estimated; mostly absent
_STORED_CAMERA = struct.Struct("<IiQQ?Q")  # id, model, size, whether the focal length is known, parameters
_HINT = "make a new database, or remove what is wrong and verify the pairs again"
_MAX_SIZE = 2**31
_MIN_FOCAL_FACTOR, _MAX_FOCAL_FACTOR = 0.1, 10.0  # of the longer side; COLMAP registers no photo beyond them
DEFAULT_FOCAL_FACTOR = 1.2  # COLMAP's own guess


def check_database(db: sqlite3.Connection, source: Path) -> None:
    """Refuse a database that is incomplete or contradicts itself; it is only read, and named as `source`.

    Raises:
        InputError: the first thing that is wrong, and where.
    """
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise InputError(f"{source}: not a COLMAP database, or a damaged one: {found}", hint=_HINT)
    for problem in schema_problems(db):
        raise InputError(f"{source}: {problem}", hint=_HINT)
    sizes: dict[int, tuple[int, int]] = {}
    names: dict[int, tuple[str, int]] = {}
    counts: dict[int, int] = {}
    problems = chain(
        _cameras(db, sizes),
        _images(db, sizes, names),
        _frames(db, tables, sizes, names),
        _keypoints(db, sizes, names, counts),
        _pairs(db, names, counts),
        _descriptors(db, tables),
    )
    for problem in problems:
        raise InputError(f"{source}: {problem}", hint=_HINT)


def drop_empty_keypoints(db: sqlite3.Connection) -> None:
    """Forget keypoints of which there are none: COLMAP refuses to read them as 0 x 0 values."""
    db.execute("DELETE FROM keypoints WHERE rows = 0")


def forget_impossible_focal_lengths(db: sqlite3.Connection) -> dict[int, float]:
    """Replace focal lengths below 0.1 or above 10 times the longer side by COLMAP's guess, as unknown.

    Returns the replaced ones (px), by camera id.
    """
    forgotten = {}
    query = "SELECT camera_id, model, width, height, params FROM cameras"
    for camera_id, model, width, height, blob in db.execute(query).fetchall():
        params, longer = np.frombuffer(blob).copy(), max(width, height)
        camera = pycolmap.Camera.create_from_model_id(1, pycolmap.CameraModelId(model), 1.0, width, height)
        places = list(camera.focal_length_idxs())
        factors = params[places] / longer
        if np.all((factors >= _MIN_FOCAL_FACTOR) & (factors <= _MAX_FOCAL_FACTOR)):
            continue
        forgotten[camera_id] = float(params[places[0]])
        params[places] = DEFAULT_FOCAL_FACTOR * longer
        row = (params.tobytes(), camera_id)
        db.execute("UPDATE cameras SET params = ?, prior_focal_length = 0 WHERE camera_id = ?", row)
    return forgotten


def _cameras(db: sqlite3.Connection, sizes: dict[int, tuple[int, int]]) -> Iterator[str]:
    for camera_id, model, width, height, blob in db.execute(
        "SELECT camera_id, model, width, height, params FROM cameras"
    ):
        problem = _camera_problem(model, width, height, blob)
        if problem is not None:
            yield f"camera {camera_id} {problem}"
        sizes[camera_id] = (width, height)


def _camera_problem(model: int, width: int, height: int, blob: bytes | None) -> str | None:
    if not (0 < width < _MAX_SIZE and 0 < height < _MAX_SIZE):
        return f"is {width} x {height} px"
    if model not in [int(m) for m in pycolmap.CameraModelId.__members__.values() if int(m) >= 0]:
        return f"has the unknown model {model}"
    camera = pycolmap.Camera.create_from_model_id(1, pycolmap.CameraModelId(model), 1.0, width, height)
    params = _values(blob, 1, len(camera.params), np.float64)
    if params is None or not np.isfinite(params).all():
        return f"needs {len(camera.params)} finite parameters of its model {camera.model_name}"
    return None


def _images(
    db: sqlite3.Connection, cameras: Mapping[int, object], names: dict[int, tuple[str, int]]
) -> Iterator[str]:
    used: set[str] = set()
    for image_id, name, camera_id in db.execute("SELECT image_id, name, camera_id FROM images"):
        if not name.strip() or "\0" in name:
            yield f"image {image_id} has no name, or one with a zero byte: {name!r}"
        elif camera_id not in cameras:
            yield f"image {name!r} belongs to camera {camera_id}, which is missing"
        elif name in used:
            yield f"image {name!r} occurs twice"
        used.add(name)
        names[image_id] = (name, camera_id)


def _frames(
    db: sqlite3.Connection,
    tables: set[str],
    cameras: Mapping[int, object],
    names: Mapping[int, tuple[str, int]],
) -> Iterator[str]:
    """Where there are rigs and frames every image needs one; else COLMAP makes them for each image."""
    if not {"rigs", "frames"} <= tables:
        return
    rig_of = dict(db.execute("SELECT frame_id, rig_id FROM frames"))
    sensors = _sensors(db, tables)
    if not rig_of or not sensors:
        return
    for rig_id, sensor in ((rig_id, s) for rig_id, found in sensors.items() for s in found):
        if sensor[0] == _CAMERA and sensor[1] not in cameras:
            yield f"rig {rig_id} has camera {sensor[1]}, which is missing"
    for frame_id, rig_id in rig_of.items():
        if rig_id not in sensors:
            yield f"frame {frame_id} belongs to rig {rig_id}, which is missing"
    framed = set()
    query = "SELECT data_id, frame_id, sensor_type, sensor_id FROM frame_data"
    for data_id, frame_id, kind, sensor_id in db.execute(query) if "frame_data" in tables else ():
        if frame_id in rig_of and (kind, sensor_id) not in sensors[rig_of[frame_id]]:
            yield f"frame {frame_id} has data of a sensor ({sensor_id}) that its rig does not have"
        elif frame_id in rig_of and kind == _CAMERA:
            framed.add((data_id, sensor_id))
    for image_id, (name, camera_id) in names.items():
        if (image_id, camera_id) not in framed:
            yield f"image {name!r} is in no frame of its camera, though the database has frames"


def _sensors(db: sqlite3.Connection, tables: set[str]) -> dict[int, set[tuple[int, int]]]:
    found: dict[int, set[tuple[int, int]]] = {}
    for rig_id, *sensor in db.execute("SELECT rig_id, ref_sensor_type, ref_sensor_id FROM rigs"):
        found[rig_id] = {(sensor[0], sensor[1])}
    query = "SELECT rig_id, sensor_type, sensor_id FROM rig_sensors"
    for rig_id, *sensor in db.execute(query) if "rig_sensors" in tables else ():
        found.setdefault(rig_id, set()).add((sensor[0], sensor[1]))
    return found


def _keypoints(
    db: sqlite3.Connection,
    sizes: Mapping[int, tuple[int, int]],
    names: Mapping[int, tuple[str, int]],
    counts: dict[int, int],
) -> Iterator[str]:
    for image_id, rows, columns, blob in db.execute("SELECT image_id, rows, cols, data FROM keypoints"):
        if image_id not in names:
            continue
        name, camera_id = names[image_id]
        values = _values(blob, rows, columns, np.float32)
        if rows == 0 and not blob:
            counts[image_id] = 0
            continue
        if values is None or columns not in _KEYPOINT_COLUMNS:
            found = f"{rows} x {columns} values in {len(blob or b'')} bytes"
            yield f"the keypoints of {name!r} are damaged: {found}"
            continue
        counts[image_id] = rows
        size = np.array(sizes[camera_id])
        xy = values[:, :2] / size
        inside = np.isfinite(xy) & (xy > -_MAX_OUTSIDE) & (xy < 1 + _MAX_OUTSIDE)
        if not inside.all():
            row = int(np.flatnonzero(~inside.all(axis=1))[0])
            x, y = values[row, :2]
            yield f"keypoint {row} of {name!r} lies at ({x:g}, {y:g}) in a photo of {size[0]} x {size[1]} px"
        shapes = values[:, 2:]
        wrong = ~np.isfinite(shapes).all(axis=1)
        if columns == _SCALE_AND_ANGLE:
            wrong |= shapes[:, 0] < 0
        if wrong.any():
            row = int(np.argmax(wrong))
            yield f"keypoint {row} of {name!r} has the impossible shape {shapes[row].tolist()}"


def _descriptors(db: sqlite3.Connection, tables: set[str]) -> Iterator[str]:
    """A value takes a byte, or in types of later versions several."""
    query = (
        "SELECT image_id, rows, cols, length(data) FROM descriptors WHERE rows < 0 OR cols < 0 "
        "OR coalesce(length(data), 0) % max(rows * cols, 1) <> 0 "
        "OR (coalesce(length(data), 0) = 0) <> (rows * cols = 0) LIMIT 1"
    )
    for image_id, rows, cols, size in db.execute(query) if "descriptors" in tables else ():
        yield f"the descriptors of image {image_id} are damaged: {rows} x {cols} values in {size or 0} bytes"


def _pairs(
    db: sqlite3.Connection, names: Mapping[int, tuple[str, int]], counts: Mapping[int, int]
) -> Iterator[str]:
    if db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'matches'").fetchone():
        for pair_id, rows, cols, blob in db.execute("SELECT pair_id, rows, cols, data FROM matches"):
            yield from _matches(pair_id, rows, cols, blob, names, counts)
    columns = {row[1] for row in db.execute("PRAGMA table_info(two_view_geometries)")}
    extra = [column for column in (*_GEOMETRY_VALUES, *_CAMERA_COLUMNS) if column in columns]
    query = ", ".join(["pair_id", "rows", "cols", "data", "config", *extra])
    known = {int(c) for c in pycolmap.TwoViewGeometryConfiguration.__members__.values()}
    for pair_id, rows, cols, blob, config, *motion in db.execute(f"SELECT {query} FROM two_view_geometries"):
        yield from _matches(pair_id, rows, cols, blob, names, counts)
        pair = _pair_name(pair_id, names)
        if config not in known:
            yield f"{pair} has the unknown configuration {config}"
        else:
            yield from _motion(pair, dict(zip(extra, motion, strict=True)))


def _matches(
    pair_id: int,
    rows: int,
    cols: int,
    blob: bytes | None,
    names: Mapping[int, tuple[str, int]],
    counts: Mapping[int, int],
) -> Iterator[str]:
    ids = image_ids_of_pair(pair_id)
    if not (ids[0] < ids[1] and ids[0] in names and ids[1] in names):
        yield f"pair {pair_id} is of images {ids[0]} and {ids[1]}: not two of the database in order"
        return
    pair = _pair_name(pair_id, names)
    matches = _values(blob, rows, cols, np.uint32)
    if matches is None or (rows and cols != 2):
        yield f"the matches of {pair} are damaged: {rows} x {cols} values in {len(blob or b'')} bytes"
    elif rows and np.any(last := matches.max(axis=0) >= [counts.get(i, 0) for i in ids]):
        which = int(np.argmax(last))
        count, index = counts.get(ids[which], 0), matches[:, which].max()
        yield f"{pair} matches keypoint {index} of {names[ids[which]][0]!r}, which has {count} keypoints"


def _pair_name(pair_id: int, names: Mapping[int, tuple[str, int]]) -> str:
    a, b = (names[i][0] for i in image_ids_of_pair(pair_id))
    return f"the pair {a!r}, {b!r}"


def _motion(pair: str, blobs: Mapping[str, object]) -> Iterator[str]:
    for column, blob in blobs.items():
        if column in _CAMERA_COLUMNS:
            if blob is not None and not _is_camera(blob):
                yield f"{pair} has a damaged {column}"
            continue
        if blob is None or blob == b"":
            continue
        values = _values(blob, 1, _GEOMETRY_VALUES[column], np.float64)
        if values is None or not np.isfinite(values).all() or (column == "qvec" and not values.any()):
            yield f"{pair} has a damaged {column}: {_GEOMETRY_VALUES[column]} finite numbers belong there"
    if {"qvec", "tvec"} <= blobs.keys() and (blobs["qvec"] is None) != (blobs["tvec"] is None):
        yield f"{pair} has only one of qvec and tvec"


def _is_camera(blob: object) -> bool:
    """Whether a blob has the length that it announces: COLMAP reads on past its end."""
    if not isinstance(blob, bytes) or len(blob) < _STORED_CAMERA.size:
        return False
    _, model, width, height, _, num_params = _STORED_CAMERA.unpack_from(blob)
    if len(blob) != _STORED_CAMERA.size + 8 * num_params:
        return False
    return _camera_problem(model, width, height, blob[_STORED_CAMERA.size :]) is None


def _values(blob: object, rows: object, columns: object, dtype: Any) -> NDArray[Any] | None:
    """The matrix in a blob, (rows, columns); None where its size is another."""
    data = b"" if blob is None else blob
    if not (_is_count(rows) and _is_count(columns) and isinstance(data, bytes)):
        return None
    if len(data) != rows * columns * np.dtype(dtype).itemsize:
        return None
    return np.frombuffer(data, dtype).reshape(rows, columns)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and value >= 0
