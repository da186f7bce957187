"""Tables, columns and types of a COLMAP database: SQLite itself holds any value in any column."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

_BLOB = ("blob", "null")
_MATRIX = {"rows": ("integer",), "cols": ("integer",), "data": _BLOB}
_MAX_ID = 2**31 - 2  # COLMAP's ids of images end there
_SENSOR = ("sensor_id", "sensor_type")

_REQUIRED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cameras": {
        **{name: ("integer",) for name in ("camera_id", "model", "width", "height")},
        "params": _BLOB,
        "prior_focal_length": ("integer",),
    },
    "images": {"image_id": ("integer",), "name": ("text",), "camera_id": ("integer",)},
    "keypoints": {"image_id": ("integer",), **_MATRIX},
    "two_view_geometries": {"pair_id": ("integer",), **_MATRIX, "config": ("integer",)},
}
_OPTIONAL: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "descriptors": {"image_id": ("integer",), **_MATRIX},
    "matches": {"pair_id": ("integer",), **_MATRIX},
    "rigs": {name: ("integer",) for name in ("rig_id", "ref_sensor_id", "ref_sensor_type")},
    "rig_sensors": {**{name: ("integer",) for name in ("rig_id", *_SENSOR)}, "sensor_from_rig": _BLOB},
    "frames": {name: ("integer",) for name in ("frame_id", "rig_id")},
    "frame_data": {name: ("integer",) for name in ("frame_id", "data_id", *_SENSOR)},
    "pose_priors": {"position": _BLOB, "position_covariance": _BLOB, "coordinate_system": ("integer",)},
}
"""Tables that older versions of COLMAP, or other programs, leave out."""
_LATER: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "two_view_geometries": {name: _BLOB for name in ("F", "E", "H", "qvec", "tvec", "camera1", "camera2")},
    "descriptors": {"type": ("integer",)},
    "pose_priors": {"corr_data_id": ("integer",), "gravity": _BLOB},
}
"""Columns that older versions of COLMAP leave out."""
_KEYS = {
    "cameras": ("camera_id",),
    "images": ("image_id",),
    "keypoints": ("image_id",),
    "descriptors": ("image_id",),
    "matches": ("pair_id",),
    "two_view_geometries": ("pair_id",),
    "rigs": ("rig_id",),
    "rig_sensors": ("sensor_type", "sensor_id"),
    "frames": ("frame_id",),
    "frame_data": ("sensor_type", "data_id"),
}
"""What no two rows of a table may have in common."""
_BYTES = {"position": 24, "gravity": 24, "position_covariance": 72, "sensor_from_rig": 56}


def schema_problems(db: sqlite3.Connection) -> Iterator[str]:
    """What is missing or of another type than COLMAP reads, where; nothing large is read."""
    for table, wanted in (*_REQUIRED.items(), *_OPTIONAL.items()):
        columns = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        if not columns:
            if table in _REQUIRED:
                yield f"not a COLMAP database: it has no table {table}"
            continue
        missing = sorted(wanted.keys() - columns)
        if missing:
            yield f"not a COLMAP database: its table {table} has no column {missing[0]}"
            continue
        later = {name: kinds for name, kinds in _LATER.get(table, {}).items() if name in columns}
        yield from _type_problems(db, table, {**wanted, **later})
        yield from _key_problems(db, table)


def _type_problems(
    db: sqlite3.Connection, table: str, kinds_of: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    for column, kinds in kinds_of.items():
        listed = ", ".join(f"'{kind}'" for kind in kinds)
        wrong = f"typeof({column}) NOT IN ({listed})"
        if column in _BYTES:
            wrong += f" OR length({column}) NOT IN (0, {_BYTES[column]})"
        elif kinds == ("integer",) and column.endswith("_id") and column != "pair_id":
            wrong += f" OR {column} NOT BETWEEN 0 AND {_MAX_ID}"
        query = f"SELECT rowid, typeof({column}), length({column}) FROM {table} WHERE {wrong} LIMIT 1"
        for row, kind, length in db.execute(query):
            expected = f"{_BYTES[column]} bytes" if column in _BYTES else _words(kinds, column)
            yield f"row {row} of table {table}: {column} is {kind} of length {length}, expected {expected}"


def _key_problems(db: sqlite3.Connection, table: str) -> Iterator[str]:
    key = ", ".join(_KEYS.get(table, ()))
    if key:
        query = f"SELECT {key} FROM {table} GROUP BY {key} HAVING count(*) > 1 LIMIT 1"
        for values in db.execute(query):
            yield f"table {table} has two rows of the same {key}: {', '.join(map(str, values))}"


def _words(kinds: tuple[str, ...], column: str) -> str:
    if kinds != ("integer",):
        return kinds[0]
    return f"a whole number from 0 to {_MAX_ID}" if column.endswith("_id") else "a whole number"
