"""Spherical panoramas as the six faces of a cube: flat photos with the poses and points of the model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap
from PIL import Image
from scipy.ndimage import map_coordinates

from sfm.errors import InputError, WorkspaceError
from sfm.exports.source import Source
from sfm.exports.undistortion import check_photo, require_photos
from sfm.ingest.decode import decode, open_photo
from sfm.ingest.place import link_photo
from sfm.untrusted.names import path_below

Array = npt.NDArray[np.float64]

_JPEG_QUALITY = 97
_THREADS = 4


def _looking(forward: tuple[int, int, int], down: tuple[int, int, int]) -> Array:
    """Rotation from the frame of a panorama to that of a face, (3, 3)."""
    return np.array([np.cross(down, forward), down, forward], np.float64)


FACES: Mapping[str, Array] = {
    "front": _looking((0, 0, 1), (0, 1, 0)),
    "right": _looking((1, 0, 0), (0, 1, 0)),
    "back": _looking((0, 0, -1), (0, 1, 0)),
    "left": _looking((-1, 0, 0), (0, 1, 0)),
    "up": _looking((0, -1, 0), (0, 0, 1)),
    "down": _looking((0, 1, 0), (0, 0, -1)),
}
"""Rotations from the frame of a panorama (x right, y down, z to its middle column) to those of its faces."""


def has_panoramas(model: pycolmap.Reconstruction) -> bool:
    """Whether any registered image of a model shows the whole sphere."""
    used = {model.image(image_id).camera_id for image_id in model.reg_image_ids()}
    return any(model.camera(camera_id).is_spherical() for camera_id in used)


def with_cube_faces(source: Source, folder: Path) -> tuple[Source, Mapping[str, str]]:
    """The source with each panorama cut into six flat images of a PINHOLE camera, 90 degrees wide and high.

    A face has as many pixels for an angle in its middle as the panorama has at its horizon. An observation
    goes to the face that it lies in.

    Args:
        source: left as it is; without panoramas it is what comes back.
        folder: existing; gets the faces, as `PHOTO/front.jpg` and so on, and links to the flat photos.

    Returns:
        The source with the new images, and the photo behind each of them, by the names of the images.

    Raises:
        InputError: a photo is missing, unreadable or not of its camera's size.
        WorkspaceError: a face cannot be written.
    """
    model = source.model
    if not has_panoramas(model):
        return source, {}
    require_photos(model, source.images)
    flat, origin = pycolmap.Reconstruction(), dict[str, str]()
    for camera_id in sorted({model.image(i).camera_id for i in model.reg_image_ids()}):
        camera = pycolmap.Camera(model.camera(camera_id).todict())
        flat.add_camera_with_trivial_rig(_face_camera(camera) if camera.is_spherical() else camera)
    place: dict[tuple[int, int], tuple[int, int]] = {}
    panoramas: dict[str, pycolmap.Camera] = {}
    for image_id in sorted(model.reg_image_ids()):
        image, camera = model.image(image_id), model.camera(model.image(image_id).camera_id)
        check_photo(path_below(source.images, image.name), camera)
        if camera.is_spherical():
            panoramas[image.name] = camera
            views = _faces(image, camera, flat.camera(image.camera_id))
        else:
            file = Path(os.path.realpath(path_below(source.images, image.name)))
            link_photo(file, path_below(folder, image.name), owned=False)
            views = [_whole(image)]
        for view in views:
            number, origin[view.name] = len(origin) + 1, image.name
            added = pycolmap.Image(name=view.name, camera_id=image.camera_id, image_id=number)
            added.points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in view.xy])
            flat.add_image_with_trivial_frame(added, view.cam_from_world)
            place |= {(image_id, old): (number, new) for new, old in enumerate(view.observed)}
    _add_points(flat, model, place)

    def cut(name: str) -> None:
        camera = panoramas[name]
        _write_faces(
            path_below(source.images, name), camera, flat.camera(camera.camera_id), path_below(folder, name)
        )

    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        list(pool.map(cut, panoramas))
    return replace(source, model=flat, photo_folder=folder), origin


@dataclass(frozen=True, slots=True)
class _View:
    """A flat image to be, and which observations of the photo it gets."""

    name: str
    cam_from_world: pycolmap.Rigid3d
    observed: list[int]
    """Indices of the photo's `points2D`."""
    xy: Sequence[Array]
    """Where they are in the view, px, (2,) each."""


def _face_camera(camera: pycolmap.Camera) -> pycolmap.Camera:
    size = 2 * round(camera.width / (2 * np.pi))
    return pycolmap.Camera(
        camera_id=camera.camera_id,
        model="PINHOLE",
        width=size,
        height=size,
        params=[size / 2, size / 2, size / 2, size / 2],
    )


def _whole(image: pycolmap.Image) -> _View:
    observed = _observed(image)
    return _View(
        image.name, image.cam_from_world(), observed, [image.points2D[index].xy for index in observed]
    )


def _faces(image: pycolmap.Image, camera: pycolmap.Camera, face: pycolmap.Camera) -> list[_View]:
    observed = np.array(_observed(image), np.int64)
    xy = np.array([image.points2D[index].xy for index in observed.tolist()]).reshape(-1, 2)
    rays = np.asarray(camera.cam_ray_from_img(xy), np.float64).reshape(-1, 3)
    nearest = np.argmax(rays @ np.array([rotation[2] for rotation in FACES.values()]).T, axis=1)
    views = []
    for number, (face_name, rotation) in enumerate(FACES.items()):
        own = nearest == number
        where = np.asarray(face.img_from_cam(rays[own] @ rotation.T), np.float64).reshape(-1, 2)
        turn = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), np.zeros(3))
        name, pose = f"{image.name}/{face_name}.jpg", turn * image.cam_from_world()
        views.append(_View(name, pose, observed[own].tolist(), list(where)))
    return views


def _observed(image: pycolmap.Image) -> list[int]:
    return [index for index, point in enumerate(image.points2D) if point.has_point3D()]


def _add_points(
    flat: pycolmap.Reconstruction,
    model: pycolmap.Reconstruction,
    place: Mapping[tuple[int, int], tuple[int, int]],
) -> None:
    for point_id, point in model.points3D.items():
        track = pycolmap.Track()
        for element in point.track.elements:
            track.add_element(*place[element.image_id, element.point2D_idx])
        moved = pycolmap.Point3D(xyz=point.xyz, track=track, color=point.color, error=point.error)
        flat.add_point3D_with_id(point_id, moved)


def _write_faces(photo: Path, camera: pycolmap.Camera, face: pycolmap.Camera, target: Path) -> None:
    pixels = _pixels(photo)
    target.mkdir(parents=True)
    column, row = np.meshgrid(np.arange(face.width) + 0.5, np.arange(face.height) + 0.5)
    flat_rays = np.asarray(face.cam_ray_from_img(np.column_stack((column.ravel(), row.ravel()))))
    for face_name, rotation in FACES.items():
        seen = np.asarray(camera.img_from_cam(flat_rays @ rotation), np.float64) - 0.5
        where = seen[:, 1], seen[:, 0] + 1  # the last column stands before the first one, too
        planes = [map_coordinates(plane, where, order=1, mode="nearest") for plane in pixels]
        picture = np.stack(planes, axis=-1).reshape(face.height, face.width, 3)
        try:
            Image.fromarray(picture).save(target / f"{face_name}.jpg", quality=_JPEG_QUALITY, subsampling=0)
        except OSError as error:
            raise WorkspaceError(
                f"cannot write {target}: {error.strerror or error}", hint="is the disk full?"
            ) from error


def _pixels(path: Path) -> npt.NDArray[np.uint8]:
    """(3, height, width + 2): the columns go on across the seam."""
    try:
        with open_photo(path) as image:
            decode(image)
            stored = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read any more ({error})") from error
    return np.concatenate((stored[:, :, -1:], stored, stored[:, :, :1]), axis=2)
