from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.mapping import WrongFocalLength, find_wrong_focal_lengths

from .running import run

NUM_POINTS = 400
ZOOMED = 6


def photograph(path: Path, *, zoom: float) -> Path:
    """Eight photos that claim one camera of unknown focal length; one of them was taken with `zoom`."""
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-1, 1, size=(NUM_POINTS, 3)) * (1.5, 1, 1.5)
    with pycolmap.Database.open(path) as db:
        camera = pycolmap.Camera.create_from_model_id(
            1, pycolmap.CameraModelId.SIMPLE_RADIAL, 900.0, 1024, 768
        )
        db.write_camera(camera, use_camera_id=True)
        for image_id in range(1, 9):
            lens = pycolmap.Camera.create_from_model_id(
                1, pycolmap.CameraModelId.SIMPLE_RADIAL, 1000 * (zoom if image_id == ZOOMED else 1), 1024, 768
            )
            pose = pycolmap.Rigid3d(
                pycolmap.Rotation3d(np.array([0.05 * (image_id % 3), 0.15 * image_id - 0.6, 0])),
                np.array([0.1, 0.05, 6 + 0.1 * image_id]),
            )
            xy = lens.img_from_cam(pose * xyz) + rng.normal(scale=0.3, size=(NUM_POINTS, 2))
            image = pycolmap.Image(name=f"{image_id}.jpg", camera_id=1, image_id=image_id)
            db.write_image(image, use_image_id=True)
            db.write_keypoints(image_id, xy.astype(np.float32))
        for pair in combinations(range(1, 9), 2):
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = 3
            geometry.inlier_matches = np.tile(np.arange(NUM_POINTS, dtype=np.uint32)[:, None], 2)
            db.write_two_view_geometry(*pair, geometry)
    return path


def foreign(database: Path, fixed_cameras: frozenset[int] = frozenset()) -> list[WrongFocalLength]:
    models = run(database, fixed_cameras=fixed_cameras).models
    assert models
    return find_wrong_focal_lengths(database, models, fixed_cameras=fixed_cameras, seed=0)


@pytest.mark.parametrize("zoom", [1.35, 1.7])
def test_a_zoomed_photo_contradicts_the_shared_focal_length(tmp_path: Path, zoom: float) -> None:
    (photo,) = foreign(photograph(tmp_path / "database.db", zoom=zoom))

    assert photo.name == f"{ZOOMED}.jpg"
    assert photo.focal_px == pytest.approx(1000 * zoom, rel=0.05)
    assert photo.error_px < photo.error_shared_px


def test_photos_of_one_lens_stay_together(tmp_path: Path) -> None:
    assert foreign(photograph(tmp_path / "database.db", zoom=1.0)) == []


def test_intrinsics_that_the_user_gave_are_not_questioned(tmp_path: Path) -> None:
    assert foreign(photograph(tmp_path / "database.db", zoom=1.7), frozenset({1})) == []
