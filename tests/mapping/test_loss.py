import numpy as np
import pycolmap
import pytest

from sfm.config.schema import RefineConfig
from sfm.mapping.cameras.loss import is_robust, with_fitting_loss

from .lenses import NOISE_PX, adjusted, adjustment, cloud, freed, opencv, photographed, ring


def scene(seed: int, *, heavy: bool) -> tuple[pycolmap.Reconstruction, list[pycolmap.Rigid3d]]:
    """A model by least squares, of Gaussian noise, or of one that is several times larger now and then."""
    rng = np.random.default_rng(seed)
    poses, points = ring(10, rng), cloud(300, rng)
    noise = rng.normal(scale=NOISE_PX, size=(10, 300, 2))
    if heavy:
        noise *= np.where(rng.random((10, 300, 1)) < 0.1, 6.0, 1.0)
    return adjusted(photographed([opencv()] * 10, poses, points, noise)), poses


def turn_error_deg(model: pycolmap.Reconstruction, poses: list[pycolmap.Rigid3d]) -> float:
    """Mean error of the photos' rotations relative to the first."""
    found = [model.image(i).cam_from_world() for i in sorted(model.reg_image_ids())]
    errors = []
    for one, true in zip(found[1:], poses[1:], strict=True):
        left = (one * found[0].inverse()).rotation * (true * poses[0].inverse()).rotation.inverse()
        errors.append(np.rad2deg(left.angle()))
    return float(np.mean(errors))


@pytest.mark.parametrize("seed", range(4))
def test_gaussian_residuals_keep_least_squares_and_heavy_tails_do_not(seed: int) -> None:
    plain, heavy = (scene(seed, heavy=heavy)[0] for heavy in (False, True))

    assert not is_robust(with_fitting_loss(adjustment(), plain, "evidence"))
    found = with_fitting_loss(adjustment(), heavy, "evidence")
    assert is_robust(found)
    assert 1.5 * NOISE_PX < found.ceres.loss_function_scale < 3 * NOISE_PX


def test_the_user_can_decide_on_the_loss() -> None:
    (plain, _), (heavy, poses) = (scene(0, heavy=heavy) for heavy in (False, True))

    assert is_robust(with_fitting_loss(adjustment(), plain, "CAUCHY"))
    assert not is_robust(with_fitting_loss(adjustment(), heavy, "TRIVIAL"))
    (left, _), (moved, _) = (freed(heavy, RefineConfig(loss_function=loss)) for loss in ("TRIVIAL", "CAUCHY"))
    assert turn_error_deg(moved, poses) != turn_error_deg(left, poses)


def test_poses_come_out_better_where_tails_are_heavy() -> None:
    ratios = []
    for seed in range(6):
        model, poses = scene(seed, heavy=True)
        robust, _ = freed(model, RefineConfig())
        ratios.append(turn_error_deg(robust, poses) / turn_error_deg(model, poses))

    assert np.median(ratios) < 0.8


def test_a_model_without_observations_is_left_to_least_squares() -> None:
    assert not is_robust(with_fitting_loss(adjustment(), pycolmap.Reconstruction(), "evidence"))
