"""Correspondence fields: sub-pixel, robust, silent at depth edges."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sfm.matching.dense.tracks.affine_fits import fit_affine_maps
from sfm.matching.dense.tracks.local_affine import AffineField, FieldOptions, fit_affine_field

Array = NDArray[np.float32]


def grid(step: int = 8, size: int = 200) -> Array:
    x, y = np.meshgrid(np.arange(4, size, step), np.arange(4, size, step))
    return np.column_stack((x.ravel(), y.ravel())).astype(np.float32) + np.float32(0.5)


def homography(points: Array, *, mirrored: bool = False) -> Array:
    """A slanted plane seen by another camera."""
    x, y = points.astype(np.float64).T
    depth = 1 + 0.0008 * x - 0.0004 * y
    u, v = (1.05 * x - 0.11 * y + 12) / depth, (0.1 * x + 0.97 * y + 20) / depth
    return np.column_stack((400 - u if mirrored else u, v)).astype(np.float32)


def whole_pixels(points: Array, noise: float = 0.35) -> Array:
    rng = np.random.default_rng(0)
    return (np.round(points - 0.5 + rng.normal(0, noise, points.shape)) + 0.5).astype(np.float32)


def dithered(points: Array, rng: np.random.Generator) -> Array:
    """With a little noise, rounded to pixels that lie elsewhere for each point: the errors have no bias."""
    dither = rng.uniform(-0.5, 0.5, points.shape)
    return (np.round(points + rng.normal(0, 0.2, points.shape) + dither) - dither).astype(np.float32)


def fitted(a: Array, b: Array) -> AffineField:
    return fit_affine_field(a, b, np.ones(len(a), np.float32), FieldOptions())


def test_exact_affine_matches_give_exact_maps() -> None:
    matrix, shift = np.array([[0.9, -0.3], [0.2, 1.1]]), np.array([30.0, 5.0])
    a = grid()
    b = (a @ matrix.T + shift).astype(np.float32)
    points = np.random.default_rng(1).uniform(10, 190, (100, 2)).astype(np.float32)

    said = fitted(a, b).predict(points)

    assert said.valid.all()
    np.testing.assert_allclose(said.xy, points @ matrix.T + shift, atol=2e-3)
    np.testing.assert_allclose(said.jacobian, np.broadcast_to(matrix, (100, 2, 2)), atol=2e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_matches_on_whole_pixels_give_predictions_between_them(mirrored: bool) -> None:
    a = grid()
    exact = homography(a, mirrored=mirrored)
    b = whole_pixels(exact)
    points = np.random.default_rng(1).uniform(10, 190, (500, 2)).astype(np.float32)

    said = fitted(a, b).predict(points)

    error = np.linalg.norm(said.xy - homography(points, mirrored=mirrored), axis=1)
    assert said.valid.mean() > 0.95
    assert np.median(error) < 0.25
    assert np.median(np.linalg.norm(b - exact, axis=1)) > 0.45


def steep(points: Array) -> Array:
    """A wall along a walk: from end to end the scale changes by a factor of two, and the area by eight."""
    x, y = points.astype(np.float64).T
    depth = 1 + 0.005 * x
    return np.column_stack(((1.4 * x + 8) / depth, (1.3 * y + 0.1 * x + 30) / depth)).astype(np.float32)


def test_perspective_moves_no_point_aside() -> None:
    """Errors must cancel over a surface: those that don't would move the camera."""
    points = np.random.default_rng(1).uniform(20, 180, (500, 2)).astype(np.float32)
    there, back = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a = grid() + rng.uniform(-4, 4, 2).astype(np.float32)
        field = fitted(a, dithered(steep(a), rng))
        said, home = field.predict(points), field.swapped().predict(steep(points))
        there.append((said.xy - steep(points))[said.valid].mean(0))
        back.append((home.xy - points)[home.valid].mean(0))

    assert np.linalg.norm(np.mean(there, axis=0)) < 0.008
    assert np.linalg.norm(np.mean(back, axis=0)) < 0.015


def stepped(points: Array) -> Array:
    """Two walls one behind the other, the nearer one on the right: it moves by a few pixels more."""
    x, y = points.astype(np.float64).T
    return np.column_stack((1.2 * x + 10 + 4 * (x > 100), 1.2 * y + 5)).astype(np.float32)


def test_a_depth_edge_does_not_bend_the_maps_beside_it() -> None:
    """What is nearer moves more: maps that mix both walls err outward all along a walk."""
    points = np.random.default_rng(1).uniform(20, 180, (1500, 2)).astype(np.float32)
    points = points[np.abs(points[:, 0] - 100) < 24]
    farther, nearer = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        a = grid() + rng.uniform(-4, 4, 2).astype(np.float32)
        said = fitted(a, dithered(stepped(a), rng)).predict(points)
        error = (said.xy - stepped(points))[:, 0]
        farther.append(error[said.valid & (points[:, 0] < 100)])
        nearer.append(error[said.valid & (points[:, 0] > 100)])

    assert abs(np.concatenate(farther).mean()) < 0.05
    assert abs(np.concatenate(nearer).mean()) < 0.05
    assert np.mean(np.abs(np.concatenate(farther + nearer)) > 1) < 0.01
    assert sum(map(len, farther + nearer)) > 0.5 * 12 * len(points)


def test_no_point_is_carried_over_beyond_the_matches() -> None:
    a = grid()
    a = a[a[:, 0] < 100]
    last = a[:, 0].max()
    points = np.column_stack((np.linspace(last - 4, last + 6, 41), np.full(41, 100))).astype(np.float32)

    said = fitted(a, 1.1 * a).predict(points)

    assert said.valid[points[:, 0] <= last].all()
    assert not said.valid[points[:, 0] > last + 1.5].any()


def test_maps_of_a_plane_are_those_of_its_homography_and_so_are_their_inverses() -> None:
    a = grid()
    field = fitted(a, steep(a))
    points = np.random.default_rng(1).uniform(40, 160, (200, 2)).astype(np.float32)
    step = np.array([[0.5, 0], [0, 0.5]], np.float32)

    said = field.predict(points)
    back = field.swapped().predict(steep(points))

    slope = np.stack([steep(points + d) - steep(points - d) for d in step], axis=2)
    assert said.valid.mean() > 0.96
    assert back.valid.mean() > 0.96
    np.testing.assert_allclose(said.xy[said.valid], steep(points)[said.valid], atol=0.02)
    np.testing.assert_allclose(said.jacobian[said.valid], slope[said.valid], atol=0.02)
    np.testing.assert_allclose(back.xy[back.valid], points[back.valid], atol=0.02)


def test_wrong_matches_change_next_to_nothing() -> None:
    a = grid()
    b = whole_pixels(homography(a))
    rng = np.random.default_rng(2)
    wrong = rng.random(len(a)) < 0.25
    b[wrong] = rng.uniform(0, 200, (int(wrong.sum()), 2))

    field = fitted(a, b)

    near = np.linalg.norm(field.target - homography(field.source), axis=1)
    assert np.mean(near < 1) > 0.995
    assert len(field) > 0.9 * np.sum(~wrong)


def test_random_matches_give_no_field() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.uniform(0, 300, (2, 900, 2)).astype(np.float32)

    field = fitted(a, b)

    assert len(field) < 9
    assert field.predict(grid()).valid.mean() < 0.02


def test_neighbours_without_a_common_map_have_a_finite_one() -> None:
    rng = np.random.default_rng(0)
    shape = (2, 2000, 7)
    dx, dy = rng.normal(0, 60, shape).astype(np.float32), rng.uniform(-400, 400, shape).astype(np.float32)
    dx[:, :, 0] = dy[:, :, 0] = 0
    # Some in a line, some all at one place.
    dx[1, :100] = 2 * dx[0, :100]
    dx[:, 100:200] = 0

    with np.errstate(over="raise", invalid="raise", divide="raise"):
        fits = fit_affine_maps(dx, dy, rng.uniform(0.2, 1.5, shape[1:]).astype(np.float32))

    for values in (fits.jacobian, fits.offset, fits.bend, fits.scale, fits.sigma, fits.spread):
        assert np.isfinite(values).all()


def test_both_directions_agree() -> None:
    a = grid()
    field = fitted(a, whole_pixels(homography(a)))
    there = field.predict(grid(13))

    back = field.swapped().predict(there.xy[there.valid])

    np.testing.assert_allclose(back.xy[back.valid], grid(13)[there.valid][back.valid], atol=0.3)


def test_nothing_is_said_far_from_matches() -> None:
    a = grid()
    field = fitted(a, homography(a))

    assert not field.predict(np.array([[-30.0, 50.0], [100.0, 260.0]], np.float32)).valid.any()


@pytest.mark.parametrize("count", [0, 1, 4, 6])
def test_too_few_matches_give_no_field(count: int) -> None:
    a = grid()[:count]

    field = fitted(a, homography(a))

    assert len(field) == 0
    assert not field.predict(grid()).valid.any()
