"""How far photos moved does not hang on the frame of either model."""

import copy

import numpy as np
import pycolmap
import pytest

from sfm.mapping.measures.shifts import camera_centres, median_shift


@pytest.fixture
def model() -> pycolmap.Reconstruction:
    pycolmap.set_random_seed(3)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 12, 50
    return pycolmap.synthesize_dataset(options)


def test_another_frame_is_no_motion(model: pycolmap.Reconstruction) -> None:
    moved = copy.deepcopy(model)
    moved.transform(pycolmap.Sim3d(3.0, pycolmap.Rotation3d(np.array([0.1, 0.2, 0.3])), np.ones(3)))

    assert median_shift(camera_centres(model), camera_centres(moved)) < 1e-12


def test_the_median_is_relative_to_the_extent(model: pycolmap.Reconstruction) -> None:
    bent = copy.deepcopy(model)
    extent = float(np.linalg.norm(np.ptp([i.projection_center() for i in model.images.values()], axis=0)))
    for number, image_id in enumerate(sorted(bent.reg_image_ids())):
        image = bent.image(image_id)
        shift = image.cam_from_world().rotation.matrix() @ np.full(3, 0.01 * extent * (-1) ** number)
        pose = image.cam_from_world()
        bent.frame(image.frame_id).set_cam_from_world(
            image.camera_id, pycolmap.Rigid3d(pose.rotation, pose.translation + shift)
        )

    # sqrt(3) % but for what a similarity takes up
    assert 0.01 < median_shift(camera_centres(model), camera_centres(bent)) < 0.02


def test_few_common_photos_tell_nothing(model: pycolmap.Reconstruction) -> None:
    few = copy.deepcopy(model)
    for image_id in sorted(few.reg_image_ids())[3:]:
        few.deregister_frame(few.image(image_id).frame_id)

    assert median_shift(camera_centres(model), camera_centres(few)) == 0.0
