"""The pose of a pair of photos from matches and depth: right, in metres, with a covariance that means it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from sfm.geometry.photo_pair.depth_pose import depth_pose
from sfm.geometry.photo_pair.epipolar import signed_sampson_px, unit_depths
from sfm.geometry.photo_pair.essential_pose import essential_pose
from sfm.geometry.photo_pair.intrinsics_error import intrinsics_covariance
from sfm.geometry.photo_pair.length import votes
from sfm.geometry.photo_pair.pose import metric_pose
from sfm.geometry.photo_pair.scatter import scatter_covariance
from sfm.geometry.photo_pair.values import MetricPose, PairObservations
from sfm.mapping.cameras.focal_priors import SIGMA_FOCAL
from sfm.mapping.scene.camera_models import a_sigma_away

NOISE_PX = 0.5
ASIDE = np.array([0.9, 0.1, -0.3])


def made(
    translation: np.ndarray, *, seed: int = 0, count: int = 400, scale: float = 0.0, depth: float = 0.0
) -> tuple[PairObservations, pycolmap.Rigid3d]:
    """Matches of points 4 to 9 m away, and the true pose; `scale` and `depth` are relative errors."""
    rng = np.random.default_rng(seed)
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", 450.0, 640, 480)
    camera.params = [450.0, 320.0, 240.0, -0.03]
    turn = Rotation.from_rotvec([0.05, -0.15, 0.1])
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(turn.as_quat()), translation)
    xy_a = rng.uniform((20, 20), (620, 460), (count, 2))
    depth_a = rng.uniform(4, 9, count)
    in_a = np.column_stack((np.asarray(camera.cam_from_img(xy_a)), np.ones(count))) * depth_a[:, None]
    in_b = np.asarray(pose * in_a)
    xy_b = np.asarray(camera.img_from_cam(in_b))

    def seen(true: np.ndarray) -> np.ndarray:
        return true * np.exp(scale * rng.normal() + depth * rng.normal(size=count))

    noise = rng.normal(0, NOISE_PX, (2, count, 2))
    return (
        PairObservations(xy_a + noise[0], xy_b + noise[1], seen(depth_a), seen(in_b[:, 2]), camera, camera),
        pose,
    )


def error(found: MetricPose, true: pycolmap.Rigid3d) -> np.ndarray:
    turn = (true.rotation * found.b_from_a.rotation.inverse()).matrix()
    return np.concatenate(
        (Rotation.from_matrix(turn).as_rotvec(), true.translation - found.b_from_a.translation)
    )


def test_sampson_errors_are_pixels() -> None:
    # Both cameras look along z, b stands at x = 1: lines are rows. Half of 3 px counts in each photo.
    rays = np.array([[0.1, 0.2, 1.0]]), np.array([[0.0, 0.2 + 3 / 100, 1.0]])

    found = signed_sampson_px(rays, (100.0, 100.0), np.eye(3), np.array([1.0, 0, 0]))

    assert np.abs(found) == pytest.approx(3 / np.sqrt(2))


def test_depths_of_a_baseline_of_one() -> None:
    # The point (1, 0, 4) from the origin, and from (1, 0, 0): straight ahead there.
    depth_a, depth_b, sines = unit_depths(
        (np.array([[0.25, 0, 1.0]]), np.array([[0.0, 0, 1.0]])), np.eye(3), np.array([-1.0, 0, 0])
    )

    assert depth_a == pytest.approx(4)
    assert depth_b == pytest.approx(4)
    assert sines == pytest.approx(1 / np.sqrt(17))


def test_the_mode_of_votes_ignores_others_however_many_lie_on_one_side() -> None:
    values = np.concatenate((np.full(60, np.log(2.0)), np.full(40, np.log(3.0)), [np.nan]))

    found = votes(values, np.full(101, 0.2), 1e-3)

    assert found is not None
    assert np.exp(found.mode) == pytest.approx(2.0)
    assert votes(np.array([np.nan]), np.array([0.2]), 1e-3) is None


def test_residuals_that_come_in_groups_count_once_a_group() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), 10)
    jacobian = np.ones((2000, 1))

    alone = scatter_covariance(jacobian, rng.normal(size=2000), groups)
    alike = scatter_covariance(jacobian, np.repeat(rng.normal(size=200), 10), groups)

    assert alone is not None
    assert alike is not None
    assert alone[0, 0] == pytest.approx(1 / 2000, rel=0.3)
    assert alike[0, 0] == pytest.approx(1 / 200, rel=0.3)


def test_what_the_residuals_leave_open_has_no_covariance() -> None:
    assert scatter_covariance(np.ones((50, 2)), np.ones(50), np.arange(50)) is None


@pytest.mark.parametrize("translation", [ASIDE, np.array([0.02, 0.0, -1.2])], ids=["aside", "forward"])
def test_errors_are_as_large_as_the_covariance_says(translation: np.ndarray) -> None:
    scores = []
    for seed in range(60):
        pair, true = made(translation, seed=seed, scale=0.02, depth=0.02)
        found = metric_pose(pair, max_error_px=4.0, seed=0)
        assert found is not None
        assert found.method == "essential"
        one = error(found, true)
        scores.append(one @ np.linalg.solve(found.covariance, one) / 6)

    assert 0.75 < np.mean(scores) < 1.3


def test_errors_of_guessed_intrinsics_are_in_the_covariance() -> None:
    """Focal lengths and distortion as far off as a guess may be, in photos of one camera."""
    rng, ignored, stated = np.random.default_rng(0), [], []
    solve = partial(metric_pose, max_error_px=4.0, seed=0)
    for seed in range(30):
        pair, true = made(ASIDE, seed=seed, scale=0.02, depth=0.02)
        guess = pycolmap.Camera(pair.camera_a.todict())
        corner = np.hypot(320, 240) / 450
        guess.params = [
            450 * (1 + SIGMA_FOCAL * rng.normal()),
            *(np.array([320, 240]) + 6.4 * rng.normal(size=2)),
            -0.03 + 0.03 / corner**2 * rng.normal(),
        ]
        guessed = replace(pair, camera_a=guess, camera_b=guess)
        found = solve(guessed)
        assert found is not None
        others = [
            [replace(pair, camera_a=camera, camera_b=camera) for camera in ends]
            for ends in a_sigma_away(guess, SIGMA_FOCAL)
        ]
        both = found.covariance + intrinsics_covariance(found, others, solve)
        one = error(found, true)
        ignored.append(one @ np.linalg.solve(found.covariance, one) / 6)
        stated.append(one @ np.linalg.solve(both, one) / 6)

    assert np.mean(ignored) > 10
    assert 0.6 < np.mean(stated) < 1.6


def test_poses_by_smaller_and_by_larger_intrinsics_count_alike() -> None:
    """Poses that are 1 m off one way and 3 m the other; where one of two has none, the other alone."""
    pair, _ = made(ASIDE)
    moves = {400.0: 1.0, 500.0: -3.0, 450.0: 0.0}

    def solve(one: PairObservations) -> MetricPose | None:
        move = moves.get(one.camera_a.focal_length)
        if move is None:
            return None
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([move, 0.0, 0.0]))
        return MetricPose(pose, "essential", np.ones(400, bool), 1.0, np.eye(6))

    def by(*focals_px: float) -> list[PairObservations]:
        params = pair.camera_a.params[1:].tolist()
        cameras = [pycolmap.Camera(pair.camera_a.todict() | {"params": [f, *params]}) for f in focals_px]
        return [replace(pair, camera_a=camera) for camera in cameras]

    found = solve(pair)
    assert found is not None
    for ends, variance in ((by(400, 500), 5.0), (by(400, 1), 1.0), (by(1, 2), 0.0)):
        expected = np.diag([0, 0, 0, variance, 0, 0])
        np.testing.assert_allclose(intrinsics_covariance(found, [ends], solve), expected, atol=1e-12)


def test_a_panorama_has_no_intrinsics_to_guess() -> None:
    camera = pycolmap.Camera.create_from_model_name(1, "EQUIRECTANGULAR", 1.0, 200, 100)

    assert a_sigma_away(camera, SIGMA_FOCAL) == []


def test_a_camera_that_only_turned_is_found_by_pnp() -> None:
    pair, true = made(np.zeros(3), scale=0.02, depth=0.02)

    found = metric_pose(pair, max_error_px=4.0, seed=0)

    assert found is not None
    assert found.method == "pnp"
    assert np.degrees(np.linalg.norm(error(found, true)[:3])) < 0.1
    assert np.linalg.norm(found.b_from_a.translation) < 0.02


def test_lengths_are_metres_of_the_depth() -> None:
    pair, true = made(ASIDE)
    doubled = replace(pair, depth_a=2 * pair.depth_a, depth_b=2 * pair.depth_b)

    for way in (essential_pose, depth_pose):
        once, twice = (way(one, max_error_px=4.0, seed=0) for one in (pair, doubled))
        assert once is not None
        assert twice is not None
        np.testing.assert_allclose(once.b_from_a.translation, true.translation, atol=0.03)
        np.testing.assert_allclose(
            twice.b_from_a.translation, 2 * once.b_from_a.translation, rtol=0.02, atol=0.02
        )


def test_the_depth_of_one_photo_is_enough() -> None:
    pair, true = made(ASIDE)
    unknown = np.full(len(pair.xy_a), np.nan)

    for one in (replace(pair, depth_a=unknown), replace(pair, depth_b=unknown)):
        found = essential_pose(one, max_error_px=4.0, seed=0)
        assert found is not None
        np.testing.assert_allclose(found.b_from_a.translation, true.translation, atol=0.03)
    assert metric_pose(replace(pair, depth_a=unknown, depth_b=unknown), max_error_px=4.0, seed=0) is None


def test_photos_whose_depths_disagree_state_a_larger_error_of_length() -> None:
    pair, _ = made(ASIDE)
    apart = replace(pair, depth_a=1.2 * pair.depth_a)

    sigmas = []
    for one in (pair, apart):
        found = essential_pose(one, max_error_px=4.0, seed=0)
        assert found is not None
        sigmas.append(np.sqrt(ASIDE @ found.covariance[3:, 3:] @ ASIDE) / np.linalg.norm(ASIDE) ** 2)

    assert sigmas[0] < 0.03
    assert sigmas[1] == pytest.approx(np.log(1.2) / np.sqrt(2), rel=0.2)


def test_wrong_matches_and_pixels_without_a_ray_do_not_count() -> None:
    pair, true = made(ASIDE)
    rng = np.random.default_rng(1)
    xy_b = pair.xy_b.copy()
    xy_b[:120] = rng.uniform((0, 0), (640, 480), (120, 2))
    xy_b[120:125] = np.nan

    found = metric_pose(replace(pair, xy_b=xy_b), max_error_px=4.0, seed=0)

    assert found is not None
    assert not found.inliers[120:125].any()
    assert found.inliers[:120].mean() < 0.1
    assert found.inliers[125:].mean() > 0.95
    assert np.linalg.norm(error(found, true)[3:]) < 0.05


def test_no_matches_no_pose() -> None:
    pair, _ = made(ASIDE, count=5)

    assert metric_pose(pair, max_error_px=4.0, seed=0) is None
