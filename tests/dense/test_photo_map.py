"""Network pixels and stored photo pixels, for every EXIF orientation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sfm.ingest.decode import TRANSPOSE
from sfm.mast3r.network.image_input import pixel_map
from sfm.matching.dense.inference.photo_map import PhotoMap

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
