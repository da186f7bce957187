"""Depth looked up at any position, and merged from several pairs."""

from __future__ import annotations

import numpy as np

from sfm.mast3r.network.image_input import pixel_map
from sfm.mast3r.values import ViewDepth
from sfm.matching.dense.depth.depth_maps import DepthMaps, merged_depth
from sfm.matching.dense.inference.photo_map import PhotoMap

MAP = PhotoMap(pixel_map((128, 96), "a.jpg", size=64), (128, 96))


def slope(scale: float = 1.0, confidence: float = 3.0) -> ViewDepth:
    rows, columns = np.mgrid[0:48:4, 0:64:4]
    depth = scale * (4 + 0.01 * columns + 0.02 * rows)
    return ViewDepth(depth.astype(np.float32), np.full(depth.shape, confidence, np.float32), 4, 50.0)


def test_depth_is_interpolated_between_grid_points() -> None:
    maps = DepthMaps({"a.jpg": slope()}, {"a.jpg": MAP}, metric=True)
    xy = np.array([[10.3, 20.7], [64.0, 48.0], [100.0, 80.0]])
    found = maps.at("a.jpg", xy)
    assert found is not None
    network = MAP.to_network(xy)
    assert np.allclose(found[0], 4 + 0.01 * network[:, 0] + 0.02 * network[:, 1], rtol=1e-5)
    assert np.allclose(found[1], 3.0)


def test_depth_is_not_mixed_across_an_edge() -> None:
    view = slope()
    view.depth[:, 8:] += 20
    maps = DepthMaps({"a.jpg": view}, {"a.jpg": MAP}, metric=True)
    across = MAP.to_photo(np.array([[29.0, 20.0], [31.0, 20.0]]))
    found = maps.at("a.jpg", across.astype(np.float64))
    assert found is not None
    assert found[0][0] < 6
    assert found[0][1] > 20


def test_outside_and_unknown_depth_is_nan() -> None:
    view = slope()
    view.depth[0, 0] = np.nan
    maps = DepthMaps({"a.jpg": view}, {"a.jpg": MAP}, metric=True)
    found = maps.at("a.jpg", np.array([[-50.0, 5.0], [500.0, 5.0], [0.5, 0.5]]))
    assert found is not None
    assert np.isnan(found[0]).all()
    assert maps.at("b.jpg", np.zeros((1, 2))) is None


def test_depths_of_different_scale_are_merged_to_the_first() -> None:
    other = slope(scale=2.5)
    other.depth[3, 3] = np.nan
    merged = merged_depth([slope(), other])
    assert np.allclose(merged.depth, slope().depth, rtol=1e-4)


def test_what_only_one_view_knows_is_kept() -> None:
    first, second = slope(), slope(scale=0.5)
    first.depth[5, 5] = np.nan
    merged = merged_depth([first, second])
    assert np.isclose(merged.depth[5, 5], slope().depth[5, 5], rtol=1e-3)
