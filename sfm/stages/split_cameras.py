"""Photos that turn out to have another focal length or principal point than their camera get other cameras.

Photos of one size in one folder share a camera where EXIF has one focal length for them, or none. Zoomed
photos, which may have kept their EXIF, and those of another lens contradict it once there are models. Photos
that were cropped contradict a centred principal point, and those that were stretched square pixels. What was
found is kept in the workspace, so that a later run starts from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pycolmap

from sfm.colmap.database import FeatureDatabase
from sfm.files.atomic import atomic_write_json
from sfm.loop import Models
from sfm.mapping import WrongCamera, find_wrong_cameras, is_firm, known_part, stretched, with_focal_length
from sfm.types import CameraSpec, Collection, Photo
from sfm.untrusted.documents import read_cache

if TYPE_CHECKING:
    from sfm.stages.session import PhotoSession

_FILE = "camera_splits.json"
_FEW = 0.05
"""Largest share of a model's photos with other cameras where these have not bent it."""
Entry = Mapping[str, Any]
"""Of a photo: `sha256` of its content, and its `focal_px`; of a crop its `principal_point`, too, and of one
that was stretched the `aspect` of its pixels, fy / fx."""
_SHAPE = {
    str: {"sha256": str, "focal_px": float, "principal_point?": {"x": float, "y": float}, "aspect?": float}
}


def with_splits(collection: Collection, cache_dir: Path) -> Collection:
    """The collection with other cameras for photos that are remembered and unchanged since."""
    return _split(collection, _load(cache_dir))


def remembered_splits(session: PhotoSession) -> Mapping[str, Entry]:
    """Photos with cameras of their own, by name, as the workspace remembers them."""
    return _load(session.workspace.cache)


def remember_splits(session: PhotoSession, splits: Mapping[str, Entry]) -> None:
    """Replace what the workspace remembers."""
    atomic_write_json(session.workspace.cache / _FILE, dict(splits))


@dataclass(frozen=True, slots=True)
class OtherCameras:
    """Cameras for photos that contradict the intrinsics of theirs."""

    collection: Collection
    """With these cameras."""
    photos: tuple[WrongCamera, ...]
    entries: Mapping[str, Entry]
    """All that the workspace is to remember, by photo."""


def other_cameras(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    models: Models,
    among: Set[str] | None = None,
) -> OtherCameras | None:
    """Other cameras for photos that contradict the intrinsics of theirs; None: none do. Nothing is changed.

    Args:
        session: whose workspace remembers earlier ones.
        collection: of the run; none is found in one with rigs.
        database: with the features and pairs of the collection.
        models: what registration made of it.
        among: photos that may change their camera; None: all.
    """
    config = session.config
    if config.images.camera_sharing != "auto" or config.register.mapper != "graph" or not models:
        return None
    if collection.rigs:
        return None
    found = find_wrong_cameras(
        database.path,
        models,
        _free(collection),
        cropped=collection.cropped_cameras,
        seed=config.run.seed,
    )
    foreign = tuple(photo for photo in found if among is None or photo.name in among)
    # Of other models, images that were split off before are not asked again.
    firm = (model for model in models if is_firm(model))
    registered = {model.image(i).name for model in firm for i in model.reg_image_ids()}
    asked = registered if among is None else registered & among
    content = {photo.name: photo.sha256 for photo in collection.photos}
    # Square pixels are not asked about again: where all is explained by others, nothing speaks for these.
    before = remembered_splits(session)
    entries = {name: entry for name, entry in before.items() if name not in asked or "aspect" in entry}
    entries |= {photo.name: _entry(photo, content[photo.name], before) for photo in foreign}
    if among is None:
        better = _split(_together(collection), entries)
    else:  # a model that is extended keeps its cameras
        better = _split(collection, {name: entries[name] for name in entries.keys() & among})
    if _sharing(better) == _sharing(collection):
        return None
    return OtherCameras(better, foreign, entries)


def take_cameras(session: PhotoSession, database: FeatureDatabase, found: OtherCameras) -> Collection:
    """The collection with other cameras. Geometries of pairs that are stale then leave the database."""
    for photo in found.photos:
        session.workspace.events.emit("register", "camera_split", **asdict(photo))
    remember_splits(session, found.entries)
    database.sync(found.collection, session.backend.keys())
    return found.collection


def continuable(models: Models, before: Collection, better: Collection) -> Models:
    """The models without the photos whose camera changed, but for models where these are more than a few."""
    camera_of = {photo.name: better.cameras[photo.camera_id] for photo in better.photos}
    changed = {p.name for p in before.photos if before.cameras[p.camera_id] != camera_of[p.name]}
    kept = []
    for model in models:
        same = {i for i in model.reg_image_ids() if model.image(i).name not in changed}
        if len(same) > 1 and len(same) >= (1 - _FEW) * model.num_reg_images():
            kept.append(known_part(model, same))
    return kept


def _entry(photo: WrongCamera, sha256: str, before: Mapping[str, Entry]) -> Entry:
    """What is remembered of a photo; the aspect of its pixels stays as it was `before`."""
    entry: dict[str, Any] = {"sha256": sha256, "focal_px": photo.focal_px}
    if photo.principal_point:
        x, y = photo.principal_point
        entry["principal_point"] = {"x": x, "y": y}
    known = before.get(photo.name, {})
    if photo.aspect != 1:
        entry["aspect"] = photo.aspect
    elif "aspect" in known and known["sha256"] == sha256:
        entry["aspect"] = known["aspect"]
    return entry


def _split(collection: Collection, entries: Mapping[str, Entry]) -> Collection:
    """The collection with other cameras for some photos, by name, if they are unchanged.

    Crops get other cameras, other photos only from cameras that they share; none where the user gave these.
    Photos of one camera with equal intrinsics share the new one; its id follows the last.
    """
    cameras, photos = dict(collection.cameras), []
    new: dict[tuple[float, ...], int] = {}
    for photo in collection.photos:
        entry = entries.get(photo.name)
        if entry is None or entry["sha256"] != photo.sha256 or not _splittable(photo, entry, collection):
            photos.append(photo)
            continue
        place = entry.get("principal_point", {}).values()
        key = (photo.camera_id, entry["focal_px"], entry.get("aspect", 1.0), *place)
        if key not in new:
            new[key] = max(cameras) + 1
            cameras[new[key]] = _with_intrinsics(cameras[photo.camera_id], entry, new[key])
        photos.append(replace(photo, camera_id=new[key]))
    return replace(collection, photos=tuple(photos), cameras=cameras)


def _free(collection: Collection) -> dict[int, int]:
    """Cameras whose intrinsics the user did not give, each with the one that it was split from, or itself."""
    cameras = collection.cameras.values()
    first = {c.camera_id: c.camera_id for c in cameras if not c.fixed and c.split_from is None}
    return first | {c.camera_id: c.split_from for c in cameras if c.split_from is not None}


def _together(collection: Collection) -> Collection:
    """The collection before any camera was split."""
    first = {c.camera_id: c.split_from or c.camera_id for c in collection.cameras.values()}
    return replace(
        collection,
        photos=tuple(replace(photo, camera_id=first[photo.camera_id]) for photo in collection.photos),
        cameras={i: camera for i, camera in collection.cameras.items() if camera.split_from is None},
    )


def _sharing(collection: Collection) -> set[tuple[str, bool, frozenset[str]]]:
    """Photos that share cameras, each time with what these are known to be."""
    names: dict[int, set[str]] = {}
    for photo in collection.photos:
        names.setdefault(photo.camera_id, set()).add(photo.name)
    cameras = collection.cameras
    return {(cameras[i].model, cameras[i].cropped, frozenset(some)) for i, some in names.items()}


def _splittable(photo: Photo, entry: Entry, collection: Collection) -> bool:
    if collection.cameras[photo.camera_id].fixed:
        return False
    shared = sum(other.camera_id == photo.camera_id for other in collection.photos) > 1
    return shared or "principal_point" in entry or "aspect" in entry


def _camera(spec: CameraSpec) -> pycolmap.Camera:
    return pycolmap.Camera(
        camera_id=spec.camera_id, model=spec.model, width=spec.width, height=spec.height, params=spec.params
    )


def _with_intrinsics(spec: CameraSpec, entry: Entry, camera_id: int) -> CameraSpec:
    """The camera with the intrinsics of its photo's points, from which registration is to start.

    Those of crops are rough: they come from a model that crops had bent.
    """
    camera = with_focal_length(_camera(spec), entry["focal_px"])
    if "principal_point" in entry:
        camera.principal_point_x, camera.principal_point_y = (entry["principal_point"][i] for i in "xy")
    camera = stretched(camera, entry.get("aspect", 1.0))
    return replace(
        spec,
        camera_id=camera_id,
        model=camera.model_name,
        params=tuple(float(value) for value in camera.params),
        has_prior_focal_length="principal_point" not in entry,
        split_from=spec.camera_id,
        cropped="principal_point" in entry,
    )


def _load(cache_dir: Path) -> dict[str, Entry]:
    return read_cache(cache_dir / _FILE, _SHAPE) or {}
