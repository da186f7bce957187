"""Exports for Nerfstudio, read back by hand and by Nerfstudio itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from sfm.exports.exporting import export

CAMERAS = {
    "SIMPLE_RADIAL": (400.0, 160.0, 120.0, 0.05),
    "OPENCV": (400.0, 405.0, 153.4, 127.2, 0.05, -0.02, 0.001, -0.002),
    "OPENCV_FISHEYE": (300.0, 300.0, 165.0, 118.0, 0.02, -0.01, 0.0, 0.0),
    "FISHEYE": (300.0, 305.0, 165.0, 118.0),
    "FULL_OPENCV": (400.0, 405.0, 160.0, 120.0, 0.05, -0.02, 0.001, -0.002, 0.01, 0.0, 0.0, 0.0),
}
CAMERA_MODEL = {"OPENCV_FISHEYE": "OPENCV_FISHEYE", "FISHEYE": "OPENCV_FISHEYE"}


@pytest.mark.parametrize("camera_model", CAMERAS)
def test_points_project_where_the_frames_say(tmp_path, make_scene, camera_model):
    make_scene(tmp_path, camera_model=camera_model, params=CAMERAS[camera_model])

    folder = export(tmp_path, to="nerfstudio")

    scene = json.loads((folder / "transforms.json").read_text())
    assert scene["camera_model"] == CAMERA_MODEL.get(camera_model, "OPENCV")
    points = _points(folder / scene["ply_file_path"])
    pixels = _project(scene["frames"][0], scene["camera_model"], points)
    with Image.open(folder / scene["frames"][0]["file_path"]) as photo:
        assert photo.size == (scene["frames"][0]["w"], scene["frames"][0]["h"])
    if camera_model != "FULL_OPENCV":  # undistorted: pixels moved
        expected = _observed(pycolmap.Reconstruction(tmp_path / "sparse" / "0"), scene["frames"][0])
        distance = np.linalg.norm(pixels[:, None] - expected[None], axis=-1).min(axis=0)
        assert distance.max() < 0.05  # points are stored as float32


def test_photos_that_need_no_change_are_the_users_bytes(tmp_path, make_scene):
    model = make_scene(tmp_path)

    folder = export(tmp_path, to="nerfstudio")

    name = model.image(1).name
    assert (folder / "images" / name).read_bytes() == (tmp_path / "images" / name).read_bytes()


def test_applied_transform_gives_the_models_world_back(tmp_path, make_scene):
    model = make_scene(tmp_path)

    scene = json.loads((export(tmp_path, to="nerfstudio") / "transforms.json").read_text())

    turned_from_world = np.vstack((scene["applied_transform"], [0, 0, 0, 1]))
    frame = scene["frames"][0]
    centre = np.linalg.inv(turned_from_world) @ np.array(frame["transform_matrix"])[:, 3]
    expected = model.image(frame["colmap_im_id"]).projection_center()
    np.testing.assert_allclose(centre[:3], expected, atol=1e-12)


@pytest.mark.parametrize("frame", ["enu", "upright", "positions"])
def test_a_model_with_z_up_is_not_turned(tmp_path, make_scene, frame):
    model = make_scene(tmp_path)
    (tmp_path / "sparse" / "0" / "georeference.json").write_text(json.dumps({"frame": frame}))

    folder = export(tmp_path, to="nerfstudio")

    scene = json.loads((folder / "transforms.json").read_text())
    assert scene["applied_transform"] == np.eye(4)[:3].tolist()
    for entry in scene["frames"]:
        image = model.image(entry["colmap_im_id"])
        world_from_cam = np.array(entry["transform_matrix"])
        np.testing.assert_allclose(world_from_cam[:3, 3], image.projection_center(), atol=1e-12)
        np.testing.assert_allclose(-world_from_cam[:3, 2], image.viewing_direction(), atol=1e-12)
    expected = np.array([point.xyz for point in model.points3D.values()])
    found = _points(folder / scene["ply_file_path"])
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-5)


@pytest.mark.parametrize("upright", [True, False])
def test_without_a_georeference_the_photos_say_whether_z_is_up(tmp_path, make_scene, upright):
    """Level photos all around; their up is +z, or, as COLMAP's worlds mostly have it, -y."""
    make_scene(tmp_path, num_images=12)
    model = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    for number, frame in enumerate(model.frames.values()):
        angle = 2 * np.pi * number / 12
        forward, down = np.array([np.cos(angle), np.sin(angle), 0]), np.array([0, 0, -1.0])
        cam_from_world = np.array([np.cross(down, forward), down, forward])
        if not upright:
            cam_from_world = cam_from_world @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
        frame.rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(cam_from_world), np.zeros(3))
    model.write(tmp_path / "sparse" / "0")

    scene = json.loads((export(tmp_path, to="nerfstudio") / "transforms.json").read_text())

    ups = np.array([np.array(entry["transform_matrix"])[:3, 1] for entry in scene["frames"]])
    np.testing.assert_allclose(ups, np.tile([0, 0, 1.0], (12, 1)), atol=1e-9)


def test_intrinsics_stand_with_the_frames_and_once_for_all_where_they_are_the_same(tmp_path, make_scene):
    make_scene(tmp_path, camera_model="OPENCV_FISHEYE", params=CAMERAS["OPENCV_FISHEYE"])
    scene = json.loads((export(tmp_path, to="nerfstudio") / "transforms.json").read_text())

    keys = {"w", "h", "fl_x", "fl_y", "cx", "cy", "k1", "k2", "k3", "k4", "is_fisheye", "camera_model"}
    assert {key: scene[key] for key in keys} == {key: scene["frames"][0][key] for key in keys}
    assert scene["fl_x"] == 300.0
    assert scene["is_fisheye"] is True


def test_intrinsics_that_differ_stand_with_the_frames_alone(tmp_path, make_scene):
    make_scene(tmp_path)
    model = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    mixed = pycolmap.Reconstruction()
    for number, image_id in enumerate(sorted(model.reg_image_ids()), start=1):
        image = model.image(image_id)
        camera = pycolmap.Camera(model.camera(image.camera_id).todict())
        camera.camera_id = number
        camera.params = [400.0 + number, 160.0, 120.0, 0.05]
        mixed.add_camera_with_trivial_rig(camera)
        copy = pycolmap.Image(image.name, np.zeros((0, 2)), number, number)
        mixed.add_image_with_trivial_frame(copy, image.cam_from_world())
    for file in (tmp_path / "sparse" / "0").iterdir():
        file.unlink()
    mixed.write(tmp_path / "sparse" / "0")

    scene = json.loads((export(tmp_path, to="nerfstudio") / "transforms.json").read_text())

    assert not scene.keys() & {"w", "h", "fl_x", "fl_y", "cx", "cy", "k1", "k2", "p1", "p2"}
    assert sorted(frame["fl_x"] for frame in scene["frames"]) == [401.0, 402.0, 403.0, 404.0]
    assert {frame["camera_model"] for frame in scene["frames"]} == {"OPENCV"}


def _points(path):
    _, body = path.read_bytes().split(b"end_header\n", 1)
    return np.frombuffer(body, np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]))["xyz"].astype(float)


def _project(frame, camera_model, points):
    """Project world points with nerfstudio's conventions: OpenGL axes, OpenCV distortion."""
    cam_from_world = np.linalg.inv(np.array(frame["transform_matrix"]))
    x, y, z = (cam_from_world @ np.column_stack((points, np.ones(len(points)))).T)[:3]
    u, v = x / -z, -y / -z
    if camera_model == "OPENCV_FISHEYE":
        r = np.hypot(u, v)
        t = np.arctan(r)
        scale = t / r * (1 + sum(frame[f"k{i}"] * t ** (2 * i) for i in (1, 2, 3, 4)))
        u, v = u * scale, v * scale
    else:
        r2, p1, p2 = u * u + v * v, frame["p1"], frame["p2"]
        radial = 1 + frame["k1"] * r2 + frame["k2"] * r2 * r2
        u, v = (
            u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u),
            v * radial + p1 * (r2 + 2 * v * v) + 2 * p2 * u * v,
        )
    return np.column_stack((frame["fl_x"] * u + frame["cx"], frame["fl_y"] * v + frame["cy"]))


def _observed(model, frame):
    image = model.image(frame["colmap_im_id"])
    return np.array([point.xy for point in image.get_observation_points2D()])


READER = Path(__file__).parent / "nerfstudio_reader.py"
# What its dataparsers import; the full dependencies bring Open3D, pymeshlab and a Jupyter server.
NEEDS = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "matplotlib",
    "rich",
    "tyro",
    "jaxtyping",
    "wadler_lindig",
    "typeguard",
    "docstring-parser",
    "shtab",
    "torchmetrics",
    "requests",
    "viser",
    "msgspec",
    "websockets",
    "zstandard",
    "tensorboard",
    "protobuf",
    "appdirs",
    "imageio",
    "rawpy",
    "opencv-python-headless",
)


@pytest.fixture(scope="module")
def nerfstudio_python(tmp_path_factory) -> Path:
    if named := os.environ.get("LOOPSFM_NERFSTUDIO"):
        return Path(named)
    folder = tmp_path_factory.mktemp("nerfstudio")
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, *NEEDS],
        [*pip, "--no-deps", "nerfstudio==1.1.5"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
        if done.returncode:
            pytest.skip(f"cannot install nerfstudio here: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_nerfstudio_parses_the_3dgs_and_the_nerfstudio_export(tmp_path, make_scene, nerfstudio_python):
    params = (400.0, 405.0, 153.4, 127.2, 0.05, -0.02, 0.001, -0.002)
    make_scene(tmp_path, camera_model="OPENCV", params=params, num_images=12)
    folders = [export(tmp_path, to=to) for to in ("3dgs", "nerfstudio")]

    done = subprocess.run(
        [nerfstudio_python, READER, *folders], capture_output=True, text=True, timeout=600, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for name in ("3dgs", "nerfstudio"):
        assert found[name]["num_images"] == 12
        assert found[name]["files_exist"]
        assert found[name]["num_points"] == 60
        assert found[name]["mean_offset"] < 0.5
