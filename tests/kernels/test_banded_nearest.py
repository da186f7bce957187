"""Banded nearest neighbours against their definition, pair by pair, and the compiled version against it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.banded_nearest import banded_nearest
from kernels.dispatch import has_numba, use_backend
from kernels.values import NO_DISTANCE, Bands
from tests.kernels.searches import VERSIONS, Row, as_rows, squared_distance, two_nearest


def some_bands(rng: np.random.Generator, n: int, m: int) -> Bands:
    """Angles on a coarse grid, so that ends of intervals are met exactly; some bands hold everything."""
    step = np.pi / 8
    widths = np.array([0.0, step, 3 * step, np.pi])
    low = rng.integers(0, 8, n) * step
    return Bands(
        rng.integers(-8, 9, n) * step,
        low,
        low + rng.integers(0, 8, n) * step,
        rng.integers(-8, 9, m) * step,
        widths[rng.integers(0, 4, m)],
        rng.integers(0, 9, m) * step,
    )


def one_by_one(bands: Bands, a: np.ndarray, b: np.ndarray) -> tuple[list[Row], list[Row]]:
    """For each keypoint (index, distance, second), from every pair in turn."""
    found_a: list[list[tuple[int, int]]] = [[] for _ in a]
    found_b: list[list[tuple[int, int]]] = [[] for _ in b]
    for i in range(len(a)):
        for j in range(len(b)):
            start = bands.angle_b[j] - bands.tolerance_b[j]
            end = bands.angle_b[j] + bands.tolerance_b[j]
            angle = bands.angle_a[i]
            turned = start <= angle <= end or angle >= start + 2 * np.pi or angle <= end - 2 * np.pi
            if turned and bands.low_a[i] <= bands.along_b[j] <= bands.high_a[i]:
                distance = squared_distance(a[i], b[j])
                found_a[i].append((distance, j))
                found_b[j].append((distance, i))
    return [two_nearest(found) for found in found_a], [two_nearest(found) for found in found_b]


@pytest.mark.parametrize("version", VERSIONS)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 12),
    m=st.integers(0, 12),
    levels=st.sampled_from([2, 256]),
)
def test_neighbours_are_those_of_every_allowed_pair(
    version: str, seed: int, n: int, m: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    bands = some_bands(rng, n, m)
    a, b = (rng.integers(0, levels, (k, 3), dtype=np.uint8) for k in (n, m))

    with use_backend(version):  # type: ignore[arg-type]
        of_a, of_b = banded_nearest(bands, a, b)

    expected_a, expected_b = one_by_one(bands, a, b)
    assert as_rows(of_a) == expected_a
    assert as_rows(of_b) == expected_b


@pytest.mark.skipif(not has_numba(), reason="needs numba")
def test_both_versions_agree_on_many_keypoints() -> None:
    """More than a block of the plain version, and bands of which most are narrow."""
    rng = np.random.default_rng(3)
    n, m = 700, 600
    low = rng.uniform(0, 2, n)
    bands = Bands(
        rng.uniform(-np.pi, np.pi, n),
        low,
        low + 1.0,
        rng.uniform(-np.pi, np.pi, m),
        rng.choice([0.01, 0.1, np.pi], m),
        rng.uniform(0, np.pi, m),
    )
    a, b = (rng.integers(0, 256, (k, 128), dtype=np.uint8) for k in (n, m))

    with use_backend("torch"):
        plain = banded_nearest(bands, a, b)
    with use_backend("triton"):
        compiled = banded_nearest(bands, a, b)

    assert [as_rows(side) for side in compiled] == [as_rows(side) for side in plain]
    assert (plain[0].index >= 0).mean() > 0.5


@pytest.mark.parametrize("version", VERSIONS)
def test_largest_distances_do_not_overflow(version: str) -> None:
    everywhere = np.zeros(1)
    bands = Bands(everywhere, everywhere, everywhere, everywhere, everywhere, everywhere)
    a, b = np.zeros((1, 4096), np.uint8), np.full((1, 4096), 255, np.uint8)

    with use_backend(version):  # type: ignore[arg-type]
        of_a, _ = banded_nearest(bands, a, b)

    assert as_rows(of_a) == [(0, 4096 * 255**2, NO_DISTANCE)]


def test_what_does_not_fit_is_refused() -> None:
    bands = some_bands(np.random.default_rng(0), 2, 3)
    good_a, good_b = np.zeros((2, 8), np.uint8), np.zeros((3, 8), np.uint8)
    for a, b in (
        (good_a.astype(np.float32), good_b),
        (good_a, np.zeros((3, 9), np.uint8)),
        (good_a[:1], good_b),
        (np.zeros((2, 5000), np.uint8), np.zeros((3, 5000), np.uint8)),
    ):
        with pytest.raises(ValueError, match="banded_nearest"):
            banded_nearest(bands, a, b)
