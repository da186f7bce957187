"""Standard deviations of poses, held against the scatter of the same scene under fresh noise."""

import copy
from collections.abc import Set

import numpy as np
import pycolmap
import pytest
from numpy.typing import NDArray

from sfm.diagnosis import pose_covariance
from sfm.diagnosis.pose_covariance import PoseSigma, pose_sigmas

from .strip import forget_scale_and_bend

_NOISE_PX = 0.7


@pytest.fixture(scope="module")
def truth() -> pycolmap.Reconstruction:
    pycolmap.set_random_seed(1)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, 8
    options.num_points3D, options.camera_params = 60, [1280.0, 512.0, 384.0, 0.05]
    return pycolmap.synthesize_dataset(options)


def adjusted(
    truth: pycolmap.Reconstruction, seed: int, noise_px: float = _NOISE_PX
) -> pycolmap.Reconstruction:
    """The true model adjusted to noisy observations."""
    rng, model = np.random.default_rng(seed), copy.deepcopy(truth)
    for image_id in sorted(model.reg_image_ids()):
        for point in model.image(image_id).points2D:
            point.xy = point.xy + rng.normal(size=2) * noise_px
    forget_scale_and_bend(model)
    return model


def sigmas_of(model: pycolmap.Reconstruction, cropped: Set[int] = frozenset()) -> dict[str, PoseSigma]:
    squares = 0.0
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        for point in image.get_observation_points2D():
            projected = image.project_point(model.point3D(point.point3D_id).xyz)
            squares += float(np.sum((projected - point.xy) ** 2))
    options = pycolmap.BundleAdjustmentOptions()
    found, why = pose_sigmas(
        model, options, fixed_cameras=set(), cropped_cameras=cropped, sum_of_squares=squares
    )
    assert not why
    return dict(found)


def errors(model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction) -> NDArray[np.float64]:
    """Distance of each centre and angle (deg) of each rotation to the truth after a fit, (N, 2)."""
    ids = sorted(truth.reg_image_ids())
    true = np.array([truth.image(i).projection_center() for i in ids])
    fit = pycolmap.estimate_sim3d(np.array([model.image(i).projection_center() for i in ids]), true)
    assert fit is not None
    found = []
    for image_id, centre in zip(ids, true, strict=True):
        image = model.image(image_id)
        off = np.linalg.norm(fit * image.projection_center() - centre)
        back = fit.rotation.inverse() * truth.image(image_id).cam_from_world().rotation.inverse()
        turn = (image.cam_from_world().rotation * back).angle()
        found.append((float(off), float(np.rad2deg(turn))))
    return np.array(found)


def test_poses_of_crops_are_less_certain(truth: pycolmap.Reconstruction) -> None:
    """Where a principal point may lie anywhere, a rotation is hardly told from its shift."""
    model = adjusted(truth, 0)

    given, cropped = sigmas_of(model), sigmas_of(model, set(model.cameras))

    ratio = np.array([cropped[name].rotation_deg / given[name].rotation_deg for name in given])
    assert np.all(ratio > 1)
    assert sigmas_of(model, {99}) == given


def test_they_are_the_scatter_under_fresh_noise(truth: pycolmap.Reconstruction) -> None:
    models = [adjusted(truth, seed) for seed in range(40)]

    scatter = np.sqrt(np.mean([errors(model, truth) ** 2 for model in models], axis=0))
    told = np.mean(
        [[(s.position, s.rotation_deg) for _, s in sorted(sigmas_of(m).items())] for m in models], 0
    )

    # 40 runs tell a root mean square of 8 photos to a few per cent, that of one photo to a fifth
    assert np.sqrt(np.mean(told**2, 0)) == pytest.approx(np.sqrt(np.mean(scatter**2, 0)), rel=0.1)
    assert told == pytest.approx(scatter, rel=0.4)


def test_they_scale_with_the_model_and_do_not_depend_on_its_place(truth: pycolmap.Reconstruction) -> None:
    model = adjusted(truth, 0)
    before = sigmas_of(model)
    turn = pycolmap.Rotation3d(np.array([0.3, -1.2, 0.4]))
    model.transform(pycolmap.Sim3d(70.0, turn, np.array([500.0, -300.0, 40.0])))

    after = sigmas_of(model)

    for name, sigma in before.items():
        assert after[name].position == pytest.approx(70 * sigma.position, rel=1e-3)
        assert after[name].rotation_deg == pytest.approx(sigma.rotation_deg, rel=1e-3)


def test_a_photo_with_fewer_points_is_less_sure(truth: pycolmap.Reconstruction) -> None:
    model = adjusted(truth, 0)
    weak = min(model.reg_image_ids())
    for index, point in enumerate(model.image(weak).points2D):
        if index >= 12 and point.has_point3D():
            model.delete_observation(weak, index)

    sigmas = sigmas_of(model)

    others = [sigma for name, sigma in sigmas.items() if name != model.image(weak).name]
    assert sigmas[model.image(weak).name].position > 1.5 * max(sigma.position for sigma in others)


def test_large_models_and_rigs_have_none_and_say_so(
    truth: pycolmap.Reconstruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = pycolmap.BundleAdjustmentOptions()

    def why(model: pycolmap.Reconstruction) -> str:
        found, reason = pose_sigmas(model, options, fixed_cameras=set(), sum_of_squares=1.0)
        assert not found
        return reason

    rig = pycolmap.SyntheticDatasetOptions()
    rig.num_rigs, rig.num_cameras_per_rig, rig.num_frames_per_rig = 1, 2, 4
    assert why(pycolmap.synthesize_dataset(rig)) == "the cameras of a rig move together"
    assert why(pycolmap.Reconstruction()) == "fewer than 3 photos"
    monkeypatch.setattr(pose_covariance, "MAX_LINKS", 100)
    assert "too many photos each" in why(truth)
    monkeypatch.setattr(pose_covariance, "MAX_PHOTOS", 7)
    assert why(truth) == "more than 7 photos: would take too long"
