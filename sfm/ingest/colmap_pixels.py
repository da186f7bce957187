"""What COLMAP's reader makes of a photo, beside what ours does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from sfm.ingest.decode import TRANSPOSE

_SAMPLES = 128
"""Pixels compared along each side."""
_SAME = 3.0
"""Mean difference of readings that are the same but for rounding, in gray levels."""

Samples = NDArray[np.int16]


def needs_comparing(image: Image.Image) -> bool:
    """False for the files that nearly all cameras write, which every reader takes alike: 8-bit JPEG and PNG.

    Args:
        image: opened, not yet decoded.
    """
    if image.format in ("JPEG", "MPO"):
        return image.mode not in ("L", "RGB")
    return image.format != "PNG" or image.mode not in ("L", "RGB", "RGBA") or ";16" in str(image.tile[0].args)


def has_deep_integers(image: Image.Image) -> bool:
    """Whether the samples of a TIFF are whole numbers of more than 8 bits, which Pillow may misread."""
    bits = getattr(image, "tag_v2", {}).get(258, (8,))
    return image.mode != "F" and max(bits) > 8


def picture_to_copy(
    path: Path, size: tuple[int, int], orientation: int, upright: Image.Image, *, is_deep: bool
) -> Image.Image | None:
    """The upright picture that COLMAP must be given, or None where it reads the same from the file itself.

    Where the readings differ, Pillow's is right but for deep integers (it takes 12 bits for 16, and planes of
    16 bits for rows), and for a reading that shows nothing: what COLMAP cannot decode, it gives as black.

    Args:
        path: the photo.
        size: width and height of its stored pixels.
        orientation: EXIF orientation by which those are turned.
        upright: the photo as Pillow reads it.
        is_deep: see `has_deep_integers`.
    """
    bitmap = pycolmap.Bitmap.read(path, True)
    if bitmap is None or (bitmap.width, bitmap.height) != size:
        return upright
    stored = bitmap.to_array()
    method = TRANSPOSE.get(orientation)
    grid = Image.fromarray(_sampled(stored))
    theirs = _gray_levels(grid if method is None else grid.transpose(method))
    ours = _gray_levels(_grid_of(upright))
    if np.abs(ours - theirs).mean() <= _SAME:
        return None
    contrast = float(np.ptp(theirs)) / max(1, np.ptp(ours))
    if contrast < (0.5 if is_deep else 2.0):
        return upright
    picture = Image.fromarray(stored)
    return picture if method is None else picture.transpose(method)


def _gray_levels(picture: Image.Image) -> Samples:
    return np.asarray(picture).astype(np.int16)


def _sampled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels[np.ix_(_places(pixels.shape[0]), _places(pixels.shape[1]))]


def _grid_of(picture: Image.Image) -> Image.Image:
    """As `_sampled`, without an array of the whole picture."""
    columns = _places(picture.width)
    rows = []
    for y in _places(picture.height):
        row = np.asarray(picture.crop((0, int(y), picture.width, int(y) + 1)))
        rows.append(row[:, columns])
    return Image.fromarray(np.concatenate(rows))


def _places(length: int) -> NDArray[np.int64]:
    """Positions along a side that are the same from either end, so that turned pictures can be compared."""
    half = np.arange(_SAMPLES // 2) * length // _SAMPLES
    return np.concatenate((half, length - 1 - half[::-1]))
