"""Focal lengths of pointmaps equal the reference's, and stay sane where points are missing."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.mast3r.network.pointmap_focal import estimate_focal

BENCH = str(Path(__file__).resolve().parents[2] / "tools" / "bench")
DATA = Path(__file__).parent / "data_geometry"


def pointmap(focal: float, seed: int = 0, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Points (H, W, 3) of a bumpy scene seen by a camera of this focal length."""
    rows, columns = shape
    u, v = np.meshgrid(np.arange(columns) - columns / 2, np.arange(rows) - rows / 2)
    rng = np.random.default_rng(seed)
    z = 3 + 0.01 * u + 0.02 * v + 0.05 * rng.normal(size=shape)
    return np.stack([u * z / focal, v * z / focal, z], axis=-1)


def test_it_is_that_of_the_reference() -> None:
    sys.path[:0] = [] if BENCH in sys.path else [BENCH]
    from parity import geometry

    found = list(geometry.cases(DATA))
    assert len(found) == 2
    assert all(case.passed for case in found)


@given(st.floats(10, 1000), st.integers(0, 2**32))
def test_the_focal_length_of_a_camera_is_found(focal: float, seed: int) -> None:
    assert estimate_focal(pointmap(focal, seed)) == pytest.approx(focal, rel=1e-6)


def test_outliers_and_missing_points_hardly_move_it() -> None:
    points = pointmap(80.0)
    rng = np.random.default_rng(1)
    points[rng.random((48, 64)) < 0.1] = np.nan
    wild = rng.random((48, 64)) < 0.1
    points[wild] += rng.normal(0, 0.3, (wild.sum(), 3))
    points[rng.random((48, 64)) < 0.05] = [5.0, -7.0, 1e-3]  # nearly in the plane of the projection centre

    assert estimate_focal(points) == pytest.approx(80, rel=0.02)


def test_points_that_say_nothing_give_none() -> None:
    assert np.isnan(estimate_focal(np.full((16, 16, 3), np.nan, np.float32)))
    with pytest.raises(ValueError, match="wanted"):
        estimate_focal(np.ones((16, 3)))
