"""Similarity fits and ATE against a derivation of their own."""

import numpy as np
import pycolmap
import pytest

from sfm.errors import InputError
from sfm.evaluation.metrics import trajectory_error
from sfm.geometry.similarity import extent, fit_similarity, fit_similarity_robustly
from tests.model_agreement import compare_models


def test_a_mirrored_cloud_is_not_fitted_by_a_reflection():
    source = np.random.default_rng(0).normal(size=(10, 3))

    fit = fit_similarity(source, source * [1, 1, -1])

    assert fit is not None
    assert np.linalg.det(fit.rotation.matrix()) == pytest.approx(1.0)


@pytest.mark.parametrize("points", [np.zeros((2, 3)), np.full((5, 3), 7.0)])
def test_too_few_or_coinciding_points_give_no_fit(points):
    assert fit_similarity(points, np.random.default_rng(0).normal(size=points.shape)) is None


def test_strays_do_not_move_the_robust_fit():
    rng = np.random.default_rng(1)
    source = rng.normal(size=(20, 3))
    target = 2.0 * source + [1.0, 2.0, 3.0]
    target[:4] += 5 * rng.normal(size=(4, 3))

    fit = fit_similarity_robustly(source, target)

    assert fit is not None
    np.testing.assert_allclose(fit * source[4:], target[4:], atol=1e-3)


def test_ate_is_zero_in_any_frame_and_scale_and_uses_registered_photos_only(make_poses, transformed):
    true = make_poses(6)
    turn = pycolmap.Rotation3d(np.array([0.3, -1.0, 0.5]))
    moved = transformed(true, pycolmap.Sim3d(37.0, turn, np.array([5.0, -2.0, 100.0])))
    del moved["p3.jpg"]

    found = trajectory_error(moved, true, sorted(true))

    assert found is not None
    assert found.raw < 1e-9
    assert found.num_photos == 5


def test_extent_is_the_rms_distance_from_the_mean():
    assert extent(np.array([[0.0, 0, 0], [2, 0, 0]])) == pytest.approx(1.0)


def test_a_model_agrees_with_its_own_similarity(model):
    other = pycolmap.Reconstruction(model)
    other.transform(
        pycolmap.Sim3d(0.2, pycolmap.Rotation3d(np.array([0.1, 2.0, 0.3])), np.array([1.0, 2.0, 3.0]))
    )

    agreement = compare_models(model, other)

    assert len(agreement.common) == 8
    assert agreement.only_in_a == agreement.only_in_b == ()
    assert agreement.max_centre_difference < 1e-9
    assert agreement.max_rotation_difference_deg < 1e-6


def test_one_moved_and_turned_image_is_found_and_does_not_blur_the_others(model):
    other = pycolmap.Reconstruction(model)
    centres = np.array([model.image(i).projection_center() for i in model.reg_image_ids()])
    image = other.image(other.reg_image_ids()[0])
    turn = pycolmap.Rotation3d(np.radians(3.0) * np.array([0.0, 0.0, 1.0]))
    rotation = turn * image.cam_from_world().rotation
    centre = image.projection_center() + np.array([0.5 * extent(centres), 0, 0])
    image.frame.set_cam_from_world(image.camera_id, pycolmap.Rigid3d(rotation, -rotation.matrix() @ centre))

    agreement = compare_models(model, other)

    assert agreement.max_centre_difference == pytest.approx(0.5, abs=0.01)
    assert agreement.median_centre_difference < 1e-3
    assert agreement.max_rotation_difference_deg == pytest.approx(3.0, abs=0.05)


def test_images_of_one_model_only_are_named(model):
    other = pycolmap.Reconstruction(model)
    gone = other.image(other.reg_image_ids()[0])
    other.deregister_frame(gone.frame_id)

    agreement = compare_models(model, other)

    assert agreement.only_in_a == (gone.name,)
    assert agreement.only_in_b == ()


def test_models_without_common_images_cannot_be_compared(model):
    with pytest.raises(InputError, match="0 common photos"):
        compare_models(model, pycolmap.Reconstruction())
