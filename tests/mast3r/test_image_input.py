"""The network's pixels equal the reference's, and their map back to the photo is exact."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from sfm.errors import SfmError
from sfm.mast3r.network.image_input import MAX_ASPECT, PhotoShapeError, network_photo, pixel_map

BENCH = str(Path(__file__).resolve().parents[2] / "tools" / "bench")
DATA = Path(__file__).parent / "data_geometry"

sides = st.integers(16, 4000)
sizes = st.sampled_from([160, 224, 256, 336, 500, 512])


def loader_cases(folder: Path) -> list:
    sys.path[:0] = [] if BENCH in sys.path else [BENCH]
    from parity import loader

    return list(loader.cases(folder))


def test_pixels_equal_the_references() -> None:
    found = loader_cases(DATA)

    assert len(found) == 22
    assert [case for case in found if not case.passed] == []


@pytest.mark.shared
def test_pixels_equal_all_of_the_references(shared_data: Path) -> None:
    found = loader_cases(shared_data.parent / "parity")

    assert len(found) > 100
    assert [case for case in found if not case.passed] == []


@given(sides, sides, sizes, st.booleans())
def test_the_crop_is_whole_patches_within_the_photo(w: int, h: int, size: int, square_ok: bool) -> None:
    assume(max(w, h) <= MAX_ASPECT * min(w, h))

    grid = pixel_map((w, h), "p", size=size, square_ok=square_ok)

    rows, columns = grid.size
    assert rows % 16 == columns % 16 == 0
    assert max(rows, columns) == (224 if size == 224 else size // 16 * 16)
    corners = np.array([[-0.5, -0.5], [columns - 0.5, rows - 0.5]])
    low, high = grid.to_photo(corners)
    assert (low >= -1e-3).all()
    assert (high <= np.array([w, h]) * (1 + 1e-6)).all()
    if size != 224 and (w != h or square_ok):  # less than a patch is lost on either side
        lost = np.array([w, h]) / grid.scale - [columns, rows]
        assert (lost < 16.6).all()


@given(sides, sides, sizes)
def test_there_and_back_is_where_we_started(w: int, h: int, size: int) -> None:
    assume(max(w, h) <= MAX_ASPECT * min(w, h))
    grid = pixel_map((w, h), "p", size=size)
    rows, columns = grid.size
    pixels = np.array([[0, 0], [columns - 1, rows - 1], [3.25, 7.5]])

    np.testing.assert_allclose(grid.to_network(grid.to_photo(pixels)), pixels, atol=2e-4)


def test_a_whole_photo_is_mapped_corner_to_corner() -> None:
    grid = pixel_map((1024, 768), "p", size=512)

    assert grid.to_photo(np.array([[0, 0], [511, 383]])).tolist() == [[1.0, 1.0], [1023.0, 767.0]]
    same = pixel_map((512, 384), "p", size=512)
    assert same.to_photo(np.zeros((1, 2))).tolist() == [[0.5, 0.5]]  # COLMAP's first pixel centre


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(801, 533, 512), (333, 501, 512), (700, 701, 224), (300, 200, 336), (640, 640, 336), (1000, 130, 512)],
)
def test_a_gradient_is_found_where_the_map_says(width: int, height: int, size: int) -> None:
    """Channels 0 and 1 of the photo hold the coordinates of the pixel centres, scaled to 8 bits."""
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    gradient = np.stack([255 * u / width, 255 * v / height, 0 * u], axis=-1).round().astype(np.uint8)

    photo, grid = network_photo(gradient, "p", size=size)

    rows, columns = photo.size
    assert (rows, columns) == grid.size
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    where = grid.to_photo(np.stack([x, y], axis=-1).reshape(-1, 2)).reshape(rows, columns, 2)
    error = photo.pixels[..., :2] - 255 * where / [width, height]
    inner = error[8:-8, 8:-8]  # the resampling filter is cut off at the borders
    assert np.abs(inner).max() < 1.6  # rounded twice, and Lanczos rings
    assert np.abs(inner.mean(axis=(0, 1))).max() < 0.1  # 0.1 of 255 is less than a third of a pixel


def test_both_forms_of_a_photo_give_the_same() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)

    from_array, _ = network_photo(pixels, "p")
    from_image, _ = network_photo(Image.fromarray(pixels), "p")

    np.testing.assert_array_equal(from_array.pixels, from_image.pixels)
    assert from_array.pixels.dtype == np.uint8


@pytest.mark.parametrize("size", [336, 400, 100])
def test_a_cropped_square_is_whole_patches_at_any_size(size: int) -> None:
    rows, columns = pixel_map((600, 600), "p", size=size).size

    assert columns == size // 16 * 16
    assert columns * 3 // 4 - 16 < rows <= columns * 3 // 4


@pytest.mark.parametrize(
    ("photo_size", "size", "words"),
    [
        ((15, 20), 512, "15 x 20 px is smaller than one patch"),
        ((8000, 800), 512, "10.0 times as long"),
        ((800, 8000), 224, "10.0 times as long"),
        ((10**9, 16), 224, "times as long"),
        ((640, 480), 16, "less than one patch"),
        ((640, 480), 0, "less than one patch"),
    ],
)
def test_a_shape_that_cannot_be_used_is_named(photo_size: tuple[int, int], size: int, words: str) -> None:
    with pytest.raises(PhotoShapeError, match=words) as caught:
        pixel_map(photo_size, "holiday/pano.jpg", size=size)

    assert isinstance(caught.value, SfmError)
    assert str(caught.value).startswith("holiday/pano.jpg: ")
    assert caught.value.hint


@pytest.mark.parametrize("pixels", [np.zeros((32, 32), np.uint8), np.zeros((32, 32, 3), np.float32)])
def test_other_arrays_are_not_photos(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="takes"):
        network_photo(pixels, "p")
    with pytest.raises(ValueError, match="mode L"):
        network_photo(Image.new("L", (32, 32)), "p")
