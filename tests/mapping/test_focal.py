"""First guesses of focal lengths, by matches and the prior of lenses."""

from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap
import pytest

from sfm.mapping.cameras.focal import likely_focal_lengths
from sfm.mapping.scene.scene import Scene

WIDTH, HEIGHT = 1024, 768
TRUE_FOCAL_PX, DEFAULT_PX = 700.0, 1.2 * WIDTH
NUM_IMAGES = 8

Array = npt.NDArray[np.float64]


def turned(rng: np.random.Generator) -> list[pycolmap.Rigid3d]:
    """Photos from anywhere in a room, that do not look at one point: they determine the focal length."""
    return [
        pycolmap.Rigid3d(pycolmap.Rotation3d(rng.normal(scale=0.15, size=3)), rng.normal(size=3))
        for _ in range(NUM_IMAGES)
    ]


def forward(_: np.random.Generator) -> list[pycolmap.Rigid3d]:
    """Frames of a drive, straight on: they fit nearly any focal length."""
    return [pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0, 0, -0.3 * i])) for i in range(NUM_IMAGES)]


def write(path: Path, poses: list[pycolmap.Rigid3d], rng: np.random.Generator, *, has_prior: bool) -> Scene:
    """Half a pixel of noise; the camera's focal length is COLMAP's for photos that say nothing."""
    points = rng.uniform((-4, -3, 4), (4, 3, 12), (4000, 3))
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", DEFAULT_PX, WIDTH, HEIGHT)
    camera.has_prior_focal_length = has_prior
    truth = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", TRUE_FOCAL_PX, WIDTH, HEIGHT)
    seen: list[Array] = []
    with pycolmap.Database.open(path) as db:
        db.write_camera(camera, use_camera_id=True)
        for image_id, pose in enumerate(poses, 1):
            in_camera = pose * points
            xy = np.asarray(truth.img_from_cam(in_camera)) + rng.normal(scale=0.5, size=(len(points), 2))
            seen.append((in_camera[:, 2] > 1) & np.all((xy > 0) & (xy < (WIDTH, HEIGHT)), axis=1))
            db.write_image(
                pycolmap.Image(name=f"{image_id}.jpg", camera_id=1, image_id=image_id), use_image_id=True
            )
            db.write_keypoints(image_id, np.nan_to_num(xy).astype(np.float32))
        for a, b in combinations(range(len(poses)), 2):
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = 3
            both = np.flatnonzero(seen[a] & seen[b]).astype(np.uint32)
            geometry.inlier_matches = np.column_stack((both, both))
            db.write_two_view_geometry(a + 1, b + 1, geometry)
    return Scene.open(path)


@pytest.mark.parametrize("seed", range(3))
def test_photos_that_turn_determine_the_focal_length(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = write(tmp_path / "database.db", turned(rng), rng, has_prior=False)

    assert likely_focal_lengths(scene, seed=0)[1].px == pytest.approx(TRUE_FOCAL_PX, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_straight_on_the_prior_of_lenses_decides(tmp_path: Path, seed: int) -> None:
    """Focal lengths of fundamental matrices agreed on 3.7 times the longer side on frames of a drive."""
    rng = np.random.default_rng(seed)
    scene = write(tmp_path / "database.db", forward(rng), rng, has_prior=False)

    (found,) = likely_focal_lengths(scene, seed=0).values()

    assert 0.6 * WIDTH < found.px < 1.3 * WIDTH
    assert found.is_open


def test_a_focal_length_from_exif_is_left_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    assert not likely_focal_lengths(write(tmp_path / "database.db", turned(rng), rng, has_prior=True), seed=0)


def test_the_lens_of_a_turned_phone_stays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "database.db"
    known = likely_focal_lengths(write(path, turned(rng), rng, has_prior=False), seed=0)
    with pycolmap.Database.open(path) as db:
        for camera_id, size in enumerate([(HEIGHT, WIDTH), (HEIGHT, WIDTH), (HEIGHT, 900)], 2):
            focal_px = 1.1 * DEFAULT_PX if camera_id == 3 else 1.2 * max(size)  # one was found to be zoomed
            camera = pycolmap.Camera.create_from_model_name(camera_id, "SIMPLE_PINHOLE", focal_px, *size)
            db.write_camera(camera, use_camera_id=True)
            image = pycolmap.Image(
                name=f"turned {camera_id}.jpg", camera_id=camera_id, image_id=10 + camera_id
            )
            db.write_image(image, use_image_id=True)
            db.write_keypoints(10 + camera_id, db.read_keypoints(1))
            geometry = db.read_two_view_geometry(1, 2)
            db.write_two_view_geometry(1, 10 + camera_id, geometry)

    assert likely_focal_lengths(Scene.open(path), seed=0) == {**known, 2: known[1]}


def test_without_enough_pairs_nothing_is_guessed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    assert not likely_focal_lengths(
        write(tmp_path / "database.db", turned(rng)[:2], rng, has_prior=False), seed=0
    )
