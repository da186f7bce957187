"""Which data of `database.db` photos and options made stale: it is dropped when they change.

Beside COLMAP's tables stand small ones of ours, which COLMAP ignores. They hold the keys of the photos and
options behind the data.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pycolmap

from sfm.colmap.pair_ids import image_ids_of_pair
from sfm.types import CameraSpec, Collection, Photo

OUR_TABLES = """
CREATE TABLE IF NOT EXISTS loopsfm_images
    (image_id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, content TEXT NOT NULL, camera TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS loopsfm_keys (stage TEXT PRIMARY KEY, key TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS loopsfm_second_keypoints
    (image_id INTEGER PRIMARY KEY, first INTEGER NOT NULL, key TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS loopsfm_second_pairs (pair_id INTEGER PRIMARY KEY, key TEXT NOT NULL);
"""
_CAMERA_SENSOR = int(pycolmap.SensorType.CAMERA)


@dataclass(frozen=True, slots=True)
class StageKeys:
    """Keys of the options that features, matches and two-view geometries depend on."""

    features: str
    matches: str
    geometries: str


def synchronize(db: sqlite3.Connection, collection: Collection, keys: StageKeys) -> None:
    """Make a database hold exactly `collection`; what changed photos and options made stale is dropped.

    Image ids of photos that stay are kept.
    """
    _drop_stale_stages(db, keys)
    known = {row[1]: row for row in db.execute("SELECT * FROM loopsfm_images")}
    current = {photo.name: photo for photo in collection.photos}
    gone = [row[0] for name, row in known.items() if name not in current]
    kept = [(row, current[name]) for name, row in known.items() if name in current]
    changed = [row[0] for row, photo in kept if row[2] != photo_content(photo)]
    _drop_features(db, [*gone, *changed])
    _drop_images(db, gone)
    _write_cameras(db, collection.cameras.values())
    next_id = 1 + max((row[0] for row in known.values()), default=0)
    recalibrated = []
    for photo in collection.photos:
        row = known.get(photo.name)
        image_id, next_id = (row[0], next_id) if row else (next_id, next_id + 1)
        signature = _camera_signature(collection.cameras[photo.camera_id])
        if row and row[3] != signature:
            recalibrated.append(image_id)
        _write_image(db, image_id, photo, signature)
    _drop_pairs(db, set(recalibrated), ("two_view_geometries",))
    write_pose_priors(db, collection)


def _drop_stale_stages(db: sqlite3.Connection, keys: StageKeys) -> None:
    stored = dict(db.execute("SELECT stage, key FROM loopsfm_keys"))
    tables = {
        "features": (
            "keypoints",
            "descriptors",
            "matches",
            "two_view_geometries",
            "loopsfm_second_keypoints",
            "loopsfm_second_pairs",
        ),
        "matches": ("matches", "two_view_geometries", "loopsfm_second_pairs"),
        "geometries": ("two_view_geometries",),
    }
    for stage, dependants in tables.items():
        key = getattr(keys, stage)
        if stage in stored and stored[stage] != key:
            for table in dependants:
                db.execute(f"DELETE FROM {table}")
        db.execute("INSERT OR REPLACE INTO loopsfm_keys VALUES (?, ?)", (stage, key))


def _drop_features(db: sqlite3.Connection, image_ids: Iterable[int]) -> None:
    ids = [(i,) for i in image_ids]
    db.executemany("DELETE FROM keypoints WHERE image_id = ?", ids)
    db.executemany("DELETE FROM descriptors WHERE image_id = ?", ids)
    db.executemany("DELETE FROM loopsfm_second_keypoints WHERE image_id = ?", ids)
    _drop_pairs(db, {i for (i,) in ids}, ("matches", "two_view_geometries", "loopsfm_second_pairs"))


def _drop_pairs(db: sqlite3.Connection, image_ids: set[int], tables: Iterable[str]) -> None:
    if not image_ids:
        return
    for table in tables:
        pair_ids = [row[0] for row in db.execute(f"SELECT pair_id FROM {table}")]
        touched = [(p,) for p in pair_ids if image_ids.intersection(image_ids_of_pair(p))]
        db.executemany(f"DELETE FROM {table} WHERE pair_id = ?", touched)


def _drop_images(db: sqlite3.Connection, image_ids: Iterable[int]) -> None:
    ids = [(i,) for i in image_ids]
    db.executemany("DELETE FROM images WHERE image_id = ?", ids)
    db.executemany("DELETE FROM loopsfm_images WHERE image_id = ?", ids)


def _write_cameras(db: sqlite3.Connection, cameras: Iterable[CameraSpec]) -> None:
    """Replace all cameras; each gets a rig of its own, and images are given frames in `_write_image`."""
    for table in ("cameras", "rigs", "rig_sensors", "frames", "frame_data"):
        db.execute(f"DELETE FROM {table}")
    for camera in cameras:
        model_id = int(getattr(pycolmap.CameraModelId, camera.model))
        params = np.asarray(camera.params, np.float64).tobytes()
        row = (camera.camera_id, model_id, camera.width, camera.height, params, camera.has_prior_focal_length)
        db.execute("INSERT INTO cameras VALUES (?, ?, ?, ?, ?, ?)", row)
        db.execute("INSERT INTO rigs VALUES (?, ?, ?)", (camera.camera_id, camera.camera_id, _CAMERA_SENSOR))


def _write_image(db: sqlite3.Connection, image_id: int, photo: Photo, signature: str) -> None:
    db.execute("INSERT OR REPLACE INTO images VALUES (?, ?, ?)", (image_id, photo.name, photo.camera_id))
    db.execute("INSERT INTO frames VALUES (?, ?)", (image_id, photo.camera_id))
    db.execute(
        "INSERT INTO frame_data VALUES (?, ?, ?, ?)", (image_id, image_id, photo.camera_id, _CAMERA_SENSOR)
    )
    db.execute(
        "INSERT OR REPLACE INTO loopsfm_images VALUES (?, ?, ?, ?)",
        (image_id, photo.name, photo_content(photo), signature),
    )


def write_pose_priors(db: sqlite3.Connection, collection: Collection) -> None:
    """Positions as COLMAP's pose priors: latitude, longitude (deg), altitude (m) on WGS84, or Cartesian."""
    ids = dict(db.execute("SELECT name, image_id FROM images"))
    no_gravity = np.full(3, np.nan).tobytes()
    systems = pycolmap.PosePriorCoordinateSystem
    db.execute("DELETE FROM pose_priors")
    for photo in collection.photos:
        if photo.position is None:
            continue
        horizontal, vertical = photo.position.sigma_horizontal_m, photo.position.sigma_vertical_m
        row = (
            ids[photo.name],
            ids[photo.name],
            photo.camera_id,
            _CAMERA_SENSOR,
            np.array(photo.position.xyz).tobytes(),
            np.diag(np.square([horizontal, horizontal, vertical])).tobytes(),
            no_gravity,
            int(systems.WGS84 if photo.position.is_geodetic else systems.CARTESIAN),
        )
        db.execute("INSERT INTO pose_priors VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def photo_content(photo: Photo) -> str:
    """Identity of what a photo's features depend on: its own bytes and those of its mask."""
    if photo.mask is None:
        return photo.sha256
    return photo.sha256 + hashlib.sha256(photo.mask.read_bytes()).hexdigest()


def _camera_signature(camera: CameraSpec) -> str:
    parts = (camera.model, camera.width, camera.height, camera.params, camera.has_prior_focal_length)
    return json.dumps(parts)
