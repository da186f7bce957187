"""Depth of one photo from its pairs: which direction is asked, how pairs are merged, what failures do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from sfm.mast3r.network.image_input import pixel_map
from sfm.mast3r.network.predictor import EncodedPhoto
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
