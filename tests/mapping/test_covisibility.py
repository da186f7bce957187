"""Which photos see the same points, told from poses: photos in front of a wall of points, built by hand."""

import numpy as np
import pycolmap
import pytest

from retrieval import Pair
from sfm.mapping.measures.covisibility import predicted_overlaps

WIDTH, HEIGHT, FOCAL = 640, 480, 500.0


def wall(depth: float, low: float, high: float) -> np.ndarray:
    """Points (n, 3) on a grid in the plane z = depth, x from low to high."""
    x, y = np.meshgrid(np.arange(low, high, 0.25), np.arange(-2, 2, 0.25))
    return np.column_stack((x.ravel(), y.ravel(), np.full(x.size, depth)))


def model_of(views: dict[str, tuple[pycolmap.Rigid3d, np.ndarray]]) -> pycolmap.Reconstruction:
    """A model in which each photo observes those of its points that it sees; equal points are one."""
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(
            camera_id=1, model="PINHOLE", width=WIDTH, height=HEIGHT, params=[FOCAL, FOCAL, 320, 240]
        )
    )
    camera = model.camera(1)
    tracks: dict[tuple[float, ...], pycolmap.Track] = {}
    for image_id, (name, (pose, points)) in enumerate(sorted(views.items()), start=1):
        in_cam = pose * points
        front = in_cam[:, 2] > 0
        xy = camera.img_from_cam(in_cam[front])
        seen = ((xy >= 0) & (xy < (WIDTH, HEIGHT))).all(axis=1)
        image = pycolmap.Image(
            name=name, camera_id=1, image_id=image_id, points2D=[pycolmap.Point2D(p) for p in xy[seen]]
        )
        model.add_image_with_trivial_frame(image, pose)
        for index, point in enumerate(points[front][seen]):
            tracks.setdefault(tuple(point), pycolmap.Track()).add_element(image_id, index)
    for xyz, track in tracks.items():
        model.add_point3D(np.array(xyz), track, np.zeros(3, np.uint8))
    return model


def at(x: float, z: float = 0.0, turn_deg: float = 0.0) -> pycolmap.Rigid3d:
    """A camera at (x, 0, z) that looks along z, turned about the vertical axis."""
    rotation = pycolmap.Rotation3d(np.array([0.0, np.deg2rad(turn_deg), 0.0]))
    return pycolmap.Rigid3d(rotation, -(rotation.matrix() @ np.array([x, 0.0, z])))


def test_photos_that_see_the_same_wall_overlap_the_more_the_nearer_they_are() -> None:
    points = wall(5.0, -3, 12)
    overlaps = predicted_overlaps(model_of({f"{i}": (at(1.5 * i), points) for i in range(5)}))

    assert overlaps[Pair("0", "1")] > 0.6 > overlaps[Pair("0", "2")] > 0.2
    assert Pair("0", "4") not in overlaps


def test_a_photo_that_observes_other_points_still_overlaps() -> None:
    """What no pair says: the two photos share not a single point of the model."""
    points = wall(5.0, -3, 3)
    overlaps = predicted_overlaps(model_of({"a": (at(0), points[::2]), "b": (at(1), points[1::2])}))

    assert overlaps[Pair("a", "b")] > 0.5


def test_what_lies_behind_a_wall_is_not_predicted() -> None:
    """One photo from inside a courtyard, one of the wall around it from outside."""
    front, behind = wall(5.0, -3, 3), wall(9.0, -3, 3)

    hidden = predicted_overlaps(model_of({"in": (at(0, 4.0 + 1.5), behind), "out": (at(0), front)}))
    open_ = predicted_overlaps(model_of({"in": (at(0, 4.0 + 1.5), behind), "out": (at(0), behind)}))

    assert Pair("in", "out") not in hidden
    assert open_[Pair("in", "out")] > 0.2


@pytest.mark.parametrize("turn_deg", [90, 180])
def test_photos_that_look_away_do_not_overlap(turn_deg: float) -> None:
    sides = wall(5.0, -3, 3), np.array([[p[2], p[1], p[0]] for p in wall(5.0, -3, 3)]), wall(-5.0, -3, 3)
    every = np.concatenate([*sides, sides[1] * (-1, 1, 1)])

    assert predicted_overlaps(model_of({"a": (at(0), every), "b": (at(0.5, 0, turn_deg), every)})) == {}


def test_models_of_one_photo_or_none_overlap_nothing() -> None:
    assert predicted_overlaps(pycolmap.Reconstruction()) == {}
    assert predicted_overlaps(model_of({"a": (at(0), wall(5.0, -3, 3))})) == {}
