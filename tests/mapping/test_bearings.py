"""Directions and distances of flat and of spherical cameras."""

import numpy as np
import pycolmap
import pytest

from kernels.sampson import angular_distances, sampson_distances
from sfm.mapping.scene.bearings import bearing_vectors, depths, image_plane, px_per_radian

AROUND = pycolmap.Camera(camera_id=1, model="EQUIRECTANGULAR", width=800, height=400, params=[800, 400])
FLAT = pycolmap.Camera(camera_id=1, model="SIMPLE_PINHOLE", width=800, height=400, params=[500, 400, 200])
TURN, SHIFT = pycolmap.Rotation3d(np.array([0.1, 0.7, -0.2])), np.array([0.4, -0.1, 0.9])


@pytest.mark.parametrize("camera", [AROUND, FLAT])
def test_a_bearing_vector_leads_to_its_pixel(camera: pycolmap.Camera) -> None:
    xy = np.random.default_rng(0).uniform((0, 0), (800, 400), (200, 2))

    rays = bearing_vectors(xy, camera)

    assert np.allclose(camera.img_from_cam(rays), xy, atol=1e-6)
    assert np.isfinite(rays).all()


def test_nothing_is_behind_a_spherical_camera() -> None:
    points = np.array([[0.0, 0.0, -2.0], [0.0, 3.0, 4.0]])

    assert depths(points, AROUND).tolist() == [2.0, 5.0]
    assert depths(points, FLAT).tolist() == [-2.0, 4.0]


def test_the_image_plane_of_a_sphere_is_its_directions() -> None:
    assert np.array_equal(image_plane(AROUND), np.eye(3))
    assert np.array_equal(image_plane(FLAT), FLAT.calibration_matrix())


def test_a_pixel_at_the_horizon_spans_its_share_of_the_turn() -> None:
    assert px_per_radian(AROUND) * 2 * np.pi == pytest.approx(800)
    assert px_per_radian(FLAT) == 500


def test_angular_distances_are_those_by_which_rays_must_turn() -> None:
    """A direction that leaves its epipolar plane by a small angle, in one image, is off by that angle."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(500, 3)) * 4
    first, second = points, TURN * points + SHIFT
    essential = cross(SHIFT) @ TURN.matrix()

    assert np.allclose(angular_distances(first, second, essential), 0, atol=1e-9)
    unit = second / np.linalg.norm(second, axis=1, keepdims=True)
    normal = first @ essential.T
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    moved = unit + 1e-4 * normal
    # Both images share the error, so it is smaller than in the one that was moved.
    found = angular_distances(first, moved, essential)
    assert np.all((found > 0) & (found <= 1e-4 + 1e-9))
    lines = (
        np.linalg.norm(unit @ essential, axis=1),
        np.linalg.norm((first / np.linalg.norm(first, axis=1, keepdims=True)) @ essential.T, axis=1),
    )
    assert np.allclose(found, 1e-4 * lines[1] / np.hypot(*lines), rtol=1e-3)


def test_near_the_axis_angles_and_distances_on_the_image_plane_agree() -> None:
    rng = np.random.default_rng(2)
    first = np.column_stack((rng.uniform(-0.02, 0.02, (100, 2)), np.ones(100)))
    second = first + np.column_stack((rng.normal(0, 1e-4, (100, 2)), np.zeros(100)))
    essential = cross(np.array([1.0, 0.2, 0.0]))

    flat = sampson_distances(first, second, essential)

    assert np.allclose(angular_distances(first, second, essential), flat, rtol=2e-3, atol=1e-9)


def cross(v: np.ndarray) -> np.ndarray:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
