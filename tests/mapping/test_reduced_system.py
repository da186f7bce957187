import copy
import dataclasses

import numpy as np
import numpy.typing as npt
import pycolmap
import pytest

from sfm.mapping.cameras.evidence import Folds, jackknife
from sfm.mapping.cameras.linearized_observations import LinearizedObservations, gather
from sfm.mapping.cameras.reduced_system import ReducedSystem
from sfm.mapping.scene.camera_models import Freedom, freedom

from .lenses import Array, adjustment, finished, opencv


@pytest.fixture(scope="module")
def model() -> pycolmap.Reconstruction:
    return finished(opencv(shift=(4, -3)), num_images=8, num_points=60)


@pytest.fixture(scope="module")
def could(model: pycolmap.Reconstruction) -> Freedom:
    return freedom(model.camera(1), adjustment(), richest="OPENCV", principal_point=True)


@pytest.fixture(scope="module")
def seen(model: pycolmap.Reconstruction, could: Freedom) -> LinearizedObservations:
    return gather(model, 1, could)


def dense(seen: LinearizedObservations) -> tuple[Array, Array]:
    """Weighted Jacobian (2 M, D + 6 N + 3 P) and residuals (2 M,)."""
    num, root = len(seen.image), np.sqrt(seen.weight)
    poses, points = np.zeros((num, 2, seen.num_images, 6)), np.zeros((num, 2, seen.num_points, 3))
    poses[np.arange(num), :, seen.image] = seen.by_pose
    points[np.arange(num), :, seen.point] = seen.by_point
    parts = seen.by_intrinsics, poses.reshape(num, 2, -1), points.reshape(num, 2, -1)
    jacobian = np.concatenate(parts, axis=2) * root[:, None, None]
    return jacobian.reshape(2 * num, -1), (seen.residual * root[:, None]).ravel()


def solved(jacobian: Array, residual: Array) -> Array:
    """The least-squares step, columns scaled; what moves the whole model stays out of it."""
    scale = np.linalg.norm(jacobian, axis=0)
    return np.asarray(np.linalg.lstsq(jacobian / scale, -residual, rcond=1e-8)[0] / scale)


@pytest.mark.parametrize("free", [(), (0,), (0, 1, 2), (0, 4, 5), tuple(range(8))])
def test_steps_are_those_of_the_whole_least_squares_problem(
    seen: LinearizedObservations, free: tuple[int, ...]
) -> None:
    jacobian, residual = dense(seen)
    others = np.arange(8, jacobian.shape[1])
    columns = [*free, *others]
    without, with_them = (solved(jacobian[:, at], residual) for at in (others, columns))
    squares = [
        float(np.sum((jacobian[:, at] @ step + residual) ** 2))
        for at, step in ((others, without), (columns, with_them))
    ]

    system = ReducedSystem.of(seen)
    step = system.step(free, np.zeros(8))

    assert np.allclose(step.intrinsics[list(free)], with_them[: len(free)], rtol=1e-4, atol=1e-7)
    assert np.isclose(system.gain(free, np.zeros(8)), squares[0] - squares[1], rtol=1e-4, atol=1e-6)
    moved = np.concatenate((step.intrinsics, step.poses.ravel(), step.points.ravel()))
    assert np.isclose(float(np.sum((jacobian @ moved + residual) ** 2)), squares[1], rtol=1e-6)


def test_covariance_is_that_of_the_whole_problem(seen: LinearizedObservations) -> None:
    jacobian, _ = dense(seen)
    whole = np.linalg.pinv(jacobian.T @ jacobian, rcond=1e-13)

    found = ReducedSystem.of(seen).covariance(range(8), np.zeros(8))

    assert np.allclose(np.diagonal(found), np.diagonal(whole)[:8], rtol=1e-2)


def test_a_prior_holds_a_parameter_back(seen: LinearizedObservations) -> None:
    system = ReducedSystem.of(seen)
    prior = np.zeros(8)
    prior[5] = 1e9

    step = system.step(range(8), prior).intrinsics

    assert abs(step[5]) < 1e-4 < abs(system.step(range(8), np.zeros(8)).intrinsics[5])


def test_derivatives_by_pose_and_point_predict_what_a_small_move_does(
    model: pycolmap.Reconstruction, could: Freedom, seen: LinearizedObservations
) -> None:
    rng = np.random.default_rng(0)
    pose, point = rng.normal(scale=1e-5, size=(8, 6)), rng.normal(scale=1e-5, size=(seen.num_points, 3))
    centres = np.array([model.image(i).projection_center() for i in sorted(model.reg_image_ids())])
    size = float(np.sqrt(np.mean(np.sum((centres - centres.mean(axis=0)) ** 2, axis=1))))
    moved = copy.deepcopy(model)
    for i, image_id in enumerate(sorted(moved.reg_image_ids())):
        turn = pycolmap.Rigid3d(pycolmap.Rotation3d(pose[i, :3]), size * pose[i, 3:])
        frame = moved.frame(moved.image(image_id).frame_id)
        frame.rig_from_world = turn * frame.rig_from_world
    for i, point_id in enumerate(sorted(moved.point3D_ids())):
        moved.point3D(point_id).xyz = moved.point3D(point_id).xyz + size * point[i]

    predicted = seen.residual + np.einsum("mij,mj->mi", seen.by_pose, pose[seen.image])
    predicted += np.einsum("mij,mj->mi", seen.by_point, point[seen.point])

    change = np.abs(predicted - seen.residual).max()
    assert np.abs(gather(moved, 1, could).residual - predicted).max() < 1e-3 * change


def test_photos_left_out_have_no_say(seen: LinearizedObservations, could: Freedom) -> None:
    """Nonsense in the first photo changes no step of the system that leaves it out."""
    first = seen.image == 0
    spoilt = dataclasses.replace(seen, residual=np.where(first[:, None], 50.0, seen.residual))
    free = (*could.base, 2, 3)

    before, after = (Folds.of(one, ReducedSystem.of(one)).steps(free, np.zeros(8)) for one in (seen, spoilt))

    assert np.allclose(before[0], after[0])
    assert not np.allclose(before[1], after[1])


def test_what_a_run_of_images_shares_scatters_estimates() -> None:
    """A lens that moves half-way, beside one that differs as much from each image to the next."""
    many = finished(opencv(shift=(4, -3)), num_images=24, num_points=60)
    could = freedom(many.camera(1), adjustment(), richest="OPENCV", principal_point=True)
    seen = gather(many, 1, could)
    at = could.names.index("cx")

    def scatter(is_moved: npt.NDArray[np.bool_]) -> float:
        shift = np.where(is_moved[:, None], 5 * seen.by_intrinsics[:, :, at], 0.0)
        one = dataclasses.replace(seen, residual=seen.residual + shift)
        steps = Folds.of(one, ReducedSystem.of(one)).steps([*could.base, at], one.variance / could.prior**2)
        return float(np.sqrt(jackknife(steps)[at, at]))

    assert scatter(seen.image < 12) > 1.5 * scatter(seen.image % 2 == 0)


def test_a_point_that_one_image_sees_twice_has_one_observation_of_it(
    model: pycolmap.Reconstruction, could: Freedom
) -> None:
    """Left alone with that image, it would count as seen by two, with an unknown distance."""
    double = copy.deepcopy(model)
    first, second = sorted(double.images)[:2]
    common = {point.point3D_id for point in double.image(second).points2D if point.has_point3D()}
    at, free = [i for i, one in enumerate(double.image(first).points2D) if one.point3D_id in common][:2]
    point_id = double.image(first).points2D[at].point3D_id
    track = [(e.image_id, e.point2D_idx) for e in double.point3D(point_id).track.elements]
    for image_id, index in [one for one in track if one[0] not in (first, second)]:
        double.delete_observation(image_id, index)
    double.delete_observation(first, free)
    double.add_observation(point_id, pycolmap.TrackElement(first, free))

    seen = gather(double, 1, could)

    assert np.unique([seen.image, seen.point], axis=1).shape[1] == len(seen.image)
    assert double.compute_num_observations() == len(seen.image) + 1
    assert len(seen.where(seen.image != 1).of_several_images().image) == np.sum(seen.image != 1) - 1
