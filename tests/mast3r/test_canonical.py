"""Canonical views and focal lengths equal the reference's, and stay sane where points are missing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.mast3r.network.canonical import canonical_view, estimate_focal

BENCH = str(Path(__file__).resolve().parents[2] / "tools" / "bench")
DATA = Path(__file__).parent / "data_geometry"
MODES = ("avg-angle", "avg-reldepth")


def geometry_cases(folder: Path) -> list:
    sys.path[:0] = [] if BENCH in sys.path else [BENCH]
    from parity import geometry

    return list(geometry.cases(folder))


def pointmap(focal: float, seed: int = 0, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Points (H, W, 3) of a bumpy scene seen by a camera of this focal length."""
    rows, columns = shape
    u, v = np.meshgrid(np.arange(columns) - columns / 2, np.arange(rows) - rows / 2)
    rng = np.random.default_rng(seed)
    z = 3 + 0.01 * u + 0.02 * v + 0.05 * rng.normal(size=shape)
    return np.stack([u * z / focal, v * z / focal, z], axis=-1)


def test_all_equals_the_reference() -> None:
    found = geometry_cases(DATA)

    assert len(found) == 11
    assert [case for case in found if not case.passed] == []


@pytest.mark.shared
def test_all_equals_all_of_the_reference(shared_data: Path) -> None:
    found = geometry_cases(shared_data.parent / "parity")

    assert len(found) == 17
    assert [case for case in found if not case.passed] == []


@pytest.mark.parametrize("mode", MODES)
def test_copies_of_one_pointmap_are_that_pointmap(mode) -> None:
    points = pointmap(60)
    confidence = np.linspace(1.5, 9, 48 * 64).reshape(48, 64)

    view = canonical_view(np.stack([points] * 3), np.stack([confidence] * 3), stride=8, mode=mode)

    np.testing.assert_allclose(view.points, points, rtol=1e-6)
    np.testing.assert_allclose(view.confidence, confidence - 0.999, rtol=1e-6)
    blocks = points[..., 2].reshape(6, 8, 8, 8)
    relative = (blocks / blocks[:, 4:5, :, 4:5]).reshape(48, 64)
    np.testing.assert_allclose(view.relative_depth, relative, rtol=1e-5)
    assert view.points.dtype == view.relative_depth.dtype == np.float32


def test_depth_comes_back_from_anchors_and_offsets() -> None:
    view = canonical_view(pointmap(60)[None], np.full((1, 48, 64), 3.0), stride=8)
    pixels = np.random.default_rng(0).integers([0, 0], [64, 48], (100, 2))

    index, offset = view.anchors(pixels)

    depth = view.anchor_depth.ravel()[index] * offset
    np.testing.assert_allclose(depth, pointmap(60)[pixels[:, 1], pixels[:, 0], 2], rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_missing_points_are_left_out(mode) -> None:
    """Pixels that one pointmap lacks are the other's; only those that both lack are unknown."""
    points = np.stack([pointmap(60), pointmap(60)])
    confidence = np.full((2, 48, 64), 4.0)
    points[0, 5, 7] = np.nan
    points[1, 20, 20, 2] = np.inf
    confidence[1, 30, 31] = np.nan
    points[0, 12, 12] = np.nan  # the centre of a block
    points[:, 40, 9] = np.nan
    points[:, 28, 52] = np.nan  # the centre of a block in both

    view = canonical_view(points, confidence, stride=8, mode=mode)

    unknown = np.zeros((48, 64), bool)
    unknown[40, 9] = unknown[28, 52] = True
    np.testing.assert_array_equal(np.isnan(view.points[..., 2]), unknown)
    np.testing.assert_array_equal(view.confidence == 0, unknown)
    np.testing.assert_allclose(view.points[~unknown], pointmap(60)[~unknown], rtol=1e-6)
    unknown[24:32, 48:56] = True  # without its anchor a whole block has no relative depth
    np.testing.assert_array_equal(np.isnan(view.relative_depth), unknown)


@pytest.mark.parametrize(
    ("shape", "stride"), [((0, 16, 16), 8), ((1, 20, 16), 8), ((1, 16, 20), 8), ((1, 16, 16), 0)]
)
def test_shapes_without_blocks_are_refused(shape, stride: int) -> None:
    with pytest.raises(ValueError, match="no blocks"):
        canonical_view(np.ones((*shape, 3)), np.ones(shape), stride=stride)
    with pytest.raises(ValueError, match="do not fit"):
        canonical_view(np.ones((1, 16, 16, 3)), np.ones((1, 16, 8)))


@given(st.floats(10, 1000), st.integers(0, 2**32), st.sampled_from(["weiszfeld", "median"]))
def test_the_focal_length_of_a_camera_is_found(focal: float, seed: int, mode) -> None:
    assert estimate_focal(pointmap(focal, seed), mode=mode) == pytest.approx(focal, rel=1e-6)


@pytest.mark.parametrize("mode", ["weiszfeld", "median"])
def test_outliers_and_missing_points_hardly_move_the_focal_length(mode) -> None:
    points = pointmap(80.0)
    rng = np.random.default_rng(1)
    points[rng.random((48, 64)) < 0.1] = np.nan
    wild = rng.random((48, 64)) < 0.1
    points[wild] += rng.normal(0, 0.3, (wild.sum(), 3))
    points[rng.random((48, 64)) < 0.05] = [5.0, -7.0, 1e-3]  # nearly in the plane of the projection centre

    assert estimate_focal(points, mode=mode) == pytest.approx(80, rel=0.02)
    assert estimate_focal(points, mode=mode, min_ratio=1.5) == pytest.approx(
        1.5 * 64 / (2 * np.tan(np.pi / 6))
    )
    assert estimate_focal(points, mode=mode, max_ratio=0.5) == pytest.approx(
        0.5 * 64 / (2 * np.tan(np.pi / 6))
    )


@pytest.mark.parametrize("mode", ["weiszfeld", "median"])
def test_points_that_say_nothing_give_no_focal_length(mode) -> None:
    assert np.isnan(estimate_focal(np.full((16, 16, 3), np.nan, np.float32), mode=mode))
    with pytest.raises(ValueError, match="wanted"):
        estimate_focal(np.ones((16, 3)), mode=mode)
