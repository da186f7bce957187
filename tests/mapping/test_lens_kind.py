"""What the matches of a few pairs say of the lens, on exact points and noise of half a pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm.mapping.cameras.lens_kind import LensFit, MatchedPoints, fit_lens

Array = npt.NDArray[np.float64]

WIDTH, HEIGHT = 1000, 750


def pairs_of(camera: pycolmap.Camera, seed: int, *, num: int = 4, outliers: int = 30) -> list[MatchedPoints]:
    """Pairs that look at a room from places near its middle, with 120 true matches and some wrong ones."""
    rng = np.random.default_rng(seed)
    return [_pair(camera, rng, outliers) for _ in range(num)]


def _pair(camera: pycolmap.Camera, rng: np.random.Generator, outliers: int) -> MatchedPoints:
    turn = pycolmap.Rotation3d(rng.normal(scale=0.15, size=3))
    b_from_a = pycolmap.Rigid3d(turn, rng.normal(scale=0.4, size=3))
    rays = rng.normal(size=(6000, 3)) * (1, 1, 0.5)
    points = rays / np.linalg.norm(rays, axis=1, keepdims=True) * rng.uniform(2, 8, (6000, 1))
    a, b = (np.asarray(camera.img_from_cam(p)) for p in (points, b_from_a * points))
    seen = np.ones(len(a), bool)
    for xy, depth in ((a, points[:, 2]), (b, (b_from_a * points)[:, 2])):
        seen &= (depth > 0.02) & np.all((xy > 0) & (xy < (WIDTH, HEIGHT)), axis=1)
    a, b = (xy[seen][:120] + rng.normal(scale=0.5, size=(min(120, seen.sum()), 2)) for xy in (a, b))
    wrong = rng.uniform(0, (WIDTH, HEIGHT), (2, outliers, 2))
    return MatchedPoints(np.concatenate((a, wrong[0])), np.concatenate((b, wrong[1])))


def fit(camera: pycolmap.Camera, seed: int, **options: int) -> LensFit | None:
    return fit_lens(pairs_of(camera, seed, **options), WIDTH, HEIGHT, seed=0)


def is_fisheye(found: LensFit | None) -> bool:
    return found is not None and found.decisive and found.model == "SIMPLE_RADIAL_FISHEYE"


def is_wrong(found: LensFit | None, camera: pycolmap.Camera) -> bool:
    """Whether it is believed to be another lens than an ordinary one's."""
    if found is None or not found.decisive:
        return False
    return is_fisheye(found) or abs(np.log(found.focal_px / camera.mean_focal_length())) > 0.1


def camera_of(model: str, focal_px: float, *extra: float) -> pycolmap.Camera:
    extra = extra or ((0.0,) if model == "SIMPLE_RADIAL" else ())
    focals = 1 if model.startswith("SIMPLE") else 2
    params = [focal_px] * focals + [WIDTH / 2, HEIGHT / 2, *extra]
    return pycolmap.Camera(camera_id=1, model=model, width=WIDTH, height=HEIGHT, params=params)


@settings(max_examples=3, deadline=None)
@given(st.floats(100, 175), st.integers(0, 1000))
def test_a_fisheye_is_recognised_with_its_focal_length(field_deg: float, seed: int) -> None:
    focal_px = WIDTH / np.radians(field_deg)

    found = fit(camera_of("SIMPLE_FISHEYE", focal_px), seed)

    assert found is not None
    assert is_fisheye(found)
    assert found.focal_px == pytest.approx(focal_px, rel=0.08)


def test_so_is_one_with_further_distortion() -> None:
    found = fit(camera_of("OPENCV_FISHEYE", 530.0, 0.045, 0.02, -0.02, 0.004), 3)

    assert found is not None
    assert is_fisheye(found)
    assert found.focal_px == pytest.approx(530, rel=0.1)


@pytest.mark.parametrize("seed", [5, 10])
def test_so_is_one_that_all_lenses_tried_at_first_explain_worse_than_an_ordinary_one(seed: int) -> None:
    found = fit(camera_of("OPENCV_FISHEYE", 500.0, 0.06, 0.0, 0.0, 0.0), seed, outliers=60)

    assert found is not None
    assert is_fisheye(found)
    assert found.focal_px == pytest.approx(500, rel=0.03)


@settings(max_examples=4, deadline=None)
@given(st.floats(25, 85), st.floats(-0.12, 0.05), st.integers(0, 1000))
def test_an_ordinary_lens_is_never_taken_for_a_fisheye(field_deg: float, k: float, seed: int) -> None:
    camera = camera_of("SIMPLE_RADIAL", WIDTH / 2 / np.tan(np.radians(field_deg) / 2), k)

    assert not is_wrong(fit(camera, seed), camera)


@pytest.mark.parametrize(("focal_px", "k"), [(600.0, 0.03), (800.0, -0.05), (1100.0, 0.0)])
def test_an_ordinary_lens_is_found_with_its_focal_length(focal_px: float, k: float) -> None:
    found = fit(camera_of("SIMPLE_RADIAL", focal_px, k), 1, num=8)

    assert found is not None
    assert found.decisive
    assert found.model == "SIMPLE_RADIAL"
    assert found.focal_px == pytest.approx(focal_px, rel=0.05)


@pytest.mark.parametrize("given_px", [760.0, 800.0, 840.0])
def test_only_fisheyes_are_looked_for_where_the_focal_length_is_given(given_px: float) -> None:
    pairs = pairs_of(camera_of("SIMPLE_RADIAL", 800.0), 1, num=8)

    found = fit_lens(pairs, WIDTH, HEIGHT, seed=0, given_px=given_px)

    assert not found or not found.decisive


@pytest.mark.parametrize("given_px", [400.0, 1600.0])
def test_a_given_focal_length_that_pairs_contradict_is_replaced(given_px: float) -> None:
    """As EXIF of photos that were cut to a half, or taken through another lens than it names."""
    pairs = pairs_of(camera_of("SIMPLE_RADIAL", 800.0, -0.05), 1, num=8)

    found = fit_lens(pairs, WIDTH, HEIGHT, seed=0, given_px=given_px)

    assert found is not None
    assert found.decisive
    assert found.model == "SIMPLE_RADIAL"
    assert found.focal_px == pytest.approx(800.0, rel=0.05)


def test_no_ordinary_lens_is_looked_for_where_a_fisheye_is_named() -> None:
    pairs = pairs_of(camera_of("SIMPLE_RADIAL", 800.0), 1, num=8)

    found = fit_lens(pairs, WIDTH, HEIGHT, seed=0, is_fisheye=True)

    assert not found or not found.decisive


def test_no_lens_is_found_where_photos_differ_in_zoom() -> None:
    pairs = []
    for seed, (first, second) in enumerate([(600.0, 1100.0), (1100.0, 600.0), (800.0, 1400.0)] * 2):
        (points,) = pairs_of(camera_of("SIMPLE_RADIAL", 800.0), seed, num=1, outliers=0)
        middle = np.array([WIDTH / 2, HEIGHT / 2])
        zoomed = [
            (xy - middle) * focal_px / 800 + middle
            for xy, focal_px in ((points.first, first), (points.second, second))
        ]
        pairs.append(MatchedPoints(*zoomed))

    found = fit_lens(pairs, WIDTH, HEIGHT, seed=0)

    assert found is None or not found.decisive


def test_forward_motion_decides_nothing_wrong() -> None:
    rng = np.random.default_rng(2)
    camera, pairs = camera_of("SIMPLE_RADIAL", 580.0), []
    for _ in range(6):
        points = rng.uniform((-12, -2, 6), (12, 1.5, 50), (1500, 3))
        views = (points, points - (0.02, 0.01, 1.0))
        a, b = (np.asarray(camera.img_from_cam(view)) for view in views)
        inside = np.all((a > 0) & (a < (WIDTH, HEIGHT)) & (b > 0) & (b < (WIDTH, HEIGHT)), axis=1)
        noise = rng.normal(scale=0.7, size=(2, inside.sum(), 2))
        pairs.append(MatchedPoints(a[inside] + noise[0], b[inside] + noise[1]))

    found = fit_lens(pairs, WIDTH, HEIGHT, seed=0)

    assert found is None or not found.decisive


@pytest.mark.parametrize("num", [0, 1, 2])
def test_few_pairs_decide_nothing(num: int) -> None:
    found = fit(camera_of("SIMPLE_FISHEYE", 450.0), 0, num=num)

    assert found is None or not found.decisive


def test_matches_by_chance_decide_nothing() -> None:
    rng = np.random.default_rng(0)
    chance = [MatchedPoints(*rng.uniform(0, (WIDTH, HEIGHT), (2, 120, 2))) for _ in range(8)]

    found = fit_lens(chance, WIDTH, HEIGHT, seed=0)

    assert found is None or not found.decisive


def test_images_without_a_baseline_decide_nothing_wrong() -> None:
    rng = np.random.default_rng(1)
    camera = camera_of("SIMPLE_RADIAL", 800.0, -0.05)
    pairs = []
    for _ in range(6):
        points = rng.uniform((-3, -2, 4), (3, 2, 9), (400, 3))
        turned = pycolmap.Rotation3d(rng.normal(scale=0.1, size=3)).matrix() @ points.T
        a, b = (np.asarray(camera.img_from_cam(p)) for p in (points, turned.T))
        inside = np.all((a > 0) & (a < (WIDTH, HEIGHT)) & (b > 0) & (b < (WIDTH, HEIGHT)), axis=1)
        noise = rng.normal(scale=0.5, size=(2, inside.sum(), 2))
        pairs.append(MatchedPoints(a[inside] + noise[0], b[inside] + noise[1]))

    found = fit_lens(pairs, WIDTH, HEIGHT, seed=0)

    assert found is None or not found.decisive


@pytest.mark.parametrize("seed", [0, 1])
def test_a_flat_scene_which_fits_any_short_focal_length_says_nothing_of_it(seed: int) -> None:
    camera, rng = camera_of("SIMPLE_RADIAL", 700.0), np.random.default_rng(seed)

    pairs = []
    for _ in range(10):
        b_from_a = pycolmap.Rigid3d(
            pycolmap.Rotation3d(rng.normal(scale=0.05, size=3)), rng.normal(scale=(1.5, 1.5, 0.1))
        )
        ground = np.column_stack((rng.uniform(-6, 6, (4000, 2)), np.full(4000, 5.0)))
        both = [np.asarray(camera.img_from_cam(points)) for points in (ground, b_from_a * ground)]
        seen = np.all([np.all((xy > 0) & (xy < (WIDTH, HEIGHT)), axis=1) for xy in both], axis=0)
        pairs.append(MatchedPoints(*(xy[seen][:200] + rng.normal(scale=0.3, size=(200, 2)) for xy in both)))

    assert fit_lens(pairs, WIDTH, HEIGHT, seed=0) is None
