"""Intrinsics that can be those of a lens; long lenses have large coefficients of distortion."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.cameras.plausible import plausible
from sfm.mapping.scene.colmap_mappers import global_options
from sfm.mapping.scene.options import mapper_options

from . import hostile, synthetic
from .running import run

_SIZE = {"width": 1024, "height": 768}
_RATIONAL = (900.0, 900.0, 512.0, 384.0, 12.0, -8.0, 1e-4, 1e-4, 0.5, 12.1, -7.5, 0.3)


@pytest.mark.parametrize(
    ("model", "params"),
    [
        pytest.param("SIMPLE_RADIAL", (800.0, 512.0, 384.0, -0.3), id="normal"),
        pytest.param("SIMPLE_RADIAL", (5000.0, 512.0, 384.0, -3.0), id="long lens, 5 % at the corners"),
        pytest.param("FULL_OPENCV", _RATIONAL, id="rational, 3 % at the corners"),
    ],
)
def test_intrinsics_of_a_lens_are_plausible(model: str, params: tuple[float, ...]) -> None:
    assert plausible(pycolmap.Camera(model=model, params=params, **_SIZE))


@pytest.mark.parametrize(
    ("model", "params"),
    [
        pytest.param("SIMPLE_RADIAL", (-800.0, 512.0, 384.0, 0.1), id="negative focal length"),
        pytest.param("SIMPLE_RADIAL", (20_000.0, 512.0, 384.0, 0.1), id="longer than COLMAP's bound"),
        pytest.param("SIMPLE_RADIAL", (800.0, 512.0, 384.0, 1.5), id="twice the radius at the corners"),
        pytest.param("SIMPLE_RADIAL", (5000.0, 512.0, 384.0, -25.0), id="corners folded back"),
        pytest.param("OPENCV_FISHEYE", (400.0, 400.0, 512.0, 384.0, 1.2, 0.0, 0.0, 0.0), id="fisheye"),
    ],
)
def test_other_intrinsics_are_not(model: str, params: tuple[float, ...]) -> None:
    assert not plausible(pycolmap.Camera(model=model, params=params, **_SIZE))


def test_a_focal_length_that_is_known_may_be_longer() -> None:
    params = (20_000.0, 512.0, 384.0, 0.1)
    assert plausible(
        pycolmap.Camera(model="SIMPLE_RADIAL", params=params, has_prior_focal_length=True, **_SIZE)
    )


def test_photos_of_a_very_long_known_lens_are_mapped(tmp_path: Path) -> None:
    """COLMAP takes no point of cameras with a focal length above ten times the longer side."""
    shoot = hostile.far_away(0)

    (model,) = run(hostile.write(shoot, tmp_path / "database.db")).models

    assert model.num_reg_images() == len(shoot.poses)
    for image_id in model.reg_image_ids():
        turn = shoot.poses[image_id - 1] * shoot.poses[0].inverse()
        found = model.image(image_id).cam_from_world() * model.image(1).cam_from_world().inverse()
        assert np.rad2deg((found.rotation * turn.rotation.inverse()).angle()) < 0.2


def test_global_sfm_takes_the_same_lenses() -> None:
    options = mapper_options(
        RegisterConfig(), RefineConfig(), fixed_cameras=set(), longest_prior=16.0, threads=1, seed=0
    )

    triangulation = global_options(options.pipeline, options.colmap).mapper.retriangulation

    assert triangulation.max_focal_length_ratio == options.triangulation.max_focal_length_ratio > 16.0
    assert triangulation.max_extra_param == options.triangulation.max_extra_param == np.inf


@pytest.mark.parametrize("coefficient", [-1.6, 1.6])
@pytest.mark.parametrize("fixed", [frozenset({1}), frozenset()], ids=["known", "estimated"])
def test_photos_of_a_long_lens_with_distortion_are_mapped(
    tmp_path: Path, coefficient: float, fixed: frozenset[int]
) -> None:
    """COLMAP takes no point of cameras with a coefficient above one, whatever that does to the image."""
    scene = synthetic.synthesize(
        tmp_path / "database.db", num_points=1500, camera=(2500.0, 512.0, 384.0, coefficient)
    )

    (model,) = run(scene.database, fixed_cameras=fixed).models

    assert model.num_reg_images() == 8
    assert synthetic.max_rotation_error_deg(model, scene.truth) < 0.05
    assert model.camera(1).params == pytest.approx(scene.truth.camera(1).params, rel=0.01)


def test_photos_of_a_calibrated_rational_lens_are_mapped(tmp_path: Path) -> None:
    """As depth cameras are calibrated: numerator and denominator are large, and nearly cancel."""
    scene = synthetic.synthesize(
        tmp_path / "database.db", num_points=800, camera=_RATIONAL, model="FULL_OPENCV"
    )

    (model,) = run(scene.database, fixed_cameras=frozenset({1})).models

    assert model.num_reg_images() == 8
    assert synthetic.max_rotation_error_deg(model, scene.truth) < 0.1
