"""Cameras whose lens nobody named and that turn out to be fisheyes.

What was found is kept in the workspace, so that a later run starts from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pycolmap

from retrieval import Pair
from sfm.colmap.database import FeatureDatabase, PairRecord
from sfm.config.schema import ImagesConfig
from sfm.files.atomic import atomic_write_json
from sfm.mapping import Fisheye, MatchedPoints, fisheye_camera, fit_fisheye
from sfm.stages.session import PhotoSession
from sfm.types import CameraSpec, Collection
from sfm.untrusted.documents import read_cache

_FILE = "fisheyes.json"
_SHAPE = {str: {"sha256": str, "option": str, "focal_px": float, "k": float}}
_MIN_PAIRS, _NUM_PAIRS = 3, 10
_MIN_MATCHES = 60  # of a pair; fewer may be of photos that show nothing in common


def with_recognised_fisheyes(
    session: PhotoSession, collection: Collection, database: FeatureDatabase
) -> Collection:
    """The collection with fisheye cameras where the matches of a few pairs clearly speak for these.

    Where the user named a fisheye's model, only its focal length and first distortion are found.

    The geometries of their pairs are then stale, and out of the database.
    """
    config, space = session.config, session.workspace
    unknown = _unknown(collection, config.images)
    if not unknown:
        return collection
    records, lenses = database.pairs(), dict[str, Fisheye]()
    for camera in unknown:
        names = {photo.name for photo in collection.photos if photo.camera_id == camera.camera_id}
        best = _best_pairs(records, names)
        named = _is_fisheye(camera)
        if len(best) < _MIN_PAIRS or (named and camera.has_prior_focal_length):
            continue
        found = fit_fisheye(_points(best, database), camera.width, camera.height, seed=config.run.seed)
        if found is None:
            continue
        taken = found.decisive or named
        space.events.emit("match", "fisheye", camera_id=camera.camera_id, taken=taken, **asdict(found))
        if taken:
            lenses |= dict.fromkeys(names, found)
    if not lenses:
        return collection
    _save(space.cache, collection, lenses, config.images.camera_model)
    better = with_known_fisheyes(collection, space.cache, config.images)
    database.sync(better, session.backend.keys())
    return better


def with_known_fisheyes(collection: Collection, cache_dir: Path, config: ImagesConfig) -> Collection:
    """The collection with the cameras of photos that are remembered as a fisheye's and unchanged since."""
    stored = read_cache(cache_dir / _FILE, _SHAPE) or {}
    cameras, unknown = dict(collection.cameras), {c.camera_id for c in _unknown(collection, config)}
    for photo in collection.photos:
        lens = stored.get(photo.name, {})
        same = (lens.get("sha256"), lens.get("option")) == (photo.sha256, config.camera_model)
        if photo.camera_id in unknown and same:
            cameras[photo.camera_id] = _fisheye(cameras[photo.camera_id], lens["focal_px"], lens["k"])
    return replace(collection, cameras=cameras)


def _unknown(collection: Collection, config: ImagesConfig) -> list[CameraSpec]:
    """Cameras whose lens nobody named, and those of a fisheye named without its focal length."""
    first = config.first_camera_model
    named = config.camera_model != "auto" or any(s.model for rig in collection.rigs for s in rig.sensors)
    free = [camera for camera in collection.cameras.values() if not camera.fixed and camera.model == first]
    return [camera for camera in free if _is_fisheye(camera) or not named]


def _is_fisheye(camera: CameraSpec) -> bool:
    return pycolmap.Camera.create_from_model_name(1, camera.model, 1.0, 1, 1).is_perspective_fisheye()


def _fisheye(camera: CameraSpec, focal_px: float, k: float) -> CameraSpec:
    found = fisheye_camera(
        camera.width, camera.height, focal_px, k, camera.model if _is_fisheye(camera) else None
    )
    params = tuple(float(value) for value in found.params)
    return replace(camera, model=found.model_name, params=params, has_prior_focal_length=True)


def _best_pairs(records: Mapping[Pair, PairRecord], names: set[str]) -> list[Pair]:
    inside = [p for p, r in records.items() if {p.a, p.b} <= names and r.num_matches >= _MIN_MATCHES]
    return sorted(inside, key=lambda pair: (-records[pair].num_matches, pair))[:_NUM_PAIRS]


def _points(pairs: list[Pair], database: FeatureDatabase) -> list[MatchedPoints]:
    ids, points = database.image_ids(), []
    with pycolmap.Database.open(database.path) as db:
        for a, b in ((ids[pair.a], ids[pair.b]) for pair in pairs):
            in_a, in_b = db.read_matches(a, b).T
            xy_a, xy_b = (np.asarray(db.read_keypoints(i), np.float64)[:, :2] for i in (a, b))
            points.append(MatchedPoints(xy_a[in_a], xy_b[in_b]))
    return points


def _save(cache_dir: Path, collection: Collection, lenses: Mapping[str, Fisheye], option: str) -> None:
    content = {photo.name: photo.sha256 for photo in collection.photos}
    found = {
        name: {"sha256": content[name], "option": option, "focal_px": lens.focal_px, "k": lens.k}
        for name, lens in lenses.items()
    }
    atomic_write_json(cache_dir / _FILE, {**(read_cache(cache_dir / _FILE, _SHAPE) or {}), **found})
