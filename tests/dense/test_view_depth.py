"""Depth of views: pixels of the network, maps, and what views buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sfm.ingest.decode import TRANSPOSE
from sfm.mast3r.network.image_input import pixel_map
from sfm.mast3r.network.predictor import EncodedPhoto
from sfm.mast3r.values import ViewDepth
from sfm.matching.dense.depth.depth_maps import DepthMaps, merged_depth
from sfm.matching.dense.depth.view_depth import NoDepthError, ViewInference
from sfm.matching.dense.inference.photo_map import PhotoMap

SIZES = {"a": (64, 48), "wide": (64, 48), "tall": (48, 64), "small": (64, 32), "broken": (64, 48)}
SHAPE = (48, 64)


@dataclass
class Photos:
    """Encoded photos whose tokens nobody looks at."""

    maps: dict[str, PhotoMap]

    def __getitem__(self, name: str) -> EncodedPhoto:
        return EncodedPhoto(name, torch.zeros(1), self.maps[name].size)


@dataclass
class Network:
    """Answers with a ramp of depth that each partner sees at its own scale, and sees well in half of it."""

    scales: dict[str, float]
    most: int = 9
    asked: list[tuple[list[str], list[str]]] = field(default_factory=list)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    key: str = "fake"

    def decode(self, first: Sequence[EncodedPhoto], second: Sequence[EncodedPhoto]) -> Pairs:
        assert len({photo.size for photo in second}) == 1
        self.asked.append(([p.name for p in first], [p.name for p in second]))
        if len(second) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return Pairs(self, [photo.name for photo in second])


@dataclass
class Pairs:
    network: Network
    partners: list[str]

    def points(self, view: int) -> tuple[torch.Tensor, torch.Tensor]:
        assert view == 1
        points = torch.zeros(len(self.partners), *SHAPE, 3)
        confidence = torch.ones(len(self.partners), *SHAPE)
        for index, partner in enumerate(self.partners):
            points[index, ..., 2] = self.network.scales[partner] * ramp()
            half = slice(0, 32) if index % 2 == 0 else slice(32, 64)
            confidence[index, :, half] = 5.0
            if partner == "broken":
                points[index] = float("nan")
        return points, confidence


def ramp() -> torch.Tensor:
    return torch.linspace(2, 6, SHAPE[1]).expand(SHAPE)


def inference(**options: object) -> ViewInference:
    maps = {name: PhotoMap(pixel_map(size, name, size=64), size) for name, size in SIZES.items()}
    scales = {"wide": 1.0, "tall": 1.3, "small": 0.7, "broken": 1.0, "a": 2.0}
    return ViewInference(Network(scales, **options), Photos(maps))


def test_the_photo_is_view_1_of_every_pair() -> None:
    views = inference()

    views.depth("a", ["wide", "tall", "small"])

    assert {name for first, _ in views.predictor.asked for name in first} == {"a"}
    assert sorted(name for _, second in views.predictor.asked for name in second) == ["small", "tall", "wide"]


def test_scales_of_pairs_do_not_mix() -> None:
    """Each pair sees another part best; where they meet there is no step."""
    view = inference().depth("a", ["wide", "tall", "small"])

    assert view.depth.shape == SHAPE
    assert view.stride == 1
    np.testing.assert_allclose(view.depth, ramp(), rtol=1e-5)  # of the first partner's scale
    assert view.confidence.max() == 5


def test_the_first_partner_gives_the_scale_in_whatever_order_they_run() -> None:
    views = inference()

    np.testing.assert_allclose(views.depth("a", ["tall", "wide"]).depth, 1.3 * ramp(), rtol=1e-5)
    np.testing.assert_allclose(views.depth("a", ["wide", "tall"]).depth, ramp(), rtol=1e-5)


def test_memory_that_runs_out_halves_the_batch() -> None:
    views = inference(most=1)

    np.testing.assert_allclose(views.depth("a", ["wide", "broken"]).depth, ramp(), rtol=1e-5)


def test_a_pair_that_is_not_finite_is_left_out() -> None:
    np.testing.assert_allclose(inference().depth("a", ["broken", "wide"]).depth, ramp(), rtol=1e-5)


@pytest.mark.parametrize(
    ("partners", "options", "words"),
    [
        ([], {}, "no other photo of the model shares points"),
        (["broken"], {}, "not finite"),
        (["wide"], {"most": 0}, "out of memory"),
    ],
)
def test_no_depth_comes_with_its_reason(partners: list[str], options: dict, words: str) -> None:
    with pytest.raises(NoDepthError, match=words):
        inference(**options).depth("a", partners)


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


WIDTH, HEIGHT = 90, 60


def photo_map(orientation: int) -> PhotoMap:
    upright = (WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH)
    return PhotoMap(pixel_map(upright, "a.jpg", size=96), (WIDTH, HEIGHT), orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_pixels_are_where_pillow_puts_them(orientation: int) -> None:
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    stored = np.dstack((columns, rows)).astype(np.uint8)
    planes = [Image.fromarray(stored[..., k]) for k in (0, 1)]
    if orientation != 1:
        planes = [plane.transpose(TRANSPOSE[orientation]) for plane in planes]
    shown = np.dstack([np.asarray(plane) for plane in planes])
    there = photo_map(orientation)
    upright = np.array([[0, 0], [shown.shape[1] - 1, 0], [7, 11]])
    network = there.upright.to_network(upright + 0.5)
    expected = shown[upright[:, 1], upright[:, 0]] + 0.5
    assert np.allclose(there.to_photo(network), expected, atol=1e-3)


@given(orientation=st.integers(1, 8), x=st.floats(-20, 200), y=st.floats(-20, 200))
def test_there_and_back(orientation: int, x: float, y: float) -> None:
    there = photo_map(orientation)
    assert np.allclose(there.to_network(there.to_photo(np.array([[x, y]]))), [[x, y]], atol=1e-3)
