"""Photos and a model without lens distortion, principal point in the middle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from sfm.errors import InputError, WorkspaceError
from sfm.exports.models import check_whole, write_model
from sfm.ingest.decode import UnusablePhotoError, decode, open_photo, stored_size

_JPEG_QUALITY = 97


@dataclass(frozen=True, slots=True)
class Window:
    """The part of an undistorted image that is kept, px."""

    left: int
    top: int
    width: int
    height: int


def undistort(
    model: pycolmap.Reconstruction, image_root: Path, names: Mapping[str, str], destination: Path
) -> pycolmap.Reconstruction:
    """Undistort all registered images into `destination`.

    Trainers take the principal point to be the image centre, so where it is not, the undistorted image is cut
    to be symmetric about it (to within half a pixel). Images whose camera has no distortion keep their bytes
    unless they are cut or change format.

    Args:
        model: distorted cameras; left as it is.
        image_root: folder that the model's image names refer to.
        names: new file name by image name, for every registered image.
        destination: existing folder for the images.

    Returns:
        The model of the undistorted images: registered images only, PINHOLE cameras, names from `names`.

    Raises:
        InputError: a photo is missing, unreadable or not of its camera's size.
        WorkspaceError: an image cannot be written.
    """
    _check_photos(model, image_root)
    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        given, made = Path(scratch) / "given", Path(scratch) / "made"
        write_model(model, given, text=False)
        pycolmap.undistort_images(made, given, image_root, jpeg_quality=_JPEG_QUALITY)
        check_whole(model, made / "sparse")
        result = pycolmap.Reconstruction(made / "sparse")
        windows = {camera_id: _centred(camera) for camera_id, camera in result.cameras.items()}
        _place_images(result, windows, made / "images", names, destination)
    for image in result.images.values():
        _move_points(image, windows[image.camera_id])
        image.name = names[image.name]
    for camera_id, window in windows.items():
        _cut_camera(result.camera(camera_id), window)
    return result


def check_photo(path: Path, camera: pycolmap.Camera) -> None:
    """Raise InputError unless the photo is there and has its camera's size."""
    try:
        with open_photo(path) as photo:
            size = stored_size(photo)
    except FileNotFoundError:
        raise InputError(f"{path}: the photo is gone", hint="put it back, or run `sfm run` again") from None
    except (OSError, UnusablePhotoError) as error:
        raise InputError(f"{path}: cannot be read any more ({error})") from error
    if size != (camera.width, camera.height):
        raise InputError(
            f"{path}: is {size[0]} x {size[1]} px, the model says {camera.width} x {camera.height}",
            hint="the photo has changed since the run; run `sfm run` again",
        )


def _check_photos(model: pycolmap.Reconstruction, image_root: Path) -> None:
    # COLMAP passes over photos that it cannot read; an export must not.
    for image_id in sorted(model.reg_image_ids()):
        image = model.image(image_id)
        check_photo(image_root / image.name, model.camera(image.camera_id))


def _centred(camera: pycolmap.Camera) -> Window:
    left, width = _symmetric(camera.principal_point_x, camera.width)
    top, height = _symmetric(camera.principal_point_y, camera.height)
    return Window(left, top, width, height)


def _symmetric(centre: float, size: int) -> tuple[int, int]:
    """First pixel and length of the longest window whose middle is within half a pixel of `centre`."""
    surplus = 2 * centre - size  # positive: the far side is the shorter one
    cut = int(abs(surplus))
    if cut >= size:
        return 0, size  # a principal point outside the image: no window is symmetric about it
    return (cut if surplus > 0 else 0), size - cut


def _place_images(
    model: pycolmap.Reconstruction,
    windows: Mapping[int, Window],
    source: Path,
    names: Mapping[str, str],
    destination: Path,
) -> None:
    def place(image: pycolmap.Image) -> None:
        made, target = source / image.name, destination / names[image.name]
        if not made.is_file():
            raise WorkspaceError(f"cannot write {target}", hint="is the disk full?")
        camera, window = model.camera(image.camera_id), windows[image.camera_id]
        if (window.width, window.height) == (camera.width, camera.height) and _same_format(made, target):
            made.replace(target)
        else:
            _write_window(made, window, target)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(place, list(model.images.values())))


def _same_format(made: Path, target: Path) -> bool:
    jpeg = {".jpg", ".jpeg"}
    a, b = made.suffix.lower(), target.suffix.lower()
    return a == b or {a, b} <= jpeg


def _write_window(made: Path, window: Window, target: Path) -> None:
    box = (window.left, window.top, window.left + window.width, window.top + window.height)
    with open_photo(made) as image:
        decode(image)
        image.crop(box).save(target, quality=_JPEG_QUALITY, subsampling=0)


def _move_points(image: pycolmap.Image, window: Window) -> None:
    if window.left or window.top:
        for point in image.points2D:
            point.xy = point.xy - (window.left, window.top)


def _cut_camera(camera: pycolmap.Camera, window: Window) -> None:
    fx, fy, cx, cy = camera.params
    camera.width, camera.height = window.width, window.height
    camera.params = [fx, fy, cx - window.left, cy - window.top]
