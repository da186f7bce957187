"""Photos that turn out to have another focal length than the camera they were said to share get their own.

Without EXIF, photos of one size in one folder share a camera; a zoomed or cropped photo among them
contradicts it once the others stand. What was found is kept in the workspace, so that a later run starts from
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pycolmap

from sfm.colmap.database import FeatureDatabase
from sfm.files.atomic import atomic_write_json
from sfm.loop import LoopResult
from sfm.mapping import find_wrong_focal_lengths
from sfm.types import CameraSpec, Collection, Photo
from sfm.untrusted.documents import read_cache

if TYPE_CHECKING:
    from sfm.stages.session import PhotoSession

_FILE = "camera_splits.json"


def save_splits(cache_dir: Path, collection: Collection, focal_px: Mapping[str, float]) -> None:
    """Remember focal lengths (px) of photos by name, beside those remembered before."""
    content = {photo.name: photo.sha256 for photo in collection.photos}
    found = {name: {"sha256": content[name], "focal_px": focal} for name, focal in focal_px.items()}
    atomic_write_json(cache_dir / _FILE, {**_load(cache_dir), **found})


def with_splits(collection: Collection, cache_dir: Path) -> Collection:
    """The collection with a camera for each photo that is remembered and unchanged since.

    Only cameras whose focal length is a guess and that photos share are split; the camera id of a split photo
    follows the last one.
    """
    stored = _load(cache_dir)
    cameras, photos = dict(collection.cameras), []
    for photo in collection.photos:
        entry = stored.get(photo.name)
        if entry is None or entry["sha256"] != photo.sha256 or not _splittable(photo, collection):
            photos.append(photo)
            continue
        camera = _with_focal(cameras[photo.camera_id], float(entry["focal_px"]), max(cameras) + 1)
        cameras[camera.camera_id] = camera
        photos.append(replace(photo, camera_id=camera.camera_id))
    return replace(collection, photos=tuple(photos), cameras=cameras)


def with_own_cameras(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    loop: LoopResult,
    among: Set[str] | None = None,
) -> Collection:
    """The collection with cameras of their own for photos that contradict the focal length they share.

    The geometries of their pairs are then stale, and out of the database.

    Args:
        session: whose workspace remembers them.
        collection: of the run; one with rigs comes back as it is.
        database: with the features and pairs of the collection.
        loop: what registration made of it.
        among: photos that may get a camera; None: all.
    """
    config, space = session.config, session.workspace
    if config.images.camera_sharing != "auto" or config.register.mapper != "graph" or not loop.models:
        return collection
    if collection.rigs:
        return collection
    found = find_wrong_focal_lengths(
        database.path, loop.models, fixed_cameras=collection.fixed_cameras, seed=config.run.seed
    )
    foreign = [photo for photo in found if among is None or photo.name in among]
    if not foreign:
        return collection
    for photo in foreign:
        space.events.emit("register", "camera_split", **asdict(photo))
    save_splits(space.cache, collection, {photo.name: photo.focal_px for photo in foreign})
    better = with_splits(collection, space.cache)
    database.sync(better, session.backend.keys())
    return better


def _splittable(photo: Photo, collection: Collection) -> bool:
    camera = collection.cameras[photo.camera_id]
    shared = sum(other.camera_id == photo.camera_id for other in collection.photos) > 1
    return shared and not camera.fixed and not camera.has_prior_focal_length


def _with_focal(camera: CameraSpec, focal_px: float, camera_id: int) -> CameraSpec:
    """The camera with the focal length of its photo's points, from which registration is to start."""
    model = pycolmap.Camera.create_from_model_name(
        camera_id, camera.model, focal_px, camera.width, camera.height
    )
    num_focals = len(model.focal_length_idxs())
    params = (focal_px,) * num_focals + camera.params[num_focals:]
    return replace(camera, camera_id=camera_id, params=params, has_prior_focal_length=True)


def _load(cache_dir: Path) -> dict[str, dict[str, str | float]]:
    return read_cache(cache_dir / _FILE, {str: {"sha256": str, "focal_px": float}}) or {}
