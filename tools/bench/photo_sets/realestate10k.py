"""Clips of RealEstate10K: camera files as Google ships them, and frames that their user cut from the videos.

    SPLIT/CLIP.txt                                 the video's address, then a line a frame
    SPLIT/CLIP/TIMESTAMP.jpg (or .png)             or frames/SPLIT/CLIP/TIMESTAMP.jpg

A line: TIMESTAMP fx fy cx cy 0 0, then cam_from_world in 12 numbers, three rows of [R | t]; intrinsics are in
widths and heights of the frame. Poses are those of ORB-SLAM2 and a bundle adjustment, of arbitrary scale.
"""

from pathlib import Path

import pycolmap
from PIL import Image

from photo_sets.scene import BenchmarkScene, photos_in
from photo_sets.texts import Array, lines_of, numbers, pose
from sfm.colmap.model_cameras import checked_camera
from sfm.errors import InputError
from sfm.evaluation import GroundTruth

_COLUMNS = 19


def realestate10k_clips(root: Path) -> list[str]:
    """`SPLIT/CLIP` of all camera files whose frames are there."""
    files = (path for path in sorted(root.glob("*/*.txt")) if path.parent.name != "frames")
    clips = [path.relative_to(root).with_suffix("").as_posix() for path in files]
    return [clip for clip in clips if any(folder.is_dir() for folder in _frame_folders(root, clip))]


def load_realestate10k(root: Path, scene: str) -> BenchmarkScene:
    """All frames of one clip that are on disk; `scene` is `SPLIT/CLIP`.

    Raises:
        InputError: a file is missing or malformed, or a frame is not in the camera file; names it.
    """
    file = root / f"{scene}.txt"
    rows = {line.text.split()[0]: line for line in lines_of(file)[1:]}
    candidates = _frame_folders(root, scene)
    photos = next((folder for folder in candidates if folder.is_dir()), candidates[0])
    poses, cameras = {}, {}
    for name in photos_in(photos):
        line = rows.get(Path(name).stem)
        if line is None:
            raise InputError(f"{photos / name}: {file} has no frame of this timestamp")
        values = numbers(line, _COLUMNS, f"{_COLUMNS} numbers of a frame")
        poses[name] = pose(*_rotation_and_translation(values), line.where)
        cameras[name] = _camera(photos / name, values, line.where)
    return BenchmarkScene(
        dataset="realestate10k",
        scene=scene,
        photos=photos,
        names=tuple(poses),
        truth=GroundTruth(poses, None, None, cameras),
        kind="pseudo",
        origin="ORB-SLAM2 and bundle adjustment",
    )


def _frame_folders(root: Path, scene: str) -> tuple[Path, Path]:
    return (root / "frames" / scene, root / scene)


def _rotation_and_translation(values: Array) -> tuple[Array, Array]:
    cam_from_world = values[7:].reshape(3, 4)
    return cam_from_world[:, :3], cam_from_world[:, 3]


def _camera(photo: Path, values: Array, where: str) -> pycolmap.Camera:
    try:
        with Image.open(photo) as picture:
            width, height = picture.size
    except OSError as error:
        raise InputError(f"{photo} is not a readable photo: {error}") from error
    fx, fy, cx, cy = values[1:5]
    return checked_camera("PINHOLE", width, height, [fx * width, fy * height, cx * width, cy * height], where)
