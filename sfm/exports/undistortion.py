"""Photos and a model without lens distortion, principal point in the middle."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from sfm.colmap.model_files import read_whole_model
from sfm.errors import InputError, WorkspaceError
from sfm.exports.models import check_whole, write_model
from sfm.exports.names import listed
from sfm.ingest.decode import UnusablePhotoError, decode, open_photo, stored_size
from sfm.ingest.discover import PHOTO_SUFFIXES
from sfm.ingest.place import link_photo
from sfm.untrusted.names import path_below

_JPEG_QUALITY = 97
_UNSEEN_DISTORTION = 1e-7  # of a fisheye: moves no pixel by a thousandth


@dataclass(frozen=True, slots=True)
class Window:
    """The part of an undistorted image that is kept, px."""

    left: int
    top: int
    width: int
    height: int


def undistort(
    model: pycolmap.Reconstruction,
    image_root: Path,
    names: Mapping[str, str],
    destination: Path,
    threads: int | None = None,
) -> pycolmap.Reconstruction:
    """Undistort all registered images into `destination`.

    COLMAP reads and writes wherever image names lead, through links too. So it works on links of ours, under
    names of ours, in a folder that is gone afterwards.

    Trainers take the image centre for the principal point. So undistorted images are cut to be symmetric
    about it, to within half a pixel. Images whose camera has no distortion keep their bytes unless they are
    cut or change format.

    Args:
        model: distorted cameras; left as it is.
        names: new file name by image name, for every registered image.
        destination: existing folder for the images.
        threads: to use; None takes all cores.

    Returns:
        The model of the undistorted images: registered images only, PINHOLE cameras, names from `names`.

    Raises:
        InputError: a photo is missing, unreadable or not of its camera's size, or its name cannot be a path.
        WorkspaceError: an image cannot be written.
    """
    photos = _checked_photos(model, image_root)
    numbered = _renumbered(model, photos)
    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        given, made = Path(scratch) / "given", Path(scratch) / "made"
        _link_photos(numbered, photos, given)
        pycolmap.undistort_images(
            made, given / "sparse", given / "images", jpeg_quality=_JPEG_QUALITY, num_threads=threads or -1
        )
        check_whole(numbered, made / "sparse")
        result = read_whole_model(made / "sparse")
        windows = {camera_id: _centred(camera) for camera_id, camera in result.cameras.items()}
        targets = {i: destination / names[model.image(i).name] for i in photos}
        _place_images(result, windows, made / "images", targets)
    for image in result.images.values():
        _move_points(image, windows[image.camera_id])
        image.name = targets[image.image_id].name
    for camera_id, window in windows.items():
        _cut_camera(result.camera(camera_id), window)
    return result


def require_photos(model: pycolmap.Reconstruction, image_root: Path) -> None:
    """Raise InputError unless there is a file for every registered image; names those without."""
    names = sorted(str(model.image(image_id).name) for image_id in model.reg_image_ids())
    gone = [name for name in names if not path_below(image_root, name).exists()]
    if not gone:
        return
    what = "the photo is gone" if len(gone) == 1 else f"{len(gone)} photos of the model are gone"
    raise InputError(
        f"{listed(gone)}: {what}, and this format needs all of them",
        hint="put them back where they were; or run `sfm run` again for a model without them; "
        "--to txt and --to ply need no photos",
    )


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
            f"{path}: is {size[0]} x {size[1]} px, in the model {camera.width} x {camera.height}",
            hint="the photo has changed since the run; run `sfm run` again",
        )


def _checked_photos(model: pycolmap.Reconstruction, image_root: Path) -> dict[int, Path]:
    """The file of each registered image: COLMAP passes over those that it cannot read; an export must not."""
    require_photos(model, image_root)
    files = {}
    for image_id in sorted(model.reg_image_ids()):
        image = model.image(image_id)
        files[image_id] = path_below(image_root, image.name)
        check_photo(files[image_id], model.camera(image.camera_id))
    return files


def _link_photos(numbered: pycolmap.Reconstruction, photos: Mapping[int, Path], folder: Path) -> None:
    write_model(numbered, folder / "sparse", text=False)
    for image_id, path in photos.items():
        link_photo(Path(os.path.realpath(path)), folder / "images" / _numbered(image_id, path), owned=False)


def _renumbered(model: pycolmap.Reconstruction, photos: Mapping[int, Path]) -> pycolmap.Reconstruction:
    copied = copy.deepcopy(model)
    for image_id, path in photos.items():
        copied.image(image_id).name = _numbered(image_id, path)
        _gather_unseen(copied, copied.image(image_id))
    for camera in copied.cameras.values():
        if camera.is_perspective_fisheye() and camera.is_undistorted():
            _bend(camera)
    return copied


def _gather_unseen(model: pycolmap.Reconstruction, image: pycolmap.Image) -> None:
    """Move keypoints that no ray reaches, as where a lens folds, to the middle; none of them sees a point."""
    camera, points = model.camera(image.camera_id), image.points2D
    rays = np.asarray(camera.cam_from_img(np.array([point.xy for point in points]).reshape(-1, 2)))
    for index in np.flatnonzero(~np.isfinite(rays).all(axis=1)).tolist():
        if points[index].has_point3D():
            model.delete_observation(image.image_id, index)
        image.points2D[index].xy = np.array([camera.principal_point_x, camera.principal_point_y])


def _bend(camera: pycolmap.Camera) -> None:
    """Make COLMAP see that a fisheye without further distortion is not flat yet; it passes over these."""
    fx, fy = camera.focal_length_x, camera.focal_length_y
    centre = camera.principal_point_x, camera.principal_point_y
    camera.model = pycolmap.CameraModelId.OPENCV_FISHEYE
    camera.params = [fx, fy, *centre, _UNSEEN_DISTORTION, 0.0, 0.0, 0.0]


def _numbered(image_id: int, path: Path) -> str:
    suffix = path.suffix.lower()
    return f"{image_id}{suffix if suffix in PHOTO_SUFFIXES else '.png'}"


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
    model: pycolmap.Reconstruction, windows: Mapping[int, Window], source: Path, targets: Mapping[int, Path]
) -> None:
    def place(image: pycolmap.Image) -> None:
        made, target = path_below(source, image.name), targets[image.image_id]
        if not made.is_file() or made.is_symlink():
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
    """Cut it; it becomes PINHOLE, since COLMAP leaves a camera without distortion as it is."""
    fx, fy = camera.focal_length_x, camera.focal_length_y
    cx, cy = camera.principal_point_x, camera.principal_point_y
    camera.width, camera.height = window.width, window.height
    camera.model = pycolmap.CameraModelId.PINHOLE
    camera.params = [fx, fy, cx - window.left, cy - window.top]
