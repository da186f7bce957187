"""ETH3D high-resolution multi-view scenes, as eth3d.net ships them, undistorted or distorted.

    SCENE/images/dslr_images_undistorted/*.JPG    SCENE/dslr_calibration_undistorted/{cameras,images}.txt
    SCENE/images/dslr_images/*.JPG                SCENE/dslr_calibration_jpg/{cameras,images}.txt

Archives may be unpacked into one folder, or each into its own: the parts of a scene are looked for in all.

Names in images.txt are relative to `images/`. A scene may have several cameras; the distorted photos have
THIN_PRISM_FISHEYE ones. The second line of an image may be empty. `points3D.txt` is COLMAP's work and is not
read.
"""

import re
from pathlib import Path
from typing import Literal

from photo_sets.places import scene_folder, scene_folders
from photo_sets.scene import BenchmarkScene, need_photos, need_truth, photos_in
from sfm.colmap.model_cameras import read_cameras
from sfm.colmap.model_poses import Poses, read_camera_ids, read_poses
from sfm.errors import InputError
from sfm.evaluation import GroundTruth

POSITION_ACCURACY_M = 1e-3
"""As COLMAP's benchmark takes it."""
Variant = Literal["undistorted", "distorted"]
FOLDERS: dict[Variant, tuple[str, str]] = {
    "undistorted": ("dslr_images_undistorted", "dslr_calibration_undistorted"),
    "distorted": ("dslr_images", "dslr_calibration_jpg"),
}


def load_eth3d(
    root: Path, scene: str, *, dataset: str = "eth3d", variant: Variant = "undistorted"
) -> BenchmarkScene:
    """The scene below the dataset's folder.

    Raises:
        InputError: a file is missing or malformed, or photos and calibration do not fit; names it.
    """
    photos_below, calibration_below = FOLDERS[variant]
    folder = scene_folder(root, scene, f"images/{photos_below}", calibration_below)
    photos, calibration = folder / "images", folder / calibration_below
    for file in ("images.txt", "cameras.txt"):
        if not (calibration / file).is_file():
            raise InputError(f"{calibration / file} is missing", hint=f"unpack {calibration_below} there")
    poses = read_poses(calibration)
    need_announced_count(calibration / "images.txt", len(poses))
    names = photos_in(photos / photos_below, photos)
    need_photos(photos, poses, calibration / "images.txt")
    need_truth(names, poses, photos, calibration / "images.txt")
    truth = with_cameras(poses, calibration, unit="m", position_accuracy=POSITION_ACCURACY_M)
    return BenchmarkScene(
        dataset=dataset,
        scene=scene,
        photos=photos,
        names=names,
        truth=truth,
        kind="measured",
        origin="aligned with laser scans",
    )


def has_variant(root: Path, scene: str, variant: Variant) -> bool:
    """Whether photos or calibration of this variant are there."""
    photos, calibration = FOLDERS[variant]
    folders = scene_folders(root, scene)
    return any((path / name).is_dir() for path in folders for name in (f"images/{photos}", calibration))


def with_cameras(
    poses: Poses, model: Path, *, unit: str | None, position_accuracy: float | None = None
) -> GroundTruth:
    """Ground truth with the cameras of the COLMAP model that its poses are from.

    Raises:
        InputError: cameras are malformed, or a photo has one that is not there.
    """
    cameras, ids = read_cameras(model), read_camera_ids(model)
    for name in poses:
        if ids[name] not in cameras:
            raise InputError(f"{model}: the camera {ids[name]} of {name!r} is not among its cameras")
    by_name = {name: cameras[ids[name]] for name in poses}
    return GroundTruth(poses, None, unit, by_name, position_accuracy)


def need_announced_count(images: Path, found: int) -> None:
    """Refuse an images.txt whose head announces another number of images than it holds.

    Raises:
        InputError: names the file and both numbers.
    """
    head = images.read_text(encoding="utf-8", errors="surrogateescape")[:1000]
    announced = re.search(r"^#\s*Number of images:\s*(\d+)", head, re.MULTILINE)
    if announced and int(announced[1]) != found:
        raise InputError(
            f"{images} announces {announced[1]} images and holds {found}", hint="unpack it again"
        )
