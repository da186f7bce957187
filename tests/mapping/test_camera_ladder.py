"""The ladder of camera models: priors of their parameters, and one model as a richer one."""

import numpy as np
import pycolmap
import pytest

from sfm.mapping.scene.camera_models import LADDERS, as_model, freedom, prior_of

from .lenses import (
    FOCAL,
    HEIGHT,
    RICH,
    SHIFT,
    WIDTH,
    adjustment,
    opencv,
)


def test_a_prior_is_of_the_spread_of_real_lenses() -> None:
    mean, covariance = prior_of(opencv(shift=SHIFT, aspect=0.01, distortion=RICH))

    assert np.allclose(mean, [FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, RICH[0], 0, 0, 0])
    corner = np.hypot(WIDTH, HEIGHT) / 2 / FOCAL
    assert np.sqrt(covariance[5, 5]) * corner**4 == pytest.approx(0.03)  # of its distance from the middle
    aspect = np.array([1, -1]) / FOCAL
    # Cauchy's: where pixels are not square, all aspects are nearly as likely.
    assert np.sqrt(aspect @ covariance[:2, :2] @ aspect) == pytest.approx(np.hypot(0.003, 0.01), rel=1e-3)
    square = prior_of(opencv(shift=SHIFT, distortion=RICH))[1]
    assert np.sqrt(aspect @ square[:2, :2] @ aspect) == pytest.approx(0.003, rel=1e-4)
    assert np.sqrt(np.diagonal(covariance)[2:4]) == pytest.approx([0.01 * WIDTH] * 2)


@pytest.mark.parametrize(("poorest", "model"), [(one[0], model) for one in LADDERS for model in one])
def test_a_richer_model_projects_as_before(poorest: str, model: str) -> None:
    poor = pycolmap.Camera(model=poorest, width=100, height=80, params=[90, 50, 40, -0.1])
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3)) + np.array([0.0, 0, 3])

    wide = as_model(poor, model)
    could = freedom(poor, adjustment(), richest=model, principal_point=True)

    assert wide.model_name == could.camera.model_name == model
    assert np.allclose(wide.img_from_cam(points), poor.img_from_cam(points), atol=1e-12)
    assert could.directions.shape == (len(wide.params), len(could.names))
    assert np.linalg.matrix_rank(could.directions) == len(could.names)
