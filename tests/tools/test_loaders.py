"""Each loader gives back the photos, poses and cameras that were put into a copy of its dataset's layout."""

import numpy as np
import pytest
from photo_sets import DATASETS, load_scene

from tests.tools import fabricate
from tests.tools.fabricate import HEIGHT, WIDTH

MAKERS = {
    "eth3d": fabricate.eth3d,
    "eth3d-distorted": lambda root: fabricate.eth3d(root, distorted=True),
    "tanks_and_temples": fabricate.tanks_and_temples,
    "strecha": fabricate.strecha,
    "mipnerf360": fabricate.colmap_binary,
    "colmap": lambda root: fabricate.colmap_binary(root, "colmap"),
}


def test_every_dataset_is_fabricated():
    assert set(MAKERS) == set(DATASETS)


@pytest.mark.parametrize("dataset", MAKERS)
def test_poses_come_back_as_they_were_put_in(dataset, tmp_path):
    made = MAKERS[dataset](tmp_path)

    scene = load_scene(f"{dataset}:{made.scene}@all", tmp_path)

    assert scene.name == f"{dataset}/{made.scene}"
    assert sorted(scene.truth.poses) == sorted(made.poses)
    for name, pose in made.poses.items():
        np.testing.assert_allclose(scene.truth.poses[name].matrix(), pose.matrix(), atol=1e-9)
    assert list(scene.names) == sorted(scene.names)
    assert set(made.poses) <= set(scene.names)
    assert all((scene.photos / name).is_file() for name in scene.names)


@pytest.mark.parametrize("dataset", MAKERS)
def test_scenes_are_found(dataset, tmp_path):
    made = MAKERS[dataset](tmp_path)

    assert DATASETS[dataset].found(tmp_path / DATASETS[dataset].folder) == [made.scene]


def test_eth3d_has_several_cameras_and_its_accuracy(tmp_path):
    made = fabricate.eth3d(tmp_path)

    scene = load_scene("eth3d:pipes", tmp_path)

    assert (scene.kind, scene.truth.unit, scene.truth.position_accuracy) == ("measured", "m", 1e-3)
    assert scene.truth.min_baseline == 1e-3
    focal = [scene.truth.cameras[name].params[0] for name in made.poses]
    assert focal == [40.5, 50.25] * 7


def test_the_distorted_photos_of_eth3d_have_their_twelve_parameters(tmp_path):
    made = fabricate.eth3d(tmp_path, distorted=True)

    camera = load_scene("eth3d-distorted:pipes", tmp_path).truth.cameras[next(iter(made.poses))]

    assert camera.model_name == "THIN_PRISM_FISHEYE"
    assert camera.params.tolist() == [40, 41, 32, 24, *[0.001] * 8]


def test_archives_of_eth3d_may_lie_in_folders_of_their_own(tmp_path):
    """As sorted by name: distorted photos first, then scans, then undistorted ones."""
    made = fabricate.eth3d(tmp_path)
    fabricate.eth3d(tmp_path, distorted=True)
    (made.folder / "dslr_scan_eval").mkdir()
    archives = {
        "multi_view_training_dslr_jpg": ("images/dslr_images", "dslr_calibration_jpg"),
        "multi_view_training_dslr_scan_eval": ("dslr_scan_eval",),
        "multi_view_training_dslr_undistorted": ("images", "dslr_calibration_undistorted"),
    }
    for archive, parts in archives.items():
        for part in parts:
            target = made.folder.parent / archive / "pipes" / part
            target.parent.mkdir(parents=True, exist_ok=True)
            (made.folder / part).rename(target)
    made.folder.rmdir()

    plain, distorted = (load_scene(f"{d}:pipes", tmp_path) for d in ("eth3d", "eth3d-distorted"))

    assert [len(scene.names) for scene in (plain, distorted)] == [14, 14]
    assert "dslr_images_undistorted" in plain.names[0]
    assert distorted.names[0].startswith("dslr_images/")
    assert [DATASETS[d].found(made.folder.parent) for d in ("eth3d", "eth3d-distorted")] == [["pipes"]] * 2


def test_tanks_and_temples_knows_metres_and_that_colmap_made_its_poses(tmp_path):
    fabricate.tanks_and_temples(tmp_path)

    scene = load_scene("tanks_and_temples:Horse", tmp_path)

    assert (scene.kind, scene.truth.unit, scene.truth.cameras) == ("pseudo", None, None)
    assert scene.truth.metres == pytest.approx(2.5, rel=1e-12)


def test_photos_of_tanks_and_temples_may_lie_below_images_with_the_log_beside_them(tmp_path):
    made = fabricate.tanks_and_temples(tmp_path)
    (made.folder / "images").mkdir()
    for photo in made.folder.glob("*.jpg"):
        photo.rename(made.folder / "images" / photo.name)
    (made.folder.parent / "Horse_COLMAP_SfM.log").rename(made.folder / "Horse.log")

    assert len(load_scene("tanks_and_temples:Horse", tmp_path).truth.poses) == 151


def test_strecha_has_metres_and_one_camera(tmp_path):
    fabricate.strecha(tmp_path)

    truth = load_scene("strecha:Herz-Jesus-P8", tmp_path).truth

    assert (truth.unit, truth.metres) == ("m", 1.0)
    camera = truth.cameras["0003.jpg"]
    assert (camera.model_name, camera.width, camera.height) == ("PINHOLE", WIDTH, HEIGHT)
    assert camera.params.tolist() == [57.5, 57.6, 31.5, 20.75]


def test_photos_that_a_colmap_model_lacks_are_asked_for_but_have_no_truth(tmp_path):
    fabricate.colmap_binary(tmp_path)

    scene = load_scene("mipnerf360:mine", tmp_path)

    assert (len(scene.names), len(scene.truth.poses), scene.kind) == (8, 6, "pseudo")
    assert scene.truth.cameras["_DSC8600.JPG"].params[0] > 0
