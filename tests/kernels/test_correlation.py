"""Normalized cross-correlation of patches, plain and compiled."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from kernels.correlation import best_correlations
from kernels.dispatch import has_numba, use_backend

VERSIONS = ("torch", pytest.param("triton", marks=pytest.mark.skipif(not has_numba(), reason="needs numba")))
"""The plain version and the compiled one."""
IMAGE = np.clip(
    gaussian_filter(np.random.default_rng(0).normal(size=(120, 160)), 2) * 400 + 128, 0, 255
).astype(np.uint8)
SAME = np.eye(2)[None]


def correlation(second, at_second, maps=SAME, at_first=((80.5, 60.5),), first=IMAGE) -> float:
    return float(best_correlations(first, second, np.array(at_first), np.array(at_second), maps)[0])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_patch_is_found_again_three_pixels_away_and_in_other_light(version) -> None:
    moved = np.roll(IMAGE // 2 + 40, (2, -3), axis=(0, 1))

    with use_backend(version):
        assert correlation(moved, [(80.5, 60.5)]) == pytest.approx(1, abs=0.01)
        assert correlation(np.roll(IMAGE, 9, axis=1), [(80.5, 60.5)]) < 0.9
        assert correlation(255 - IMAGE, [(80.5, 60.5)]) < 0.9


@pytest.mark.parametrize("version", VERSIONS)
def test_patches_are_warped_by_their_maps(version) -> None:
    turned = np.ascontiguousarray(np.rot90(IMAGE))  # (x, y) goes to (y, 160 - x)
    quarter = np.array([[[0.0, 1.0], [-1.0, 0.0]]])

    with use_backend(version):
        assert correlation(turned, [(60.5, 79.5)], quarter) == pytest.approx(1, abs=1e-5)
        assert correlation(turned, [(60.5, 79.5)]) < 0.9


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("first", "at_first", "at_second"),
    [
        (IMAGE, (3.0, 60.0), (80.0, 60.0)),
        (IMAGE, (80.0, 60.0), (155.0, 60.0)),
        (IMAGE, (80.0, 60.0), (np.nan, 60.0)),
        (np.full_like(IMAGE, 7), (80.0, 60.0), (80.0, 60.0)),
    ],
    ids=["patch outside", "window outside", "nowhere", "without texture"],
)
def test_what_cannot_be_compared_is_not_a_number(version, first, at_first, at_second) -> None:
    with use_backend(version):
        assert np.isnan(correlation(IMAGE, [at_second], at_first=[at_first], first=first))


@pytest.mark.skipif(not has_numba(), reason="needs numba")
def test_both_versions_agree() -> None:
    rng = np.random.default_rng(1)
    at_first = rng.uniform(-5, 165, (300, 2))
    at_second = at_first + rng.normal(size=(300, 2))
    maps = np.eye(2) + 0.2 * rng.normal(size=(300, 2, 2))
    found = []
    for version in ("torch", "triton"):
        with use_backend(version):
            found.append(best_correlations(IMAGE, IMAGE[:, ::-1], at_first, at_second, maps))

    assert 50 < np.isfinite(found[0]).sum() < 250
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)
