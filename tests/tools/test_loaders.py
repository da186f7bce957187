"""Each loader gives back the photos, poses and cameras that were put into a copy of its dataset's layout."""

import gzip
import json
import os

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
    "1dsfm": fabricate.internet,
    "co3d": fabricate.co3d,
    "realestate10k": fabricate.realestate10k,
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


def test_eth3d_has_several_cameras_its_accuracy_and_its_scans(tmp_path):
    made = fabricate.eth3d(tmp_path)

    scene = load_scene("eth3d:pipes", tmp_path)

    assert (scene.kind, scene.truth.unit, scene.truth.position_accuracy) == ("measured", "m", 1e-3)
    assert scene.truth.min_baseline == 1e-3
    focal = [scene.truth.cameras[name].params[0] for name in made.poses]
    assert focal == [40.5, 50.25] * 7
    (scan,) = scene.scans
    assert scan.file.name == "scan1.ply"
    assert (scan.world_from_scan @ [1, 0, 0, 1]).tolist() == [1, 3, 3, 1]


def test_the_distorted_photos_of_eth3d_have_their_twelve_parameters(tmp_path):
    made = fabricate.eth3d(tmp_path, distorted=True)

    camera = load_scene("eth3d-distorted:pipes", tmp_path).truth.cameras[next(iter(made.poses))]

    assert camera.model_name == "THIN_PRISM_FISHEYE"
    assert camera.params.tolist() == [40, 41, 32, 24, *[0.001] * 8]


def test_archives_of_eth3d_may_lie_in_folders_of_their_own(tmp_path):
    """As sorted by name: scans first, then distorted photos, then undistorted ones."""
    made = fabricate.eth3d(tmp_path)
    fabricate.eth3d(tmp_path, distorted=True)
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
    assert [len(scene.scans) for scene in (plain, distorted)] == [1, 1]
    assert [DATASETS[d].found(made.folder.parent) for d in ("eth3d", "eth3d-distorted")] == [["pipes"]] * 2


def test_tanks_and_temples_knows_metres_and_that_colmap_made_its_poses(tmp_path):
    fabricate.tanks_and_temples(tmp_path)

    scene = load_scene("tanks_and_temples:Horse", tmp_path)

    assert (scene.kind, scene.truth.unit, scene.truth.cameras) == ("pseudo", None, None)
    assert scene.truth.metres == pytest.approx(2.5, rel=1e-12)
    assert scene.scans_from_world is not None
    np.testing.assert_allclose(scene.scans_from_world.translation, [1, 2, 3])


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


def test_internet_photos_without_a_camera_are_asked_for_if_they_hang_together(tmp_path):
    fabricate.internet(tmp_path)

    scene = load_scene("1dsfm:Alamo", tmp_path)

    assert len(scene.names) == 8  # seven of cc.txt, and the last because Bundler has it
    assert set(scene.names) - set(scene.truth.poses) == {"images/002_flickr.jpg"}
    assert scene.truth.cameras["images/001_flickr.jpg"].params.tolist() == [601.5, 32, 24, -0.05, 0.01]


def test_bundlers_camera_projects_as_its_manual_says(tmp_path):
    made = fabricate.internet(tmp_path)
    rows = (made.folder / "gt_bundle.out").read_text().splitlines()[2:7]
    f, k1, k2 = map(float, rows[0].split())
    rotation = np.array([row.split() for row in rows[1:4]], dtype=float)
    translation = np.array(rows[4].split(), dtype=float)
    scene = load_scene("1dsfm:Alamo", tmp_path)
    name = "images/000_flickr.jpg"
    camera, pose = scene.truth.cameras[name], scene.truth.poses[name]
    point = pose.inverse() * np.array([0.3, -0.2, 4.0])

    x, y, z = rotation @ point + translation
    p = np.array([-x / z, -y / z])
    p *= f * (1 + k1 * (p @ p) + k2 * (p @ p) ** 2)
    seen = camera.img_from_cam(pose * point)

    np.testing.assert_allclose(seen, [WIDTH / 2 + p[0], HEIGHT / 2 - p[1]], atol=1e-9)


def test_a_sequence_of_co3d_projects_as_pytorch3d_does(tmp_path):
    made = fabricate.co3d(tmp_path)
    scene = load_scene(f"co3d:{made.scene}@all", tmp_path)
    name = "images/frame000001.jpg"
    camera, pose = scene.truth.cameras[name], scene.truth.poses[name]
    point = pose.inverse() * np.array([0.3, -0.2, 4.0])

    seen = camera.img_from_cam(pose * point)

    # NDC (x left, y up) of the point: f x / z + p with x = -0.3, y = 0.2; half of the shorter side is 24 px.
    ndc = np.array([2.0 * -0.3 / 4 + 0.25, 2.5 * 0.2 / 4 - 0.125])
    np.testing.assert_allclose(seen, [32 - 24 * ndc[0], 24 - 24 * ndc[1]], atol=1e-9)


def test_annotations_are_read_once_for_all_sequences_and_again_when_they_change(tmp_path, monkeypatch):
    made = fabricate.co3d(tmp_path)
    file = made.folder.parent / "frame_annotations.jgz"
    unpacked = []
    original = gzip.decompress
    monkeypatch.setattr(gzip, "decompress", lambda data: unpacked.append(1) or original(data))

    for subset in ("seed0", "seed1", "seed2"):
        load_scene(f"co3d:{made.scene}@{subset}", tmp_path)
    once = len(unpacked)
    frames = json.loads(original(file.read_bytes()))
    frames[0]["viewpoint"]["focal_length"] = [3.0, 3.0]
    file.write_bytes(gzip.compress(json.dumps(frames).encode()))
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    changed = load_scene(f"co3d:{made.scene}@all", tmp_path)

    assert (once, len(unpacked)) == (1, 2)
    assert changed.truth.cameras["images/frame000001.jpg"].params[0] == 3.0 * HEIGHT / 2


def test_sequences_are_ten_frames_where_nothing_else_is_asked_for(tmp_path):
    made, clip = fabricate.co3d(tmp_path), fabricate.realestate10k(tmp_path)

    first = load_scene(f"co3d:{made.scene}", tmp_path)
    other = load_scene(f"co3d:{made.scene}@seed1", tmp_path)

    assert len(first.names) == len(first.truth.poses) == len(first.truth.cameras) == 10
    assert first.names == load_scene(f"co3d:{made.scene}@seed0", tmp_path).names
    assert first.names != other.names
    assert len(load_scene(f"realestate10k:{clip.scene}", tmp_path).names) == 10


def test_intrinsics_of_realestate10k_are_in_pixels(tmp_path):
    made = fabricate.realestate10k(tmp_path)

    camera = next(iter(load_scene(f"realestate10k:{made.scene}", tmp_path).truth.cameras.values()))

    assert camera.params.tolist() == [32, 36, 32, 24]
