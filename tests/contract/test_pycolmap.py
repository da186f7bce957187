"""What we rely on in pycolmap without its documentation saying so; these fail first when it changes."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pycolmap
import pytest

from sfm.config.schema import CameraModel

NUM_IMAGES = 6


@pytest.fixture
def database(tmp_path: Path) -> Iterator[pycolmap.Database]:
    """Six photos of one camera in a ring, all pairs verified."""
    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, NUM_IMAGES
    options.num_points3D = 200
    with pycolmap.Database.open(tmp_path / "database.db") as db:
        pycolmap.synthesize_dataset(options, db)
        yield db


def mapper_on(
    database: pycolmap.Database, model: pycolmap.Reconstruction
) -> tuple[pycolmap.IncrementalMapper, pycolmap.IncrementalMapperOptions]:
    options = pycolmap.IncrementalMapperOptions()
    options.random_seed, options.num_threads = 0, 1
    mapper = pycolmap.IncrementalMapper(
        pycolmap.DatabaseCache.create(database, pycolmap.DatabaseCacheOptions())
    )
    mapper.begin_reconstruction(model)
    return mapper, options


def start_from_first_pair(
    mapper: pycolmap.IncrementalMapper, options: pycolmap.IncrementalMapperOptions
) -> None:
    pose = mapper.estimate_initial_two_view_geometry(options, 1, 2)
    mapper.register_initial_image_pair(options, 1, 2, pose)


def triangulate(mapper: pycolmap.IncrementalMapper, *image_ids: int) -> None:
    for image_id in image_ids:
        mapper.triangulate_image(pycolmap.IncrementalTriangulatorOptions(), image_id)


def test_every_camera_model_can_be_named_in_the_options() -> None:
    assert set(get_args(CameraModel)) == set(pycolmap.CameraModelId.__members__) - {"INVALID"}


def test_registering_the_first_pair_takes_positions_and_triangulates_nothing(
    database: pycolmap.Database,
) -> None:
    model = pycolmap.Reconstruction()
    mapper, options = mapper_on(database, model)
    pose = mapper.estimate_initial_two_view_geometry(options, 1, 2)

    assert mapper.register_initial_image_pair(options, 1, 2, pose) is None

    assert sorted(model.reg_image_ids()) == [1, 2]
    assert model.num_points3D() == 0


def test_a_finished_model_holds_registered_photos_only_and_a_new_session_loads_the_rest(
    database: pycolmap.Database,
) -> None:
    model = pycolmap.Reconstruction()
    mapper, options = mapper_on(database, model)
    start_from_first_pair(mapper, options)
    assert model.num_images() == NUM_IMAGES

    mapper.end_reconstruction(False)
    assert model.num_images() == 2

    mapper_on(database, model)
    assert model.num_images() == NUM_IMAGES


def test_a_reopened_model_keeps_its_points_and_grows_on(database: pycolmap.Database) -> None:
    model = pycolmap.Reconstruction()
    mapper, options = mapper_on(database, model)
    start_from_first_pair(mapper, options)
    triangulate(mapper, 1, 2)
    mapper.end_reconstruction(False)
    points = set(model.point3D_ids())

    mapper, options = mapper_on(database, model)
    following = mapper.find_next_images(options, False)

    assert points
    assert set(model.point3D_ids()) == points
    assert mapper.register_next_image(options, following[0])


def test_the_cache_leaves_out_photos_without_pairs(database: pycolmap.Database) -> None:
    for other in range(2, NUM_IMAGES + 1):
        database.delete_two_view_geometry(1, other)

    cache = pycolmap.DatabaseCache.create(database, pycolmap.DatabaseCacheOptions())

    assert sorted(cache.images) == list(range(2, NUM_IMAGES + 1))


def test_trials_of_a_photo_are_counted_and_more_than_the_limit_not_offered(
    database: pycolmap.Database,
) -> None:
    model = pycolmap.Reconstruction()
    mapper, options = mapper_on(database, model)
    start_from_first_pair(mapper, options)
    triangulate(mapper, 1, 2)
    options.abs_pose_max_error = 1e-9
    mapper.register_next_image(options, 3)

    options.max_reg_trials = 1
    assert 3 not in mapper.find_next_images(options, False)
    options.max_reg_trials = 2
    assert 3 in mapper.find_next_images(options, False)


def test_a_copied_model_is_independent(database: pycolmap.Database) -> None:
    model = pycolmap.Reconstruction()
    mapper, options = mapper_on(database, model)
    start_from_first_pair(mapper, options)
    mapper.end_reconstruction(False)

    copied = copy.deepcopy(model)
    copied.frame(copied.image(1).frame_id).rig_from_world = pycolmap.Rigid3d(
        pycolmap.Rotation3d(), np.array([9.0, 0, 0])
    )

    assert copied.image(1).cam_from_world().translation[0] == 9
    assert model.image(1).cam_from_world().translation[0] == 0


def test_the_robust_similarity_comes_as_a_mapping() -> None:
    source = np.random.default_rng(0).normal(size=(20, 3))

    found = pycolmap.estimate_sim3d_robust(source, 2 * source, pycolmap.RANSACOptions())

    assert found["num_inliers"] == 20
    assert found["tgt_from_src"].scale == pytest.approx(2)


def test_a_similarity_takes_a_pose_into_its_target_frame() -> None:
    tgt_from_src = pycolmap.Sim3d(2.0, pycolmap.Rotation3d(), np.array([1.0, 0, 0]))
    cam_from_src = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0, 0, -3.0]))  # camera at z = 3

    cam_from_tgt = tgt_from_src.transform_camera_world(cam_from_src)

    assert np.allclose(cam_from_tgt.inverse().translation, [1, 0, 6])
