"""Strecha et al. (CVPR 2008): six outdoor scenes, as openMVG/SfM_quality_evaluation ships them.

    SCENE/images/0000.jpg, …                  SCENE/gt_dense_cameras/0000.jpg.camera, …

A .camera file has nine rows: K (3), distortion `0 0 0`, R (3), the centre C, and `WIDTH HEIGHT`. R is
world_from_cam: its columns are the camera's axes in the world, so cam_from_world is (R^T, -R^T C).
"""

from pathlib import Path

import numpy as np
import pycolmap

from photo_sets.places import scene_folder
from photo_sets.scene import BenchmarkScene, need_photos, need_truth, photos_in
from photo_sets.texts import lines_of, matrix, numbers, pose
from sfm.colmap.model_cameras import checked_camera
from sfm.errors import InputError
from sfm.evaluation import GroundTruth

_ROWS = 9


def load_strecha(root: Path, scene: str) -> BenchmarkScene:
    """The scene below the dataset's folder.

    Raises:
        InputError: a file is missing or malformed, or photos and cameras do not fit; names it.
    """
    folder = scene_folder(root, scene, "gt_dense_cameras")
    photos, cameras_folder = folder / "images", folder / "gt_dense_cameras"
    files = sorted(cameras_folder.glob("*.camera"))
    if not files:
        raise InputError(f"{cameras_folder} holds no .camera files", hint="unpack the ground truth there")
    poses, cameras = {}, {}
    for file in files:
        poses[file.stem], cameras[file.stem] = read_camera_file(file)
    names = photos_in(photos)
    need_photos(photos, poses, cameras_folder)
    need_truth(names, poses, photos, cameras_folder)
    return BenchmarkScene(
        dataset="strecha",
        scene=scene,
        photos=photos,
        names=names,
        truth=GroundTruth(poses, None, "m", cameras),
        kind="measured",
        origin="aligned with laser scans",
    )


def read_camera_file(file: Path) -> tuple[pycolmap.Rigid3d, pycolmap.Camera]:
    """cam_from_world and intrinsics.

    Raises:
        InputError: the file is missing, has other rows, or its numbers are no camera; names the line.
    """
    lines = lines_of(file)
    if len(lines) != _ROWS:
        raise InputError(f"{file} has {len(lines)} rows, not the {_ROWS} of a .camera file")
    k = matrix(lines[:3], 3, "K")
    if np.any(numbers(lines[3], 3, "distortion 0 0 0") != 0):
        raise InputError(f"{lines[3].where}: photos with distortion are not those of this dataset")
    if k[0, 1] != 0 or np.any(k[1:, 0] != 0) or np.any(k[2] != (0, 0, 1)):
        raise InputError(f"{lines[0].where}: K is not of the form fx 0 cx, 0 fy cy, 0 0 1")
    world_from_cam = pose(matrix(lines[4:7], 3, "R"), numbers(lines[7], 3, "a centre"), lines[4].where)
    width, height = (int(n) for n in numbers(lines[8], 2, "WIDTH HEIGHT"))
    params = [k[0, 0], k[1, 1], k[0, 2], k[1, 2]]
    return world_from_cam.inverse(), checked_camera("PINHOLE", width, height, params, str(file))
