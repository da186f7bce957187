from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.mapping.cameras.focal import estimate_focal_lengths

TRUE_FOCAL_PX, GUESS_PX = 700.0, 1229.0


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Eight photos, 0.1 % noise in their fundamental matrices; the camera's focal length is a wrong guess.

    The photos don't look at one point: two views whose axes meet say nothing of the focal length.
    """
    rng = np.random.default_rng(3)
    k_inverse = np.linalg.inv([[TRUE_FOCAL_PX, 0, 512], [0, TRUE_FOCAL_PX, 384], [0, 0, 1]])
    poses = [
        pycolmap.Rigid3d(pycolmap.Rotation3d(rng.normal(scale=0.25, size=3)), rng.normal(size=3))
        for _ in range(8)
    ]
    path = tmp_path / "database.db"
    with pycolmap.Database.open(path) as db:
        camera = pycolmap.Camera.create_from_model_id(
            1, pycolmap.CameraModelId.SIMPLE_PINHOLE, GUESS_PX, 1024, 768
        )
        db.write_camera(camera, use_camera_id=True)
        for image_id in range(1, 9):
            image = pycolmap.Image(name=f"{image_id}.jpg", camera_id=1, image_id=image_id)
            db.write_image(image, use_image_id=True)
        for a, b in combinations(range(8), 2):
            b_from_a = poses[b] * poses[a].inverse()
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = 3
            f = k_inverse.T @ skew(b_from_a.translation) @ b_from_a.rotation.matrix() @ k_inverse
            geometry.F = f / np.linalg.norm(f) * (1 + rng.normal(scale=1e-3, size=(3, 3)))
            geometry.inlier_matches = np.tile(np.arange(50, dtype=np.uint32)[:, None], 2)
            db.write_two_view_geometry(a + 1, b + 1, geometry)
    return path


def skew(t: np.ndarray) -> np.ndarray:
    return np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])


def test_a_shared_focal_length_comes_out_of_the_fundamental_matrices(database: Path) -> None:
    assert estimate_focal_lengths(database, seed=0) == {1: pytest.approx(TRUE_FOCAL_PX, rel=0.03)}


def test_a_focal_length_from_exif_is_left_alone(database: Path) -> None:
    with pycolmap.Database.open(database) as db:
        camera = db.read_camera(1)
        camera.has_prior_focal_length = True
        db.update_camera(camera)

    assert estimate_focal_lengths(database, seed=0) == {}


def test_without_pairs_nothing_is_estimated(database: Path) -> None:
    with pycolmap.Database.open(database) as db:
        db.clear_two_view_geometries()

    assert estimate_focal_lengths(database, seed=0) == {}
