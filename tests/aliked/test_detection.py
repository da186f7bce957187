"""Keypoints of a map of scores."""

from itertools import product

import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'loopsfm[aliked]'")

import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch import Tensor

from sfm.matching.aliked.detection import Detection


def scores_of(seed: int, size: tuple[int, int] = (12, 15), levels: int = 40) -> Tensor:
    """A random map with equal scores among them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(levels, (1, 1, *size), generator=generator) / levels


def window(row: int, column: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    return [
        (row + down, column + right)
        for down, right in product(range(-2, 3), repeat=2)
        if 0 <= row + down < size[0] and 0 <= column + right < size[1]
    ]


def peaks_of(scores: Tensor) -> set[tuple[int, int]]:
    """Peaks by their definition: three rounds, each beside the windows of those before."""
    size = (scores.shape[2], scores.shape[3])
    at = {place: scores[0, 0][place].item() for place in product(*map(range, size))}
    found: set[tuple[int, int]] = set()
    for _ in range(3):
        taken = {place for peak in found for place in window(*peak, size)}
        left = {place: 0.0 if place in taken else value for place, value in at.items()}
        found |= {
            place
            for place, value in left.items()
            if place not in taken and value == max(left[other] for other in window(*place, size))
        }
    return {(row, column) for row, column in found if 2 <= row < size[0] - 2 and 2 <= column < size[1] - 2}


def pixels(xy: Tensor, size: tuple[int, int]) -> Tensor:
    """x and y in pixels, (0, 0) in the centre of the first."""
    return (xy + 1) / 2 * torch.tensor([size[1] - 1, size[0] - 1])


@given(st.integers(0, 10_000))
def test_peaks_are_those_of_three_rounds(seed: int) -> None:
    scores = scores_of(seed)
    peaks = sorted(peak for peak in peaks_of(scores) if scores[0, 0][peak] > 0.2)

    (xy,), (at,), (spread,) = Detection(max_keypoints=1000)(scores)

    assert len(xy) == len(at) == len(spread) == len(peaks)
    near = (pixels(xy, (12, 15))[:, None] - torch.tensor(peaks).flip(1)).abs().amax(2)
    assert (near.amin(1) <= 2).all()
    best = sorted((scores[0, 0][peak].item() for peak in peaks), reverse=True)[:3]
    (few,), _, _ = Detection(max_keypoints=3)(scores)
    assert len(few) == len(best)
    torch.testing.assert_close(few, xy[: len(best)])


def test_a_peak_lies_where_its_window_is_highest() -> None:
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    scores = torch.exp(-((columns - 11.3).square() + (rows - 7.8).square()) / 4)[None, None]

    (xy,), (at,), (spread,) = Detection(max_keypoints=10)(scores)

    at_pixels = pixels(xy, (20, 30))
    torch.testing.assert_close(at_pixels, torch.tensor([[11.3, 7.8]]), atol=0.1, rtol=0)
    between = map_coordinates(scores[0, 0].numpy(), at_pixels.flip(1).T.numpy(), order=1)
    assert at.item() == pytest.approx(between[0], abs=1e-4)
    assert 0 < spread.item() < 1


def test_without_a_high_score_peaks_above_the_mean_are_kept() -> None:
    scores = scores_of(1) / 10
    (xy,), _, _ = Detection(max_keypoints=1000)(scores)
    assert len(xy) == sum(scores[0, 0][peak] > scores.mean() for peak in peaks_of(scores))
    assert len(xy) > 0


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (3, 40)])
def test_a_map_without_a_whole_window_has_no_keypoint(size: tuple[int, int]) -> None:
    (xy,), (at,), (spread,) = Detection(max_keypoints=10)(torch.full((1, 1, *size), 0.5))
    assert xy.shape == (0, 2)
    assert len(at) == len(spread) == 0
