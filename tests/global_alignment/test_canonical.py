"""Canonical views: running sums against the mean over a stack, and anchors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sfm.global_alignment.sparse.canonical import CanonicalSums, CanonicalView
from tests.global_alignment.problems import SIZE, pointmap

Float64 = NDArray[np.float64]


def by_definition(points: Float64, confidence: Float64) -> CanonicalView:
    """Of a stack (K, H, W, 3) with confidence (K, H, W), pixel by pixel as the paper has it."""
    weight = confidence - 0.999
    mean = (weight[..., None] * points).sum(axis=0) / weight.sum(axis=0)[..., None]
    relative = np.zeros(mean.shape[:2])
    for y in range(mean.shape[0]):
        for x in range(mean.shape[1]):
            v, u = y // 8 * 8 + 4, x // 8 * 8 + 4
            centre = points[:, v, u]
            radius = np.maximum(np.linalg.norm(points[:, y, x, :2] - centre[:, :2], axis=1), 1e-8)
            angle = np.arctan((points[:, y, x, 2] - np.maximum(centre[:, 2], 1e-7)) / radius)
            mean_angle = (weight[:, y, x] * angle).sum() / weight[:, y, x].sum()
            relative[y, x] = 1 + radius.mean() * np.tan(mean_angle) / mean[v, u, 2]
    return CanonicalView(mean, relative, (weight**2).sum(axis=0) / weight.sum(axis=0))


@given(st.integers(1, 4), st.integers(0, 1000))
def test_running_sums_are_the_mean_over_the_stack(count: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    points = np.stack([pointmap(seed + k) for k in range(count)])[:, :16, :24]
    points += chance.normal(0, 0.02, points.shape)
    confidence = 1 + chance.gamma(2, 2, points.shape[:3])
    sums = CanonicalSums((16, 24))
    for one, certain in zip(points, confidence, strict=True):
        sums.add(one, certain)

    found, wanted = sums.view(), by_definition(points, confidence)

    np.testing.assert_allclose(found.points, wanted.points, atol=1e-9)
    np.testing.assert_allclose(found.relative_depth, wanted.relative_depth, atol=1e-9)
    np.testing.assert_allclose(found.confidence, wanted.confidence, atol=1e-9)


def test_a_flat_surface_has_the_same_depth_everywhere() -> None:
    points = pointmap(0)
    sums = CanonicalSums(SIZE)
    sums.add(points / points[..., 2:], np.full(SIZE, 3.0))

    view = sums.view()
    blocks, relative = view.anchors(np.array([[0, 0], [7, 7], [8, 0], [63, 47]]))

    assert blocks.tolist() == [0, 0, 1, 47]
    np.testing.assert_allclose(relative, 1.0, atol=1e-12)
    np.testing.assert_allclose(view.core_depth, 1.0)


def test_sums_come_back_from_arrays() -> None:
    sums, again = CanonicalSums(SIZE), CanonicalSums(SIZE)
    sums.add(pointmap(1), np.full(SIZE, 2.0))

    again.restore(sums.count, sums.arrays())

    np.testing.assert_array_equal(again.view().points, sums.view().points)


@pytest.mark.parametrize("size", [(12, 16), (0, 8)])
def test_a_size_that_blocks_do_not_fill_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        CanonicalSums(size)


def test_what_does_not_fit_is_refused() -> None:
    sums = CanonicalSums(SIZE)
    with pytest.raises(ValueError, match="another size"):
        sums.add(pointmap(0)[:8], np.full((8, 64), 2.0))
    with pytest.raises(ValueError, match="no pointmap"):
        sums.view()
    with pytest.raises(ValueError, match="sums points"):
        sums.restore(1, {name: values[:8] for name, values in sums.arrays().items()})
