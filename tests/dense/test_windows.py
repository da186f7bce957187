"""Windows of large photos: where they lie, and which pairs of them are chosen."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sfm.config.schema import Mast3rConfig
from sfm.mast3r.network.image_input import PhotoShapeError, pixel_map
from sfm.matching.dense.inference.photo_map import PhotoMap
from sfm.matching.dense.inference.windows import COVERAGE, Windows, choose_pairs, lay_windows, matched_px

SIZES = st.sampled_from([64, 128, 224, 500, 512])


def laid(width: int, height: int, size: int = 512, max_pairs: int = 16, orientation: int = 1) -> Windows:
    """Windows of a photo whose stored pixels are `width` x `height`."""
    upright = (width, height) if orientation < 5 else (height, width)
    return lay_windows(
        PhotoMap(pixel_map(upright, "x.jpg", size=size), (width, height), orientation), size, max_pairs
    )


@st.composite
def any_windows(draw: st.DrawFn) -> tuple[Windows, int, int]:
    """Windows that are there, the network's size and the number of pairs paid for."""
    size, max_pairs = draw(SIZES), draw(st.integers(2, 60))
    width, height = draw(st.integers(64, 7000)), draw(st.integers(64, 7000))
    try:
        windows = laid(width, height, size, max_pairs, draw(st.integers(1, 8)))
    except PhotoShapeError:
        assume(False)
    assume(windows.maps)
    return windows, size, max_pairs


@given(any_windows())
def test_windows_are_whole_patches_inside_of_the_photo_and_show_all_of_it(
    drawn: tuple[Windows, int, int],
) -> None:
    windows, size, _ = drawn
    height, width = windows.size
    for window in windows.maps:
        assert window.size == (height, width)
        assert 0 <= window.crop[0] <= windows.resized[0] - width
        assert 0 <= window.crop[1] <= windows.resized[1] - height
    assert height % 16 == width % 16 == 0
    assert 16 <= max(height, width) <= size
    starts = [sorted({window.crop[axis] for window in windows.maps}) for axis in (0, 1)]
    assert len(windows.maps) == len(starts[0]) * len(starts[1])
    for side, whole, first in zip((width, height), windows.resized, starts, strict=True):
        assert first[0] == 0
        assert first[-1] == whole - side
        assert all(b - a <= side / 2 for a, b in pairwise(first))


@given(any_windows())
def test_windows_show_photos_larger_than_the_network_does_but_never_enlarged(
    drawn: tuple[Windows, int, int],
) -> None:
    windows, size, max_pairs = drawn
    px = windows.photo_px
    assert px >= 1 - 1e-9
    assert windows.photo.photo_px > 1.15 * px
    for window in windows.maps:
        assert window.scale[0] == pytest.approx(window.scale[1], rel=0.02)
    if px > 1.01:  # reduced, and no more than the number of pairs asks for
        long, short = size // 16 * 16, (size if size == 224 else size * 3 // 4) // 16 * 16
        assert windows.resized[0] * windows.resized[1] == pytest.approx(long * short * max_pairs, rel=0.05)


@given(any_windows(), st.integers(0, 2**32))
def test_positions_lie_inside_of_the_windows_that_show_them(
    drawn: tuple[Windows, int, int], seed: int
) -> None:
    windows, _, _ = drawn
    xy = np.random.default_rng(seed).uniform(0, windows.photo.stored_size, (20, 2))

    inside = windows.inside(xy)

    assert inside.shape == (20, len(windows))
    assert inside.any(axis=1).all()
    for index in range(len(windows)):
        here = windows.photo_map(index).to_network(xy)
        low, high = here.min(axis=1), (here - np.array(windows.size[::-1])).max(axis=1)
        assert (low[inside[:, index]] > -0.51).all()
        assert (high[inside[:, index]] < -0.49).all()
        np.testing.assert_allclose(windows.photo_map(index).to_photo(here), xy, atol=0.01)


@pytest.mark.parametrize(
    ("photo", "size", "count", "window"),
    [
        ((2048, 1536), 512, 7 * 7, (384, 512)),
        ((1536, 2048), 512, 7 * 7, (512, 384)),
        ((4000, 500), 512, 15 * 2, (384, 512)),
        ((500, 4000), 512, 2 * 15, (512, 384)),
        ((1000, 300), 512, 3 * 2, (288, 512)),
        ((896, 896), 224, 7 * 7, (224, 224)),
    ],
)
def test_full_size_windows(photo: tuple[int, int], size: int, count: int, window: tuple[int, int]) -> None:
    windows = laid(*photo, size=size)

    assert windows.photo_px == 1.0
    assert windows.size == window
    assert len(windows) == count


def test_rolled_photos_have_the_windows_of_the_upright_one() -> None:
    upright, stored = laid(1200, 900), laid(900, 1200, orientation=6)

    assert stored.maps == upright.maps
    xy = np.array([[3.0, 5.0]])
    turned = np.array([[5.0, 1200 - 3.0]])  # orientation 6: the first stored column is the top row
    np.testing.assert_array_equal(upright.inside(xy), stored.inside(turned))


@pytest.mark.parametrize("photo", [(512, 384), (384, 512), (300, 200), (600, 450), (520, 130)])
def test_photos_about_as_large_as_the_network_are_not_cut(photo: tuple[int, int]) -> None:
    windows = laid(*photo)

    assert windows.maps == ()
    assert len(windows) == 1
    assert windows.photo_map(0) == windows.photo
    assert windows.inside(np.array([[1.0, 1.0]])).tolist() == [[True]]


def test_one_pair_of_windows_is_no_better_than_the_whole_photos() -> None:
    assert laid(4000, 3000, max_pairs=1).maps == ()
    assert laid(4000, 3000, max_pairs=2).maps


memberships = st.tuples(
    st.integers(0, 60), st.integers(1, 9), st.integers(1, 9), st.floats(0.05, 0.9), st.integers(0, 2**32)
)


@given(memberships, st.integers(1, 12))
def test_chosen_pairs_cover_enough_or_are_as_many_as_allowed(
    drawn: tuple[int, int, int, float, int], max_pairs: int
) -> None:
    num, num_a, num_b, share, seed = drawn
    rng = np.random.default_rng(seed)
    inside_a, inside_b = rng.random((num, num_a)) < share, rng.random((num, num_b)) < share
    both = inside_a[:, :, None] & inside_b[:, None, :]

    chosen = choose_pairs(inside_a, inside_b, max_pairs)

    assert len(chosen) <= max_pairs
    left = np.ones(num, bool)
    coverable = both.any(axis=(1, 2)).sum()
    for i, j in chosen:
        assert (~left).sum() < COVERAGE * coverable  # none is chosen that isn't needed
        gains = both[left].sum(axis=0)
        assert gains[i, j] == gains.max() > 0
        left &= ~both[:, i, j]
    assert len(chosen) == max_pairs or (~left).sum() >= COVERAGE * coverable


def test_pixels_of_matches_are_those_of_the_windows_when_windows_are_on() -> None:
    maps = {
        name: PhotoMap(pixel_map(size, name), size) for name, size in (("a", (2048, 1536)), ("b", (512, 384)))
    }

    assert matched_px(maps, Mast3rConfig()) == {"a": 4.0, "b": 1.0}
    assert matched_px(maps, Mast3rConfig(coarse_to_fine=True)) == {"a": 1.0, "b": 1.0}
    assert matched_px(maps, Mast3rConfig(coarse_to_fine=True, max_windows=4)) == {"a": 2.0, "b": 1.0}
