"""Correspondences against stored results and against loops over single pixels."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.reciprocal import DescriptorPair
from sfm.mast3r.network.correspondences import (
    Correspondences,
    DescriptorMap,
    match_direction,
    match_pixels,
    merge_directions,
)

Table = dict[tuple[int, int, int, int], float]
sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def random_map(size: tuple[int, int], seed: int) -> DescriptorMap:
    """Few distinct whole-numbered descriptors: walks meet, and products are exact."""
    rng = np.random.default_rng(seed)
    descriptors = rng.integers(-3, 4, size=(*size, 3)).astype(np.float32)
    return DescriptorMap(torch.from_numpy(descriptors), torch.from_numpy(rng.random(size, np.float32) + 0.1))


def table(found: Correspondences) -> Table:
    """Confidence by x, y in a and x, y in b."""
    rows = np.column_stack((found.xy_a, found.xy_b)).tolist()
    assert len({tuple(row) for row in rows}) == len(rows), "a pair occurs twice"
    assert rows == sorted(rows, key=lambda row: (row[1], row[0], row[3], row[2]))
    return {tuple(row): conf for row, conf in zip(rows, found.confidence.tolist(), strict=True)}


def by_definition(directions: list[tuple[DescriptorMap, DescriptorMap]], subsample: int) -> Table:
    """Matches of each map's grid in either direction; whoever comes first sets the confidence."""
    merged: Table = {}
    for a, b in directions:
        width_a, width_b = a.descriptors.shape[1], b.descriptors.shape[1]
        forward = DescriptorPair(a.descriptors, b.descriptors).from_grid(subsample)
        backward = DescriptorPair(b.descriptors, a.descriptors).from_grid(subsample)
        pairs = list(zip(forward.first.tolist(), forward.second.tolist(), strict=True))
        pairs += zip(backward.second.tolist(), backward.first.tolist(), strict=True)
        for i, j in pairs:
            conf_a, conf_b = float(a.confidence.flatten()[i]), float(b.confidence.flatten()[j])
            conf = math.sqrt(conf_a * conf_b)
            merged.setdefault((i % width_a, i // width_a, j % width_b, j // width_b), conf)
    return merged


@given(sizes, sizes, st.integers(1, 4), st.integers(0, 2**16))
def test_both_directions(size_a: tuple[int, int], size_b: tuple[int, int], subsample: int, seed: int) -> None:
    a1, a2 = random_map(size_a, seed), random_map(size_a, seed + 1)
    b1, b2 = random_map(size_b, seed + 2), random_map(size_b, seed + 3)

    first = match_direction(a1, b1, subsample=subsample)
    found = merge_directions(first, match_direction(a2, b2, subsample=subsample))

    assert table(found) == pytest.approx(by_definition([(a1, b1), (a2, b2)], subsample))
    assert table(merge_directions(first)) == pytest.approx(by_definition([(a1, b1)], subsample))


@given(sizes, sizes, st.integers(0, 2**16), st.sampled_from([0.0, 1.5, 5.0]))
def test_given_pixels_are_matched_where_the_way_back_ends_near_them(
    size_a: tuple[int, int], size_b: tuple[int, int], seed: int, pixel_tol: float
) -> None:
    a, b = random_map(size_a, seed), random_map(size_b, seed + 1)
    rng = np.random.default_rng(seed)
    starts = np.column_stack((rng.integers(0, size_a[1], 7), rng.integers(0, size_a[0], 7)))
    products = a.descriptors.flatten(0, 1) @ b.descriptors.flatten(0, 1).T
    there, back = products.argmax(dim=1).tolist(), products.argmax(dim=0).tolist()

    found = match_pixels(a, b, torch.from_numpy(starts), pixel_tol=pixel_tol)

    expected = set()
    for x, y in starts.tolist():
        end = there[x + size_a[1] * y]
        x_back, y_back = back[end] % size_a[1], back[end] // size_a[1]
        off = math.hypot(x_back - x, y_back - y)
        if off < pixel_tol or off == 0:
            expected.add((x + size_a[1] * y, end))
    assert set(zip(found.pixels_a.tolist(), found.pixels_b.tolist(), strict=True)) == expected
    assert found.confidence_a.tolist() == a.confidence.flatten()[found.pixels_a].tolist()
    assert found.confidence_b.tolist() == b.confidence.flatten()[found.pixels_b].tolist()


@settings(max_examples=20)
@given(sizes, sizes, st.integers(0, 2**16))
def test_the_photos_may_change_their_places(
    size_a: tuple[int, int], size_b: tuple[int, int], seed: int
) -> None:
    a, b = random_map(size_a, seed), random_map(size_b, seed + 1)

    found = table(merge_directions(match_direction(a, b, subsample=2)))

    swapped = table(merge_directions(match_direction(b, a, subsample=2)))
    assert {(*key[2:], *key[:2]): conf for key, conf in swapped.items()} == found


@pytest.mark.shared
def test_stored_results(shared_data: Path) -> None:
    with np.load(shared_data.parent / "parity" / "corres" / "c48x64_64x48.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    maps = {
        view: DescriptorMap(torch.from_numpy(arrays[f"desc{view}"]), torch.from_numpy(arrays[f"qonf{view}"]))
        for view in ("11", "21", "22", "12")
    }
    for subsample in (4, 8):
        first = match_direction(maps["11"], maps["21"], subsample=subsample)
        second = match_direction(maps["12"], maps["22"], subsample=subsample)
        found, name = merge_directions(first, second), f"sym_S{subsample}"
        assert np.array_equal(found.xy_a, arrays[f"{name}_xy1"])
        assert np.array_equal(found.xy_b, arrays[f"{name}_xy2"])
        np.testing.assert_allclose(found.confidence, arrays[f"{name}_conf"], rtol=1e-6)


def test_descriptors_without_numbers_give_no_correspondence() -> None:
    a, b = random_map((6, 6), 0), random_map((6, 6), 1)
    a.descriptors.fill_(torch.nan)

    found = merge_directions(match_direction(a, b, subsample=1))

    assert found.xy_a.shape == found.xy_b.shape == (0, 2)
    assert found.xy_a.dtype == np.int64
    assert found.confidence.dtype == np.float32


def test_what_does_not_fit_is_refused() -> None:
    a, b = random_map((6, 6), 0), random_map((5, 4), 1)

    with pytest.raises(ValueError, match="not of one map"):
        DescriptorMap(a.descriptors, b.confidence)
    with pytest.raises(ValueError, match="one pair"):
        merge_directions(match_direction(a, b), match_direction(b, a))
    with pytest.raises(ValueError, match="one pair"):
        merge_directions()
