"""Models of a camera that turns about a point near itself, and of the opposite motion."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap
import pytest

from sfm.mapping.cameras.focal import likely_focal_lengths
from sfm.mapping.growing.reversed_motion import reversed_motion
from sfm.mapping.growing.submodels import MappingContext, Submodel, why_dropped
from sfm.mapping.measures.pure_rotation import why_pure_rotation
from sfm.mapping.scene.scene import Scene

from .running import run, seeds, workbench

WIDTH, HEIGHT = 480, 270
FOCAL_PX = 400.0
NUM_IMAGES = 60
NOISE_PX = 0.7
CONFIG = pycolmap.TwoViewGeometryConfiguration

Array = npt.NDArray[np.float64]


def looking_out(angle: float) -> pycolmap.Rigid3d:
    """From a circle of 0.7 m, away from its middle."""
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[s, -c, 0.0], [0.0, 0.0, -1.0], [c, s, 0.0]])
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ np.array([0.7 * c, 0.7 * s, 0.0]))


def write(path: Path, rng: np.random.Generator, *, is_planar: bool = False) -> Path:
    """A video of a room, once round: each frame is matched with the six after it."""
    angle, height = rng.uniform(0, 2 * np.pi, 6000), rng.uniform(-1.5, 1.5, 6000)
    reach = 3 / np.maximum(np.abs(np.cos(angle)), np.abs(np.sin(angle))) * rng.choice([1.0, 0.8], 6000)
    points = np.column_stack((reach * np.cos(angle), reach * np.sin(angle), height))
    truth = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", FOCAL_PX, WIDTH, HEIGHT)
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", 1.2 * WIDTH, WIDTH, HEIGHT)
    seen: list[Array] = []
    with pycolmap.Database.open(path) as db:
        db.write_camera(camera, use_camera_id=True)
        for number in range(NUM_IMAGES):
            in_camera = looking_out(2 * np.pi * number / NUM_IMAGES) * points
            xy = np.asarray(truth.img_from_cam(in_camera)) + rng.normal(scale=NOISE_PX, size=(len(points), 2))
            within = np.all((xy > 0) & (xy < (WIDTH, HEIGHT)), axis=1)
            seen.append((in_camera[:, 2] > 0.5) & within & (rng.random(len(points)) < 0.7))
            image = pycolmap.Image(name=f"{number:02d}.jpg", camera_id=1, image_id=number + 1)
            db.write_image(image, use_image_id=True)
            db.write_keypoints(number + 1, np.nan_to_num(xy).astype(np.float32))
        for a in range(NUM_IMAGES):
            for b in ((a + step) % NUM_IMAGES for step in range(1, 7)):
                both = np.flatnonzero(seen[a] & seen[b]).astype(np.uint32)
                geometry = pycolmap.TwoViewGeometry()
                geometry.config = int(CONFIG.PLANAR_OR_PANORAMIC if is_planar else CONFIG.UNCALIBRATED)
                geometry.inlier_matches = np.column_stack((both, both))
                db.write_two_view_geometry(a + 1, b + 1, geometry)
    return path


def test_a_model_that_lost_its_images_has_no_opposite_motion(tmp_path: Path) -> None:
    """Adjusting drops images, as those of a burst, which hardly move."""
    context = workbench(write(tmp_path / "database.db", np.random.default_rng(0)))

    assert reversed_motion(context, pycolmap.Reconstruction()) is None


@seeds(7, 0, 1, 4)
def test_the_motion_of_a_turning_camera_is_not_reversed(tmp_path: Path, seed: int) -> None:
    """From the likeliest focal length by pairs, adjustments ended in 610 px and the opposite motion."""
    path = write(tmp_path / "database.db", np.random.default_rng(seed))
    likely = likely_focal_lengths(Scene.open(path), seed=0)

    (model,) = run(path).models

    assert likely[1].is_open == (seed != 7)  # pairs do not say so of every such video
    assert likely[1].px > 1.3 * FOCAL_PX
    assert model.num_reg_images() == NUM_IMAGES
    assert model.camera(1).mean_focal_length() == pytest.approx(FOCAL_PX, rel=0.05)
    poses = [model.image(image_id).cam_from_world() for image_id in model.reg_image_ids()]
    centres = np.array([pose.inverse().translation for pose in poses])
    axes = np.array([pose.rotation.matrix()[2] for pose in poses])
    assert np.all(np.sum((centres - centres.mean(axis=0)) * axes, axis=1) > 0)


def model_of(
    path: Path, poses: list[pycolmap.Rigid3d], points: Array
) -> tuple[MappingContext, pycolmap.Reconstruction]:
    """A model at these poses of points that all see, and what it is mapped in."""
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", FOCAL_PX, WIDTH, HEIGHT)
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(camera)
    with pycolmap.Database.open(path) as db:
        db.write_camera(camera, use_camera_id=True)
        for number, pose in enumerate(poses, start=1):
            xy = np.asarray(camera.img_from_cam(pose * points))
            image = pycolmap.Image(name=f"{number:02d}.jpg", camera_id=1, image_id=number)
            db.write_image(image, use_image_id=True)
            image.points2D = pycolmap.Point2DList([pycolmap.Point2D(one) for one in xy])
            model.add_image_with_trivial_frame(image, pose)
    for row, point in enumerate(points):
        track = pycolmap.Track()
        for number in range(1, len(poses) + 1):
            track.add_element(number, row)
        model.add_point3D(point, track, np.zeros(3, np.uint8))
    return replace(workbench(path), unknown_focal=frozenset({1})), model


def test_the_reversal_of_a_reversal_is_where_it_began(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(3, 5, 40), rng.uniform(-0.4, 0.4, (40, 2))])
    poses = [looking_out(angle) for angle in (-0.1, 0.0, 0.1)]
    context, model = model_of(tmp_path / "database.db", poses, points)

    once = reversed_motion(context, model)
    assert once is not None
    twice = reversed_motion(context, once)

    assert twice is not None
    ratio = 0.7 / (np.median(points[:, 0]) - 0.7)
    expected = FOCAL_PX * (1 + ratio) / (1 - ratio)
    assert once.camera(1).mean_focal_length() == pytest.approx(expected, rel=0.02)
    assert twice.camera(1).mean_focal_length() == pytest.approx(FOCAL_PX, rel=0.1)
    assert once.num_points3D() == twice.num_points3D() == 40
    middle = np.mean([pose.inverse().translation for pose in poses], axis=0)
    for image_id in (1, 2, 3):
        before, between, after = (m.image(image_id).projection_center() for m in (model, once, twice))
        assert after == pytest.approx(before)
        assert between - middle == pytest.approx(middle - before)


def test_cameras_that_do_not_turn_and_those_around_an_object_have_no_reversal(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (40, 3))
    ahead = [pycolmap.Rigid3d(looking_out(0.0).rotation, [0.3 * k, 0.0, 4.0]) for k in range(3)]
    around = [pycolmap.Rigid3d(looking_out(a).rotation, [0.0, 0.0, 4.0]) for a in (0.0, 0.5, 1.0)]
    for name, poses in (("ahead.db", ahead), ("around.db", around)):
        context, model = model_of(tmp_path / name, poses, points)
        assert reversed_motion(context, model) is None


def test_a_model_is_asked_for_parallax_once_it_is_adjusted(tmp_path: Path) -> None:
    """The errors of its poses are as large as its parallax."""
    rng = np.random.default_rng(0)
    path = write(tmp_path / "database.db", rng, is_planar=True)
    (model,) = run(path).models
    context, rough = workbench(path), copy.deepcopy(model)
    extent = np.std([model.image(i).projection_center() for i in model.reg_image_ids()], axis=0).max()
    for image_id in rough.reg_image_ids():
        image = rough.image(image_id)
        pose = image.cam_from_world()
        moved = pycolmap.Rigid3d(pose.rotation, pose.translation + rng.normal(0, 0.3 * extent, 3))
        rough.frame(image.frame_id).set_cam_from_world(image.camera_id, moved)

    assert why_pure_rotation(context.scene, rough)
    assert not why_dropped(context, Submodel.of(context.scene.with_all_keypoints(rough)))
