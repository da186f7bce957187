"""Cameras whose lens nobody named or EXIF names wrongly, with the lens that the matches of a few pairs show.

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
from sfm.mapping import LENS_MODELS, LensFit, MatchedPoints, fit_lens, lens_camera
from sfm.stages.session import PhotoSession
from sfm.types import CameraSpec, Collection
from sfm.untrusted.documents import read_cache

_FILE = "lenses.json"
_SHAPE = {str: {"sha256": str, "option": str, "model": str, "focal_px": float, "k": float}}
_MIN_PAIRS, _NUM_PAIRS = 3, 10
_MIN_MATCHES = 60  # of a pair; fewer may be of photos that show nothing in common


def with_recognised_lenses(
    session: PhotoSession, collection: Collection, database: FeatureDatabase
) -> Collection:
    """The collection with the lenses for which the matches of a few pairs clearly speak.

    Fisheyes are looked for with EXIF, too, and ordinary lenses where it has no focal length or one that the
    pairs contradict. Where the user named a fisheye's model, only its focal length and first distortion are
    found.

    The geometries of their pairs are then stale, and out of the database.
    """
    config, space = session.config, session.workspace
    unknown = _unknown(collection, config.images)
    if not unknown:
        return collection
    records, lenses = database.pairs(), dict[str, LensFit]()
    for camera in unknown:
        names = {photo.name for photo in collection.photos if photo.camera_id == camera.camera_id}
        best, named = _best_pairs(records, names), _is_fisheye(camera)
        if len(best) < _MIN_PAIRS or (named and camera.has_prior_focal_length):
            continue
        found = fit_lens(
            _points(best, database),
            camera.width,
            camera.height,
            seed=config.run.seed,
            given_px=camera.params[0] if camera.has_prior_focal_length else None,
            is_fisheye=named,
        )
        if found is None:
            continue
        taken = found.decisive or named
        space.events.emit("match", "lens", camera_id=camera.camera_id, taken=taken, **asdict(found))
        if taken:
            lenses |= dict.fromkeys(names, found)
    if not lenses:
        return collection
    _save(space.cache, collection, lenses, config.images.camera_model)
    better = with_known_lenses(collection, space.cache, config.images)
    database.sync(better, session.backend.keys())
    return better


def with_known_lenses(collection: Collection, cache_dir: Path, config: ImagesConfig) -> Collection:
    """The collection with the remembered lenses of photos that are unchanged since."""
    stored = read_cache(cache_dir / _FILE, _SHAPE) or {}
    cameras, unknown = dict(collection.cameras), {c.camera_id for c in _unknown(collection, config)}
    for photo in collection.photos:
        lens = stored.get(photo.name, {})
        same = (lens.get("sha256"), lens.get("option")) == (photo.sha256, config.camera_model)
        if photo.camera_id in unknown and same and lens["model"] in LENS_MODELS:
            known = cameras[photo.camera_id]
            cameras[photo.camera_id] = _with_lens(known, lens["model"], lens["focal_px"], lens["k"])
    return replace(collection, cameras=cameras)


def _unknown(collection: Collection, config: ImagesConfig) -> list[CameraSpec]:
    """Cameras whose lens nobody named, and those of a fisheye named without its focal length."""
    first = config.first_camera_model
    named = config.camera_model != "auto" or any(s.model for rig in collection.rigs for s in rig.sensors)
    free = [
        camera
        for camera in collection.cameras.values()
        if camera.model == first and not camera.fixed
        # What pairs showed is known, and the photos of a split camera were taken with another one's lens.
        if not camera.from_pairs and camera.split_from is None
    ]
    return [camera for camera in free if _is_fisheye(camera) or not named]


def _is_fisheye(camera: CameraSpec) -> bool:
    return pycolmap.Camera.create_from_model_name(1, camera.model, 1.0, 1, 1).is_perspective_fisheye()


def _with_lens(camera: CameraSpec, model: str, focal_px: float, k: float) -> CameraSpec:
    named = camera.model if _is_fisheye(camera) else None
    found = lens_camera(camera.width, camera.height, focal_px, k, model=model, named=named)
    params = tuple(float(value) for value in found.params)
    return replace(
        camera, model=found.model_name, params=params, has_prior_focal_length=True, from_pairs=True
    )


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


def _save(cache_dir: Path, collection: Collection, lenses: Mapping[str, LensFit], option: str) -> None:
    content = {photo.name: photo.sha256 for photo in collection.photos}
    found = {
        name: {
            "sha256": content[name],
            "option": option,
            "model": lens.model,
            "focal_px": lens.focal_px,
            "k": lens.k,
        }
        for name, lens in lenses.items()
    }
    atomic_write_json(cache_dir / _FILE, {**(read_cache(cache_dir / _FILE, _SHAPE) or {}), **found})
