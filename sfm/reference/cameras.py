"""Cameras of photos that are added to a model: those of the model where they are the same, else new ones."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace

from sfm.errors import InputError
from sfm.types import CameraSpec, Collection, Photo


def with_model_cameras(collection: Collection, model: Mapping[str, CameraSpec]) -> Collection:
    """The collection with the model's cameras, ids included, for its own photos.

    Photos share cameras by EXIF, else by folder and size (`images.camera_sharing`). A new photo takes the
    camera that most photos of the model in its group have. Other new photos keep the
    cameras that they share among themselves, under ids that follow the model's.

    `model` has the camera of each photo of the model, by name.

    Raises:
        InputError: a photo of the model has another size than its camera.
    """
    cameras = {spec.camera_id: spec for spec in model.values()}
    shared = _camera_of_group(collection, model)
    next_id, ids = 1 + max(cameras, default=0), dict[int, int]()
    photos = []
    for photo in collection.photos:
        group = collection.cameras[photo.camera_id]
        if photo.name in model:
            spec = _checked(photo, model[photo.name])
            cameras[spec.camera_id] = replace(spec, fixed=cameras[spec.camera_id].fixed or group.fixed)
            photos.append(replace(photo, camera_id=spec.camera_id))
        elif photo.camera_id in shared:
            photos.append(replace(photo, camera_id=shared[photo.camera_id]))
        else:
            if photo.camera_id not in ids:
                ids[photo.camera_id] = next_id + len(ids)
            new_id = ids[photo.camera_id]
            cameras[new_id] = replace(group, camera_id=new_id)
            photos.append(replace(photo, camera_id=new_id))
    used = {photo.camera_id for photo in photos}
    return replace(
        collection, photos=tuple(photos), cameras={i: cameras[i] for i in sorted(cameras) if i in used}
    )


def _camera_of_group(collection: Collection, model: Mapping[str, CameraSpec]) -> dict[int, int]:
    """The model's camera that most of its photos in a group have, by the group's id in the collection."""
    votes: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for photo in collection.photos:
        if photo.name in model:
            votes[photo.camera_id][model[photo.name].camera_id] += 1
    best = {group: counts.most_common(1)[0] for group, counts in votes.items()}
    return {group: camera for group, (camera, count) in best.items() if 2 * count > votes[group].total()}


def _checked(photo: Photo, spec: CameraSpec) -> CameraSpec:
    if (photo.width, photo.height) != (spec.width, spec.height):
        raise InputError(
            f"{photo.source} is {photo.width} x {photo.height} px, and its camera in the model "
            f"{spec.width} x {spec.height}",
            hint="give the photos that the model was made from, at their size: --images FOLDER",
        )
    return spec
