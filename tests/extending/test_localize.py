"""Poses against a model that stays: right, independent of other queries, with a covariance that means it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from click.testing import CliRunner
from scipy.spatial.transform import Rotation

import sfm
from sfm.cli import main
from sfm.config.loading import load_config
from sfm.pipelines.localize import Localised, NotLocalised
from sfm.pipelines.query_pose import Intrinsics, estimate_pose, pose_covariance

QUICK = ("backend=sift", "run.threads=2", "sift.max_num_features=2500", "export.report=false")
NOISE_PX = 0.7


def view(seed: int = 0, count: int = 120) -> tuple[pycolmap.Camera, pycolmap.Rigid3d, np.ndarray, np.ndarray]:
    """A camera, its pose, points in the world and where it sees them, exactly."""
    rng = np.random.default_rng(seed)
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", 900.0, 1000, 800)
    camera.params = [900.0, 500.0, 400.0, 0.03]
    in_cam = rng.uniform((-2, -2, 4), (2, 2, 8), (count, 3))
    pose = pycolmap.Rigid3d(
        pycolmap.Rotation3d(Rotation.from_rotvec([0.2, -0.4, 0.1]).as_matrix()), np.array([0.5, 1.0, -2.0])
    )
    return camera, pose, np.asarray(pose.inverse() * in_cam), np.asarray(camera.img_from_cam(in_cam))


@pytest.mark.parametrize("source", ["model", "estimated"])
def test_errors_are_as_large_as_the_covariance_says(source: str) -> None:
    camera, true, xyz, xy = view()
    rng = np.random.default_rng(1)
    choice = Intrinsics(camera, source)
    scores = []
    for _ in range(60):
        seen = xy + rng.normal(0, NOISE_PX, xy.shape)
        pose = estimate_pose(seen, xyz, [choice], max_error_px=12.0, seed=0)
        assert pose is not None
        turn = true.rotation.matrix() @ pose.cam_from_world.rotation.matrix().T
        error = np.concatenate(
            (Rotation.from_matrix(turn).as_rotvec(), true.translation - pose.cam_from_world.translation)
        )
        scores.append(error @ np.linalg.solve(pose.covariance, error))

    # chi squared with 6 degrees of freedom; the robust loss of the refinement costs some efficiency
    assert 4.5 < np.mean(scores) < 9.0


def test_the_centre_moves_as_the_pose_does() -> None:
    camera, true, xyz, xy = view()
    pose = estimate_pose(xy, xyz, [Intrinsics(camera, "model")], max_error_px=4.0, seed=0)
    assert pose is not None
    rng = np.random.default_rng(2)
    covariance = np.diag([1e-8] * 3 + [1e-6] * 3)
    object.__setattr__(pose, "covariance", covariance)
    centres = []
    for step in rng.multivariate_normal(np.zeros(6), covariance, 4000):
        turned = Rotation.from_rotvec(step[:3]).as_matrix() @ true.rotation.matrix()
        centres.append(-turned.T @ (true.translation + step[3:]))

    np.testing.assert_allclose(np.cov(np.array(centres).T), pose.centre_covariance, rtol=0.15, atol=1e-7)


def test_points_in_one_place_leave_the_pose_open() -> None:
    camera, true, xyz, xy = view()
    _, covariance = pose_covariance(xy[[0] * 9], xyz[[0] * 9], camera, true, free_focal=False)

    assert covariance is None


def test_the_model_camera_is_preferred_and_a_wrong_one_given_up() -> None:
    camera, _, xyz, xy = view()
    wrong = pycolmap.Camera.create_from_model_name(2, "SIMPLE_RADIAL", 2500.0, 1000, 800)
    noisy = xy + np.random.default_rng(0).normal(0, 0.5, xy.shape)

    right = estimate_pose(
        noisy, xyz, [Intrinsics(camera, "model"), Intrinsics(wrong, "estimated")], max_error_px=4.0, seed=0
    )
    zoomed = estimate_pose(
        noisy, xyz, [Intrinsics(wrong, "model"), Intrinsics(wrong, "estimated")], max_error_px=4.0, seed=0
    )

    assert right is not None
    assert right.intrinsics == "model"
    assert zoomed is not None
    assert zoomed.intrinsics == "estimated"
    assert abs(zoomed.camera.mean_focal_length() / 900 - 1) < 0.05
    assert wrong.mean_focal_length() == 2500.0


@pytest.fixture(scope="module")
def photos(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`old` with nine photos, `run` over them, and two queries beyond their end.

    With COLMAP's keypoints: OpenCV finds an eighth fewer in these photos, and a quarter fewer of them match.
    """
    folder = tmp_path_factory.mktemp("localize")
    for number, path in enumerate(sorted((demo_data / "images").iterdir())[:11]):
        place = folder / ("query" if number >= 9 else "old") / path.name
        place.parent.mkdir(exist_ok=True)
        shutil.copy(path, place)
    config = load_config(overrides=[*QUICK, "colmap.sift_extraction.num_octaves=4"])
    assert sfm.run(folder / "old", output=folder / "run", config=config).models
    return folder


@pytest.mark.slow
def test_queries_are_located_where_they_were_taken(photos: Path, demo_data: Path, tmp_path: Path) -> None:
    before = (photos / "run" / "sparse" / "0" / "images.bin").read_bytes()
    to_truth = sfm.align(photos / "run", demo_data / "gt.json", output=tmp_path / "aligned")
    truth = json.loads((demo_data / "gt.json").read_text())["images"]

    done = sfm.localize(photos / "run", photos / "query", output=tmp_path / "out")

    stored = json.loads((tmp_path / "out" / "poses.json").read_text())["queries"]
    assert done.num_localised == len(stored) == 2
    assert (photos / "run" / "sparse" / "0" / "images.bin").read_bytes() == before
    reference = pycolmap.Reconstruction(photos / "run" / "sparse" / "0")
    moved = {i.name: i.projection_center() for i in to_truth.model.images.values()}
    here = {i.name: i.projection_center() for i in reference.images.values()}
    names = sorted(here)
    fit = pycolmap.estimate_sim3d(np.array([here[n] for n in names]), np.array([moved[n] for n in names]))
    assert fit is not None
    for query in stored:
        entry = truth[query["name"]]
        true = -np.array(entry["R_cw"]).T @ np.array(entry["t_cw"])
        assert (
            np.linalg.norm(fit * np.array(query["centre"]) - true) < 0.12
        )  # of 6 m from the middle of the square
        assert np.array(query["covariance"]).shape == (6, 6)
        assert query["num_inliers"] > 50
        assert query["num_inliers"] > 0.7 * query["num_points"]


@pytest.mark.slow
def test_a_query_does_not_depend_on_the_others(photos: Path, tmp_path: Path) -> None:
    from PIL import Image

    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(min((photos / "query").iterdir()), alone)
    crowd = shutil.copytree(photos / "query", tmp_path / "crowd")
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    Image.fromarray(noise).save(crowd / "noise.png")

    first = sfm.localize(photos / "run", alone, output=tmp_path / "a").queries
    second = {q.name: q for q in sfm.localize(photos / "run", crowd, output=tmp_path / "b").queries}

    (one,) = first
    other = second[one.name]
    assert isinstance(one, Localised)
    assert isinstance(other, Localised)
    assert np.array_equal(one.pose.cam_from_world.matrix(), other.pose.cam_from_world.matrix())
    assert np.array_equal(one.pose.covariance, other.pose.covariance)
    stray = second["noise.png"]
    assert isinstance(stray, NotLocalised)
    assert stray.reason


@pytest.mark.slow
def test_a_command_that_locates_no_photo_ends_with_6(photos: Path, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "noise").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise" / "noise.png")
    words = ["localize", photos / "run", tmp_path / "noise", "-o", tmp_path / "out", "-q"]

    done = CliRunner().invoke(main, [str(word) for word in words])

    assert done.exit_code == 6, done.output
    assert "none of 1 photo could be localised" in done.stderr
    assert (tmp_path / "out" / "poses.json").is_file()
