"""Loaders on real photos and real ground truth, put back into the layout that their sites ship."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import check
from photo_sets import DATASETS, load_scene
from photo_sets.strecha import read_camera_file

from sfm.evaluation import load_ground_truth
from tests.tools import fabricate

pytestmark = pytest.mark.shared

FOUNTAIN_0000 = """2759.48 0 1520.69
0 2764.16 1006.81
0 0 1
0 0 0
0.450927 -0.0945642 -0.887537
-0.892535 -0.0401974 -0.449183
0.00679989 0.994707 -0.102528
-7.28137 -7.57667 0.204446
3072 2048
"""
"""gt_dense_cameras/0000.jpg.camera of fountain-P11."""


def linked(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for photo in source.iterdir():
        (target / photo.name).symlink_to(photo)


def test_eth3ds_pipes(shared_data, tmp_path):
    source = shared_data / "eth3d_pipes"
    truth = load_ground_truth(source)
    folder = tmp_path / "eth3d" / "pipes"
    linked(source / "images", folder / "images" / "dslr_images_undistorted")
    cameras = json.loads((source / "gt.json").read_text())["cameras"]
    entries = {
        name: f"{c['model']} {c['width']} {c['height']} {fabricate.numbers(c['params'])}"
        for name, c in cameras.items()
    }
    (entry,) = set(entries.values())
    named = {f"dslr_images_undistorted/{name}": pose for name, pose in truth.poses.items()}
    fabricate.colmap_text(folder / "dslr_calibration_undistorted", named, [entry])

    state = check(DATASETS["eth3d"], tmp_path)
    scene = load_scene("eth3d:pipes", tmp_path)

    assert (state.problems, state.scenes[0].photos) == ((), 14)
    assert scene.names == tuple(sorted(named))
    for name, pose in named.items():
        np.testing.assert_allclose(scene.truth.poses[name].matrix(), pose.matrix(), atol=1e-9)
        assert scene.truth.cameras[name].params.tolist() == cameras[Path(name).name]["params"]


@pytest.mark.parametrize(("name", "count"), [("fountain-P11", 11), ("Herz-Jesus-P8", 8)])
def test_strechas_scenes(shared_data, tmp_path, name, count):
    """The copies are smaller than the originals: the camera files here have their intrinsics."""
    source = shared_data / name
    truth = load_ground_truth(source)
    folder = tmp_path / "strecha" / name
    linked(source / "images", folder / "images")
    (folder / "gt_dense_cameras").mkdir()
    for photo, pose in truth.poses.items():
        world_from_cam, camera = pose.inverse(), truth.cameras[photo]
        rows = [*camera.calibration_matrix(), [0, 0, 0], *world_from_cam.rotation.matrix()]
        lines = [*map(fabricate.numbers, rows), fabricate.numbers(world_from_cam.translation)]
        text = "\n".join([*lines, f"{camera.width} {camera.height}"])
        (folder / "gt_dense_cameras" / f"{photo}.camera").write_text(text)

    state = check(DATASETS["strecha"], tmp_path)
    scene = load_scene(f"strecha:{name}", tmp_path)

    assert (state.problems, state.scenes[0].photos) == ((), count)
    for photo, pose in truth.poses.items():
        np.testing.assert_allclose(scene.truth.poses[photo].matrix(), pose.matrix(), atol=1e-9)


def test_a_camera_file_as_published_gives_the_pose_that_others_read_from_it(shared_data, tmp_path):
    truth = load_ground_truth(shared_data / "fountain-P11")
    (tmp_path / "0000.jpg.camera").write_text(FOUNTAIN_0000)

    pose, camera = read_camera_file(tmp_path / "0000.jpg.camera")

    np.testing.assert_allclose(pose.matrix(), truth.poses["0000.jpg"].matrix(), atol=2e-5)  # six digits
    scale = truth.cameras["0000.jpg"].width / 3072
    np.testing.assert_allclose(camera.params * scale, truth.cameras["0000.jpg"].params, rtol=1e-9)
