"""Which intrinsics queries may have."""

from __future__ import annotations

from dataclasses import replace

import pycolmap

from sfm.ingest.photo_intrinsics import PhotoIntrinsics
from sfm.reference.model import GivenModel
from sfm.types import CameraSpec, Collection, Photo

from .query_pose import Intrinsics


def camera_choices(
    photo: Photo, collection: Collection, given: GivenModel, known: PhotoIntrinsics | None
) -> list[Intrinsics]:
    """Intrinsics that a query may have, likeliest first.

    Raises:
        InputError: those that are known are of another size.
    """
    if known is not None and (found := known.find(photo.source)) is not None:
        known.check([photo])
        spec = CameraSpec(photo.camera_id, found.model, *found.size, found.params, True, fixed=True)
        return [Intrinsics(_camera(spec), "given")]
    spec = collection.cameras[photo.camera_id]
    theirs = [
        model.camera(camera_id)
        for model in given.models
        for camera_id in sorted({model.image(i).camera_id for i in model.reg_image_ids()})
    ]
    own = _camera(spec)
    same = next((camera for camera in theirs if camera.camera_id == spec.camera_id), None)
    if spec.fixed:
        return [Intrinsics(own, "given")]
    if same is not None and photo.exif.focal_px is not None:
        return [Intrinsics(same, "model")]
    if photo.exif.focal_px is not None:
        return [Intrinsics(own, "exif")]
    return [*([Intrinsics(same, "model")] if same is not None else []), Intrinsics(own, "estimated")]


def _camera(spec: CameraSpec) -> pycolmap.Camera:
    camera = pycolmap.Camera.create_from_model_name(spec.camera_id, spec.model, 1.0, spec.width, spec.height)
    camera.params = list(spec.params)
    return camera


def with_cameras_of_their_own(collection: Collection, new: frozenset[str]) -> Collection:
    """Queries must not depend on each other, so none shares a camera."""
    cameras, photos = dict(collection.cameras), []
    for photo in collection.photos:
        if photo.name in new:
            camera_id = 1 + max(cameras)
            cameras[camera_id] = replace(collection.cameras[photo.camera_id], camera_id=camera_id)
            photo = replace(photo, camera_id=camera_id)
        photos.append(photo)
    return replace(collection, photos=tuple(photos), cameras=cameras)
