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
    """False for an opened file of the kinds that every reader takes alike: 8-bit JPEG and PNG."""
    if image.format in ("JPEG", "MPO"):
        return image.mode not in ("L", "RGB")
    return (
        image.format != "PNG"
        or image.mode not in ("L", "RGB", "RGBA")
        or ";16" in str(getattr(image, "tile", ""))
    )


def has_deep_integers(image: Image.Image) -> bool:
    """Whether the samples of a TIFF are whole numbers of more than 8 bits, which Pillow may misread."""
    bits = getattr(image, "tag_v2", {}).get(258, (8,))
    return image.mode != "F" and max(bits) > 8


def colmaps_samples(path: Path, size: tuple[int, int], orientation: int) -> Samples | None:
    """Pixels that COLMAP reads, spread over the photo turned upright by its EXIF orientation; None where
    COLMAP cannot read it. `size` is that of the stored pixels.
    """
    bitmap = pycolmap.Bitmap.read(path, True)
    if bitmap is None or (bitmap.width, bitmap.height) != size:
        return None
    pixels = bitmap.to_array()
    grid = pixels[np.ix_(_places(pixels.shape[0]), _places(pixels.shape[1]))]
    return np.asarray(_turned(Image.fromarray(grid), orientation)).astype(np.int16)


def our_samples(upright: Image.Image) -> Samples:
    """The same pixels as we read them, without an array of the whole photo."""
    columns = _places(upright.width)
    rows = (upright.crop((0, int(y), upright.width, int(y) + 1)) for y in _places(upright.height))
    return np.stack([np.asarray(row.convert("RGB"))[0, columns] for row in rows]).astype(np.int16)


def are_same(ours: Samples, theirs: Samples) -> bool:
    """Whether two readings of a photo differ by rounding alone."""
    return bool(np.abs(ours - theirs).mean() <= _SAME)


def is_colmap_right(ours: Samples, theirs: Samples, *, is_deep: bool) -> bool:
    """Which of two readings that differ is the photo.

    Pillow's, except for deep integers (it takes 12 bits for 16, and planes of 16 bits for rows). COLMAP gives
    what it cannot decode as black, so a black reading loses.
    """
    contrast = float(np.ptp(theirs)) / max(1.0, float(np.ptp(ours)))
    return contrast >= (0.5 if is_deep else 2.0)


def colmaps_picture(path: Path, orientation: int) -> Image.Image:
    """The photo as COLMAP reads it, upright."""
    bitmap = pycolmap.Bitmap.read(path, True)
    if bitmap is None:
        raise OSError("COLMAP cannot read it any more")
    return _turned(Image.fromarray(bitmap.to_array()), orientation)


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    method = TRANSPOSE.get(orientation)
    return picture if method is None else picture.transpose(method)


def _places(length: int) -> NDArray[np.int64]:
    """Positions along a side that are the same from either end, so that turned pictures can be compared."""
    half = np.arange(_SAMPLES // 2) * length // _SAMPLES
    return np.concatenate((half, length - 1 - half[::-1]))
