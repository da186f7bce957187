"""Up in the 3D view is up in the photos."""

import numpy as np
import pycolmap
import pytest

from sfm.geometry.gravity import is_level, upright_from_world

IN_WORLD = np.array([0.36, -0.48, 0.8])  # a unit vector that is no axis


def _model(directions, *, roll_deg=0.0, down=False):
    """Cameras at the origin, level with IN_WORLD as up, looking in `directions` (degrees round it)."""
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=4, height=3, params=[4, 2, 1.5], camera_id=1)
    model.add_camera_with_trivial_rig(camera)
    side = np.cross(IN_WORLD, [1.0, 0, 0])
    side /= np.linalg.norm(side)
    for number, degrees in enumerate(directions, start=1):
        angle = np.radians(degrees)
        ahead = np.cos(angle) * side + np.sin(angle) * np.cross(IN_WORLD, side)
        axes = (-IN_WORLD, ahead) if down else (ahead, IN_WORLD)
        forward, up = axes
        rows = np.stack((np.cross(forward, up), -up, forward))
        roll = pycolmap.Rotation3d(np.array([0, 0, np.radians(roll_deg)]))
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(roll.matrix() @ rows), np.zeros(3))
        image = pycolmap.Image(name=f"{number}.jpg", camera_id=1, image_id=number)
        model.add_image_with_trivial_frame(image, pose)
    return model


@pytest.mark.parametrize("directions", [(0, 90, 200), (0, 20, 340), (10, 10, 10)])
def test_level_photos_give_their_up(directions):
    turn = upright_from_world(_model(directions), {})

    np.testing.assert_allclose(turn @ IN_WORLD, [0, 0, 1], atol=1e-6)


@pytest.mark.parametrize(("orientation", "roll_deg"), [(6, -90), (8, 90), (3, 180)])
def test_photos_taken_turned_are_read_by_their_exif_orientation(orientation, roll_deg):
    model = _model((0, 90, 200), roll_deg=roll_deg)

    turn = upright_from_world(model, {f"{i}.jpg": orientation for i in (1, 2, 3)})

    np.testing.assert_allclose(turn @ IN_WORLD, [0, 0, 1], atol=1e-6)


def test_photos_taken_straight_down_look_against_up():
    turn = upright_from_world(_model((0, 90, 180, 270), down=True), {})

    np.testing.assert_allclose(turn @ IN_WORLD, [0, 0, 1], atol=1e-6)


def test_it_is_a_rotation():
    turn = upright_from_world(_model((0, 90)), {})

    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


AROUND = (0, 70, 140, 210, 280)


def test_photos_held_level_are_believed_those_taken_straight_down_too():
    assert is_level(_model(AROUND), {})
    assert is_level(_model(AROUND, down=True), {})


def test_photos_that_are_rolled_few_or_all_turned_one_way_are_not():
    assert not is_level(_model(AROUND, roll_deg=30), {})
    assert not is_level(_model(AROUND[:4]), {})
    assert not is_level(_model((0, 1, 2, 180, 181)), {})
