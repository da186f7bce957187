import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.mapping.depth.fit import fit_depth, weighted_median
from sfm.mapping.depth.uncertain_pose import UncertainPoints, refine_pose

from .low_overlap import camera


def depths(rng: np.random.Generator, num: int = 200) -> np.ndarray:
    return np.exp(rng.uniform(np.log(3), np.log(9), num))


@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(0, 0.1), st.floats(0, 0.3))
def test_the_scale_is_found_among_wrong_depths(seed: int, scale: float, noise: float, wrong: float) -> None:
    rng = np.random.default_rng(seed)
    model_depth = depths(rng)
    depth = model_depth / scale * (1 + rng.normal(scale=noise, size=200))
    bad = rng.random(200) < wrong
    depth[bad] = rng.uniform(0.1, 20, np.count_nonzero(bad)) / scale

    fit = fit_depth(depth, np.full(200, 4.0), model_depth)

    assert fit is not None
    lifted, sigma = fit.lift(model_depth / scale, np.full(200, 4.0))
    known = np.isfinite(lifted)
    assert np.mean(known) > 0.5
    assert np.median(np.abs(lifted[known] / model_depth[known] - 1)) < 0.06
    assert (sigma[known] >= 0.01).all()


def test_a_shift_is_found_where_depths_differ_enough() -> None:
    rng = np.random.default_rng(0)
    model_depth = depths(rng)
    depth = (model_depth - 1.5) / 2 * (1 + rng.normal(scale=0.01, size=200))

    fit = fit_depth(depth, rng.uniform(2, 5, 200), model_depth)

    assert fit is not None
    assert fit.scale == pytest.approx(2, rel=0.05)
    assert fit.shift == pytest.approx(1.5, abs=0.2)


def test_depth_that_explains_nothing_has_no_fit() -> None:
    rng = np.random.default_rng(0)
    model_depth = depths(rng)

    assert fit_depth(rng.permutation(model_depth), np.full(200, 4.0), model_depth) is None
    assert fit_depth(np.ones(200), np.full(200, 4.0), model_depth) is None
    assert fit_depth(1 / model_depth, np.full(200, 4.0), model_depth) is None


def test_unknown_depths_and_points_behind_the_camera_do_not_count() -> None:
    model_depth = depths(np.random.default_rng(0), 40)
    depth = model_depth.copy()
    depth[:20] = np.tile([np.nan, np.inf, 0.0, -1.0], 5)
    fit = fit_depth(depth, np.full(40, 4.0), np.where(np.arange(40) < 25, -1.0, model_depth))

    assert fit is not None
    assert fit.scale == pytest.approx(1.0)
    assert fit_depth(depth, np.ones(40), model_depth) is None
    assert fit_depth(depth[:25], np.full(25, 4.0), model_depth[:25]) is None  # five are too few


def test_depth_is_trusted_less_far_from_the_fit_and_with_less_confidence() -> None:
    model_depth = depths(np.random.default_rng(0))
    fit = fit_depth(model_depth, np.full(200, 5.0), model_depth)
    assert fit is not None

    near = fit.lift(np.array([5.0]), np.array([5.0]))[1]
    outside = fit.lift(np.array([11.0]), np.array([5.0]))[1]
    unsure = fit.lift(np.array([5.0]), np.array([2.0]))[1]

    assert near < outside
    assert near < unsure
    assert np.isnan(fit.lift(np.array([50.0, 5.0, np.nan]), np.array([5.0, 1.0, 5.0]))[0]).all()


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.01, 100)), min_size=1, max_size=30))
def test_a_weighted_median_has_at_most_half_of_the_weight_on_either_side(
    pairs: list[tuple[float, float]],
) -> None:
    values, weights = np.array(pairs).T

    median = weighted_median(values, weights)

    half = weights.sum() / 2 * (1 + 1e-9)
    assert weights[values < median].sum() <= half
    assert weights[values > median].sum() <= half


def test_depth_gives_a_pose_its_length_and_matches_give_the_rest() -> None:
    rng = np.random.default_rng(0)
    true = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.05, -0.2, 0.1])), np.array([-1.5, 0.2, 0.3]))
    rays = np.column_stack((rng.uniform(-0.3, 0.3, (300, 2)), np.ones(300)))
    xyz = rays * depths(rng, 300)[:, None]
    xy = camera().img_from_cam(true * xyz) + rng.normal(scale=0.5, size=(300, 2))
    error = 0.05 * np.sin(6 * rays[:, :1])  # smooth, as that of a network
    error[rng.random(300) < 0.2] += 0.5
    points = UncertainPoints(xy, xyz * (1 + error), 0.05 * xyz)
    turn, shift = pycolmap.Rotation3d(np.array([0.0, -0.15, 0.05])), np.array([0.4, -0.2, 0.1])
    start = pycolmap.Rigid3d(turn, true.translation + shift)

    found, agrees = refine_pose(points, camera(), start, sigma_px=1.0)

    assert np.rad2deg((found.rotation * true.rotation.inverse()).angle()) < 0.3
    direction = found.translation / np.linalg.norm(found.translation)
    assert direction @ true.translation > 0.999 * np.linalg.norm(true.translation)
    assert np.linalg.norm(found.translation) == pytest.approx(np.linalg.norm(true.translation), rel=0.05)
    assert 0.7 < np.mean(agrees) < 0.9
    assert not agrees[error[:, 0] > 0.4].any()
