"""Gray photos of more than 8 bits, scaled down strip by strip."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_PIXELS_AT_A_TIME = 1 << 20


def is_deep(image: Image.Image) -> bool:
    """Whether a photo has one channel of 16 or 32 bits."""
    return image.mode.startswith(("I", "F"))


def eight_bit(image: Image.Image) -> Image.Image:
    """A deep gray photo as mode L; Pillow's own conversion would cut everything above 255 off."""
    scale = 255 / _white(image)
    result = Image.new("L", image.size)
    for top, values in _strips(image):
        values *= scale
        result.paste(Image.fromarray(values.round(out=values).clip(0, 255).astype(np.uint8)), (0, top))
    return result


def _strips(image: Image.Image) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """First row and finite values of strips, so that a large photo is never held as floats."""
    height = max(1, _PIXELS_AT_A_TIME // image.width)
    for top in range(0, image.height, height):
        strip = image.crop((0, top, image.width, min(top + height, image.height)))
        values = np.asarray(strip).astype(np.float32)
        values[~np.isfinite(values)] = 0
        yield top, values


def _white(image: Image.Image) -> float:
    """The value that stands for white: of 16 bit by definition, else the next usual one above all values."""
    if image.mode.startswith("I;16"):
        return 65535.0
    brightest = max(float(values.max(initial=0.0)) for _, values in _strips(image))
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    return next((white for white in usual if brightest <= white), brightest)
