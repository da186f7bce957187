"""Small datasets in the exact layouts of the real ones: poses of our rendered demo, tiny photos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image

from sfm.evaluation import load_ground_truth

WIDTH, HEIGHT = 64, 48
DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"
Poses = dict[str, pycolmap.Rigid3d]


@dataclass(frozen=True)
class Made:
    """What was written: the folder of datasets, and the truth that a loader must find in it."""

    root: Path
    folder: Path
    scene: str
    poses: Poses
    """By the names that the loader gives."""


@cache
def demo_poses() -> tuple[pycolmap.Rigid3d, ...]:
    return tuple(load_ground_truth(DEMO / "gt.json").poses.values())


def poses_for(names: Sequence[str]) -> Poses:
    """The demo's poses in turn; from the second round on turned a little, so that no two are equal."""
    demo = demo_poses()
    found = {}
    for i, name in enumerate(names):
        turn = pycolmap.Rotation3d(np.array([0.01, 0.02, -0.01]) * (i // len(demo)))
        pose = demo[i % len(demo)]
        found[name] = pycolmap.Rigid3d(turn * pose.rotation, pose.translation)
    return found


def write_photos(folder: Path, names: Sequence[str], size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    for i, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, ((37 * i) % 256, (11 * i) % 256, 128)).save(file)


def numbers(values) -> str:
    return " ".join(repr(float(value)) for value in np.asarray(values).ravel())


def colmap_text(folder: Path, poses: Mapping[str, pycolmap.Rigid3d], cameras: Sequence[str]) -> None:
    """cameras.txt (lines without id) and images.txt; every other image has no keypoints: an empty line."""
    folder.mkdir(parents=True, exist_ok=True)
    head = "# Camera list with one line of data per camera:\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
    lines = [f"{i} {camera}\n" for i, camera in enumerate(cameras)]
    (folder / "cameras.txt").write_text(f"{head}# Number of cameras: {len(lines)}\n{''.join(lines)}")
    text = "# Image list with two lines of data per image:\n"
    text += (
        "#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n#   POINTS2D[] as (X, Y, POINT3D_ID)\n"
    )
    text += f"# Number of images: {len(poses)}, mean observations per image: 0.5\n"
    for i, (name, pose) in enumerate(poses.items()):
        x, y, z, w = pose.rotation.quat
        text += f"{i + 1} {numbers([w, x, y, z])} {numbers(pose.translation)} {i % len(cameras)} {name}\n"
        text += "10.5 20.5 -1\n" if i % 2 else "\n"
    (folder / "images.txt").write_text(text)
    (folder / "points3D.txt").write_text("# 3D point list\n")


def eth3d(root: Path, scene: str = "pipes", count: int = 14, *, distorted: bool = False) -> Made:
    photos = "dslr_images" if distorted else "dslr_images_undistorted"
    calibration = "dslr_calibration_jpg" if distorted else "dslr_calibration_undistorted"
    names = [f"{photos}/DSC_{634 + i:04d}.JPG" for i in range(count)]
    folder = root / "eth3d" / scene
    poses = poses_for(names)
    write_photos(folder / "images", names)
    if distorted:
        cameras = [f"THIN_PRISM_FISHEYE {WIDTH} {HEIGHT} 40 41 32 24 {' '.join(['0.001'] * 8)}"]
    else:
        cameras = [f"PINHOLE {WIDTH} {HEIGHT} {f} 41 32 24" for f in (40.5, 50.25)]
    colmap_text(folder / calibration, poses, cameras)
    return Made(root, folder, scene, poses)


def tanks_and_temples(root: Path, scene: str = "Horse", count: int = 151) -> Made:
    names = [f"{i + 1:06d}.jpg" for i in range(count)]
    folder = root / "tanks_and_temples" / scene
    poses = poses_for(names)
    write_photos(folder, names, (8, 6))
    text = ""
    for i, pose in enumerate(poses.values()):
        world_from_cam = np.vstack([pose.inverse().matrix(), [0, 0, 0, 1]])
        text += f"{i} {i} 0\n" + "".join(numbers(row) + "\n" for row in world_from_cam)
    (folder.parent / f"{scene}_COLMAP_SfM.log").write_text(text)
    rotation = pycolmap.Rotation3d(np.array([0.3, -0.2, 0.5])).matrix()
    matrix = np.vstack([np.column_stack([2.5 * rotation, [1, 2, 3]]), [0, 0, 0, 1]])
    (folder.parent / f"{scene}_trans.txt").write_text("".join(numbers(row) + "\n" for row in matrix))
    return Made(root, folder, scene, poses)


def strecha(root: Path, scene: str = "Herz-Jesus-P8", count: int = 8) -> Made:
    names = [f"{i:04d}.jpg" for i in range(count)]
    folder = root / "strecha" / scene
    poses = poses_for(names)
    write_photos(folder / "images", names)
    (folder / "images" / "K.txt").write_text("2759.48 0 1520.69\n0 2764.16 1006.81\n0 0 1\n")
    (folder / "gt_dense_cameras").mkdir()
    for name, pose in poses.items():
        world_from_cam = pose.inverse()
        rows = [[57.5, 0, 31.5], [0, 57.6, 20.75], [0, 0, 1], [0, 0, 0], *world_from_cam.rotation.matrix()]
        lines = [*map(numbers, rows), numbers(world_from_cam.translation), f"{WIDTH} {HEIGHT}"]
        (folder / "gt_dense_cameras" / f"{name}.camera").write_text("\n".join(lines) + "\n")
    return Made(root, folder, scene, poses)


def colmap_binary(root: Path, dataset: str = "mipnerf360", scene: str = "mine") -> Made:
    """A binary model of COLMAP's own, of six of eight photos."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 6, 1, 1
    options.num_points3D = 20
    pycolmap.set_random_seed(5)
    model = pycolmap.synthesize_dataset(options)
    poses = {}
    for i, image_id in enumerate(sorted(model.reg_image_ids())):
        image = model.image(image_id)
        image.name = f"_DSC{8600 + i}.JPG"
        poses[image.name] = image.cam_from_world()
    folder = root / dataset / scene
    (folder / "sparse" / "0").mkdir(parents=True)
    model.write_binary(folder / "sparse" / "0")
    write_photos(folder / "images", [*poses, "_DSC8606.JPG", "_DSC8607.JPG"])
    return Made(root, folder, scene, poses)
