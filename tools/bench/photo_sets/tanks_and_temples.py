"""Tanks and Temples, as tanksandtemples.org ships it.

    SCENE/000001.jpg, 000002.jpg, …            (or below SCENE/images/)
    SCENE_COLMAP_SfM.log (or SCENE.log)        poses; beside the photos or beside SCENE/
    SCENE_trans.txt                            training scenes: to the scan in metres

The log has five lines a photo: `INDEX INDEX 0` with the index from 0, then a 4x4 world_from_cam matrix by
rows (camera z forward, y down); INDEX k is photo k + 1, and every photo has its block. These poses are
COLMAP's: where COLMAP runs on all photos of a scene, it is compared with itself.
"""

from pathlib import Path

import numpy as np
import pycolmap

from photo_sets.places import scene_folder
from photo_sets.scene import BenchmarkScene, need_photos, need_truth, photos_in
from photo_sets.texts import lines_of, matrix, numbers, pose, similarity
from sfm.errors import InputError
from sfm.evaluation import GroundTruth

_BLOCK = 5


def load_tanks_and_temples(root: Path, scene: str) -> BenchmarkScene:
    """The scene below the dataset's folder.

    Raises:
        InputError: a file is missing or malformed, or the log and the photos do not fit; names it.
    """
    folder = scene_folder(root, scene)
    photos = folder / "images" if (folder / "images").is_dir() else folder
    names = photos_in(photos)
    log = _beside(folder, f"{scene}_COLMAP_SfM.log") or _beside(folder, f"{scene}.log")
    if log is None:
        raise InputError(
            f"{folder / f'{scene}_COLMAP_SfM.log'} is missing",
            hint="download the camera poses of the scene, too",
        )
    suffix = Path(names[0]).suffix
    poses = {f"{index + 1:06d}{suffix}": found for index, found in read_log(log).items()}
    need_photos(photos, poses, log)
    need_truth(names, poses, photos, log)
    to_scan = _beside(folder, f"{scene}_trans.txt")
    metres = float(similarity(to_scan).scale) if to_scan else None
    return BenchmarkScene(
        dataset="tanks_and_temples",
        scene=scene,
        photos=photos,
        names=names,
        truth=GroundTruth(poses, None, None, metres_per_unit=metres),
        kind="pseudo",
        origin="COLMAP on all photos",
    )


def read_log(file: Path) -> dict[int, pycolmap.Rigid3d]:
    """cam_from_world by index of the photo, from 0, sorted.

    Raises:
        InputError: the file is missing, a block is short, or numbers are no pose; names the line.
    """
    lines = lines_of(file)
    if not lines or len(lines) % _BLOCK:
        rest = len(lines) % _BLOCK
        what = f"is truncated: its last pose has {rest} of {_BLOCK} lines" if rest else "is empty"
        raise InputError(f"{file} {what}", hint="download it again")
    poses: dict[int, pycolmap.Rigid3d] = {}
    for start in range(0, len(lines), _BLOCK):
        head = lines[start]
        index = numbers(head, 3, "INDEX INDEX 0")[0]
        if index < 0 or index != int(index) or int(index) in poses:
            raise InputError(f"{head.where}: {head.text.strip()!r} is no index of a further photo")
        found = matrix(lines[start + 1 : start + _BLOCK], 4, "a 4x4 matrix")
        if np.any(found[3] != (0, 0, 0, 1)):
            raise InputError(f"{lines[start + 4].where}: the last row of a pose is 0 0 0 1")
        poses[int(index)] = pose(found[:3, :3], found[:3, 3], head.where).inverse()
    return dict(sorted(poses.items()))


def _beside(folder: Path, name: str) -> Path | None:
    """A file in the scene's folder or in the one above."""
    return next((path for path in (folder / name, folder.parent / name) if path.is_file()), None)
