"""Models aligned to and adjusted with known positions."""

import numpy as np
import pycolmap
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.geometry.gravity import Level
from sfm.geometry.similarity import fit_similarity
from sfm.georeferencing.adjustment import PositionAdjustment, adjust_with_positions
from sfm.georeferencing.alignment import Alignment, align_to_positions
from sfm.georeferencing.priors import PositionPrior
from sfm.mapping.scene.options import mapper_options

from .strip import forget_scale_and_bend, strip

Float64 = NDArray[np.float64]
GPS = np.array([5.0, 5.0, 10.0])
LEVEL = Level(np.array([0, 0, 1.0]), np.eye(3)[:2])


def flight(num: int = 40, seed: int = 0) -> Float64:
    """Camera centres of a flight to and fro, metres, +z up."""
    rng = np.random.default_rng(seed)
    rows = np.arange(num) // 8
    columns = np.where(rows % 2, 7 - np.arange(num) % 8, np.arange(num) % 8)
    return np.column_stack([25.0 * columns, 30.0 * rows, 60 + rng.normal(size=num)])


def align(
    centres: Float64, positions: Float64, sigma: Float64 = GPS, level: Level | None = None
) -> Alignment | str:
    return align_to_positions(centres, positions, np.tile(sigma, (len(centres), 1)), seed=0, level=level)


def tilt_deg(found: Alignment, up: Float64) -> float:
    cosine = (found.metric_from_model.rotation.matrix() @ up)[2]
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


@given(st.floats(1e-2, 1e2), st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.floats(-1e3, 1e3))
def test_any_similarity_is_found_again(scale: float, rotvec: list[float], shift: float) -> None:
    true = flight()
    model = (true - shift) @ Rotation.from_rotvec(rotvec).as_matrix() / scale

    found = align(model, true)

    assert isinstance(found, Alignment)
    np.testing.assert_allclose(found.metric_from_model * model, true, atol=1e-3)
    assert found.is_inlier.all()


def test_strays_have_no_say() -> None:
    true = flight()
    positions = true + np.random.default_rng(1).normal(size=true.shape) * [1.5, 1.5, 3]
    positions[[3, 17, 18]] += [[300, 0, 0], [0, -60, 0], [0, 0, 200]]

    found = align(true / 7, positions)

    assert isinstance(found, Alignment)
    assert sorted(np.flatnonzero(~found.is_inlier)) == [3, 17, 18]
    assert abs(found.metric_from_model.scale / 7 - 1) < 3 * found.scale_sigma
    assert np.abs(found.metric_from_model * (true / 7) - true).max() < 2.5


def test_heights_in_whole_tens_of_metres_do_not_tilt_a_flight() -> None:
    true = flight() * [1, 1, 3]
    positions = np.column_stack([true[:, :2], np.round(true[:, 2], -1)])

    found = align(true, positions)

    assert isinstance(found, Alignment)
    assert tilt_deg(found, np.array([0, 0, 1.0])) < 1.5


def test_heights_that_drift_are_left_out_where_the_photos_tell_up() -> None:
    true = flight()
    positions = true + np.outer(np.arange(len(true)), [0, 0, 4.0])
    up = np.array([0, 0, 1.0])

    believed, found = align(true, positions), align(true, positions, level=LEVEL)

    assert isinstance(believed, Alignment)
    assert isinstance(found, Alignment)
    assert tilt_deg(believed, up) > 30  # what the heights alone would do
    assert tilt_deg(found, up) < 3
    assert not found.used_heights
    assert found.metric_from_model.scale == pytest.approx(1, abs=0.05)
    away = (found.metric_from_model * true - positions)[:, 2]
    assert abs(np.median(away)) < 1e-6  # they still tell how high the model lies as a whole


def test_a_line_tells_no_rotation_about_itself_but_level_photos_do() -> None:
    true = np.column_stack([np.linspace(0, 200, 20), np.zeros(20), np.zeros(20)])

    alone, helped = align(true, true), align(true, true, level=LEVEL)

    assert isinstance(alone, str)
    assert "on a line" in alone
    assert isinstance(helped, Alignment)
    assert helped.used_up
    np.testing.assert_allclose(helped.metric_from_model.matrix()[:, :3], np.eye(3), atol=0.02)


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
@example([0.0, 0.5, 0.0])  # where every start lies a quarter turn from level
def test_up_on_a_line_is_up_however_the_model_lies(rotvec: list[float]) -> None:
    true = np.column_stack([np.linspace(0, 200, 20), np.zeros(20), np.zeros(20)])
    turn = Rotation.from_rotvec(rotvec).as_matrix()
    level = Level(LEVEL.up @ turn, LEVEL.axes @ turn)

    found = align(true @ turn / 3, true, level=level)

    assert isinstance(found, Alignment)
    assert tilt_deg(found, level.up) < 1


def test_photos_that_all_look_along_the_line_tell_the_rotation_about_it() -> None:
    rng = np.random.default_rng(0)
    true = np.column_stack([np.linspace(0, 200, 30), rng.normal(size=30), np.linspace(0, 20, 30)])
    positions = true + rng.normal(size=true.shape) * [2, 2, 4]
    tipped = Rotation.from_euler("y", 20, degrees=True).as_matrix()[2]  # all look down a little

    found = align(true, positions, level=Level(tipped, np.array([[0, 1.0, 0]])))

    assert isinstance(found, Alignment)
    assert found.used_heights
    assert tilt_deg(found, np.array([0, 0, 1.0])) < 3  # the slope of the line is that of the positions


def test_a_baseline_that_is_short_next_to_the_errors_tells_no_scale() -> None:
    true = flight(16) * 0.03  # metres of an object on a table
    positions = true + np.random.default_rng(0).normal(size=true.shape) * GPS

    assert "they leave the scale open" in str(align(true, positions))


def test_positions_of_another_place_are_refused() -> None:
    true = flight()

    assert "positions agree" in str(align(true, np.random.default_rng(0).normal(size=true.shape) * 1000))


@pytest.mark.parametrize("num", [0, 1, 2])
def test_fewer_than_three_are_refused(num: int) -> None:
    assert "3 are needed" in str(align(flight()[:num], flight()[:num]))


def test_equal_positions_are_refused() -> None:
    assert "the same place" in str(align(flight(), np.ones((40, 3))))


def adjusted(
    model: pycolmap.Reconstruction, positions: dict[str, Float64], sigma: Float64 = GPS, **options: bool
) -> tuple[pycolmap.Reconstruction, PositionAdjustment]:
    global_ba = mapper_options(
        RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0
    ).global_ba
    priors = {name: PositionPrior(xyz, sigma) for name, xyz in positions.items()}
    return adjust_with_positions(model, priors, global_ba, fixed_cameras=frozenset(), seed=0, **options)


def ate(model: pycolmap.Reconstruction, true: dict[str, Float64]) -> float:
    images = {model.image(i).name: model.image(i) for i in model.reg_image_ids()}
    names = sorted(true)
    source, target = (
        np.array([images[n].projection_center() for n in names]),
        np.array([*map(true.get, names)]),
    )
    fit = fit_similarity(source, target)
    assert fit is not None
    return float(np.sqrt(np.mean(np.sum((fit * source - target) ** 2, axis=1))))


@pytest.fixture(scope="module")
def bent() -> tuple[pycolmap.Reconstruction, dict[str, Float64], dict[str, Float64]]:
    """A bent strip aligned to its GPS, the GPS with one stray, and the truth."""
    model, true = strip()
    forget_scale_and_bend(model)
    rng = np.random.default_rng(2)
    positions = {name: xyz + rng.normal(size=3) * [1.5, 1.5, 3] for name, xyz in true.items()}
    positions["010.jpg"] = positions["010.jpg"] + [0, 80, 0]
    images = {image.name: image for image in model.images.values()}
    names = sorted(true)
    found = align(
        np.array([images[name].projection_center() for name in names]),
        np.array([positions[name] for name in names]),
    )
    assert isinstance(found, Alignment)
    assert not found.is_inlier[10]
    model.transform(found.metric_from_model)
    return model, positions, true


def test_positions_straighten_a_bent_strip_at_no_cost_to_the_observations(
    bent: tuple[pycolmap.Reconstruction, dict[str, Float64], dict[str, Float64]],
) -> None:
    model, positions, true = bent
    before = {i: model.image(i).cam_from_world().matrix() for i in model.reg_image_ids()}

    better, found = adjusted(model, positions)  # the stray included: the loss has to bear it

    assert found.accepted
    assert found.error_after_px < 1.005 * found.error_before_px
    assert ate(better, true) < 0.75 * ate(model, true)
    assert all(np.array_equal(model.image(i).cam_from_world().matrix(), before[i]) for i in before)


def test_positions_that_cost_too_much_reprojection_error_are_refused(
    bent: tuple[pycolmap.Reconstruction, dict[str, Float64], dict[str, Float64]],
) -> None:
    model, _, true = bent
    wrong = {name: xyz + np.array([0, 15 * np.sin(xyz[0] / 30), 0]) for name, xyz in true.items()}

    kept, found = adjusted(model, wrong, np.full(3, 0.01))
    forced, _ = adjusted(model, wrong, np.full(3, 0.01), only_with_evidence=False)

    assert not found.accepted
    assert kept is model
    assert forced is not model
