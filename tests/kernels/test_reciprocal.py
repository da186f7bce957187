"""Reciprocal matching against stored results, and against its steps written out one pixel at a time."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from kernels.reciprocal import DescriptorPair, PixelPairs

FIXTURES = Path(__file__).parent / "data" / "nn_smooth.npz"
sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def whole_numbers(size: tuple[int, int], seed: int) -> Tensor:
    """A map whose products are exact, with ties, and smooth enough that some walks take several steps."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(-3, 4, size=(size[0] // 3 + 1, size[1] // 3 + 1, 3))
    fine = rng.integers(-1, 2, size=(*size, 3))
    smooth = coarse.repeat(3, axis=0).repeat(3, axis=1)[: size[0], : size[1]]
    return torch.from_numpy(2 * smooth + fine).float()


def neighbours(a: Tensor, b: Tensor) -> NDArray[np.int64]:
    return np.argmax(a.flatten(0, 1).double().numpy() @ b.flatten(0, 1).double().numpy().T, axis=1)


def by_definition(map1: Tensor, map2: Tensor, starts: list[int]) -> tuple[list[tuple[int, int]], list[int]]:
    """Pairs and basin of walks from linear indices: at most ten round trips, each start on its own."""
    there_from, back_from = neighbours(map1, map2), neighbours(map2, map1)
    pairs, basin = set(), [-1] * (map1.shape[0] * map1.shape[1])
    for start in starts:
        here = start
        for _ in range(10):
            there = int(there_from[here])
            before, here = here, int(back_from[there])
            basin[before] = here
            if here == before:
                pairs.add((here, there))
                break
    return sorted(pairs), basin


def listed(pairs: PixelPairs) -> list[tuple[int, int]]:
    return list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def grid(size: tuple[int, int], step: int) -> list[int]:
    height, width = size
    ys, xs = range(step // 2, height, step), range(step // 2, width, step)
    return [x + width * y for y in ys for x in xs]


def test_stored_results() -> None:
    with np.load(FIXTURES) as stored:
        pair = DescriptorPair(torch.from_numpy(stored["desc1"]), torch.from_numpy(stored["desc2"]))
        widths = np.array([[1], [pair.shapes[0][1]]]), np.array([[1], [pair.shapes[1][1]]])
        names = [key.removesuffix("_xy1") for key in stored.files if key.endswith("_xy1")]
        for name in names:
            kind, step, *tolerance = name.split("_")
            if kind == "fast":
                found = pair.from_grid(int(step[1:]))
            else:
                found = pair.from_pixels(pair.grid(int(step[1:])), pixel_tol=float(tolerance[0][3:]))

            expected = [(stored[f"{name}_xy{view + 1}"] @ widths[view]).ravel().tolist() for view in range(2)]
            assert listed(found) == list(zip(*expected, strict=True)), name
    assert len(names) == 12


@given(sizes, sizes, st.integers(1, 5), st.integers(0, 2**16))
def test_walks_from_a_grid(size1: tuple[int, int], size2: tuple[int, int], step: int, seed: int) -> None:
    map1, map2 = whole_numbers(size1, seed), whole_numbers(size2, seed + 1)
    pair = DescriptorPair(map1, map2)

    found = pair.from_grid(step, basin=True)

    pairs, basin = by_definition(map1, map2, grid(size1, step))
    assert listed(found) == pairs
    assert found.basin is not None
    assert found.basin.tolist() == basin
    assert listed(pair.from_grid(step)) == pairs


@given(sizes, sizes, st.integers(1, 4), st.integers(0, 2**16))
def test_both_ways_share_what_they_know(
    size1: tuple[int, int], size2: tuple[int, int], step: int, seed: int
) -> None:
    map1, map2 = whole_numbers(size1, seed), whole_numbers(size2, seed + 1)
    pair = DescriptorPair(map1, map2)
    pair.from_grid(step)

    found = pair.swapped().from_grid(step)

    assert listed(found) == by_definition(map2, map1, grid(size2, step))[0]
    assert listed(found) == listed(DescriptorPair(map2, map1).from_grid(step))


@given(sizes, sizes, st.integers(0, 2**16))
def test_exhaustive(size1: tuple[int, int], size2: tuple[int, int], seed: int) -> None:
    map1, map2 = whole_numbers(size1, seed), whole_numbers(size2, seed + 1)
    there, back = neighbours(map1, map2), neighbours(map2, map1)

    found = DescriptorPair(map1, map2).exhaustive()

    assert listed(found) == [(i, int(j)) for i, j in enumerate(there) if back[j] == i]
    assert set(listed(DescriptorPair(map1, map2).from_grid(1))) == set(listed(found))


@given(sizes, sizes, st.sampled_from([0.0, 1.0, 2.0, 2.5, 100.0]), st.integers(0, 2**16))
def test_round_trips_of_given_pixels(
    size1: tuple[int, int], size2: tuple[int, int], tolerance: float, seed: int
) -> None:
    (height, width), rng = size1, np.random.default_rng(seed)
    map1, map2 = whole_numbers(size1, seed), whole_numbers(size2, seed + 1)
    pixels = np.column_stack((rng.integers(width, size=9), rng.integers(height, size=9)))

    found = DescriptorPair(map1, map2).from_pixels(torch.from_numpy(pixels), pixel_tol=tolerance)

    there, back = neighbours(map1, map2), neighbours(map2, map1)
    expected = set()
    for x, y in pixels.tolist():
        end = int(back[there[x + width * y]])
        distance = math.hypot(end % width - x, end // width - y)
        if distance < tolerance or distance == 0:
            expected.add((x + width * y, int(there[x + width * y])))
    assert listed(found) == sorted(expected)


def test_walks_that_take_more_than_ten_round_trips_are_dropped() -> None:
    """Places on a line, ever closer to each other: the nearest is always the next one of the other map."""
    places = torch.cat((torch.zeros(1), torch.arange(80.0, 2.0, -2.0).cumsum(0)))
    u, v, one = places[::2], places[1::2], torch.ones(20)
    # The product is minus half of the squared distance.
    map1 = torch.stack((u, one, -(u**2) / 2), dim=1).expand(11, -1, -1)
    map2 = torch.stack((v, -(v**2) / 2, one), dim=1).expand(11, -1, -1)
    pair = DescriptorPair(map1, map2)
    assert (pair.grid(19).tolist(), pair.grid(20).tolist()) == ([[9, 9]], [[10, 10]])

    assert listed(pair.from_grid(20)) == [(19, 19)]
    assert listed(pair.from_grid(19)) == []


def test_walks_that_meet_descriptors_without_numbers_are_dropped() -> None:
    map1, map2 = torch.randn(8, 8, 24), torch.randn(8, 8, 24)
    map1[2, 2] = map2[3] = torch.nan

    found = DescriptorPair(map1, map2).from_grid(1, basin=True)

    assert 2 * 8 + 2 not in found.first.tolist()
    assert not set(range(24, 32)) & set(found.second.tolist())
    assert found.basin is not None
    assert found.basin[2 * 8 + 2] == -1
    everything = DescriptorPair(map1, torch.full_like(map2, torch.nan))
    assert listed(everything.from_grid(1)) == []
    assert listed(everything.exhaustive()) == []
    assert listed(everything.from_pixels(torch.zeros(1, 2, dtype=torch.int64), pixel_tol=99.0)) == []


def test_grids_coarser_than_the_map_have_no_start() -> None:
    pair = DescriptorPair(torch.randn(3, 5, 4), torch.randn(4, 4, 4))

    assert listed(pair.from_grid(16)) == []
    assert pair.grid(4).tolist() == [[2, 2]]


def test_what_does_not_fit_is_refused() -> None:
    pair = DescriptorPair(torch.randn(3, 5, 4), torch.randn(4, 4, 4))

    with pytest.raises(ValueError, match="at least 1"):
        pair.from_grid(0)
    with pytest.raises(ValueError, match="outside of a map of 5x3"):
        pair.from_pixels(torch.tensor([[0, 3]]))
    with pytest.raises(ValueError, match=r"\(K, 2\)"):
        pair.from_pixels(torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="maps are"):
        DescriptorPair(torch.randn(3, 5, 4), torch.randn(4, 4, 5))
