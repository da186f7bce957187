"""Opening photos that nobody vouches for, and their pixels the right way up."""

from __future__ import annotations

import functools
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PIXELS = 500_000_000
"""Larger photos are refused: a file of a few kilobytes can claim to hold billions of pixels."""

# Pillow also reads formats that run other programs (EPS) or that no camera writes; those stay closed.
_FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "HEIF", "AVIF", "BMP", "JPEG2000", "PPM")
_OPEN_LOCK = threading.Lock()
_DAMAGED_EXIF = (OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError, EOFError, struct.error)

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns stored pixels upright, by EXIF orientation."""


class UnusablePhotoError(Exception):
    """A photo that can be opened but not used; the message is for the user."""


def load_rgb(path: Path, *, max_size: int | None = None) -> NDArray[np.uint8]:
    """Upright pixels of a photo.

    Args:
        path: a photo of the collection (`Photo.path`).
        max_size: longer side to reduce to, px; None leaves the size.

    Returns:
        (H, W, 3) uint8, EXIF orientation applied.

    Raises:
        OSError: the file cannot be read or decoded.
        UnusablePhotoError: more than `MAX_PIXELS`.
    """
    return np.asarray(_load(path, max_size))


def load_gray(path: Path, *, max_size: int | None = None) -> NDArray[np.uint8]:
    """Upright luma of a photo, (H, W) uint8; see `load_rgb`."""
    return np.asarray(_load(path, max_size).convert("L"))


def _load(path: Path, max_size: int | None) -> Image.Image:
    with open_photo(path) as image:
        return reduced(image, max_size) if max_size else upright_rgb(image)


@contextmanager
def open_photo(path: Path) -> Iterator[Image.Image]:
    """A photo's header and, on demand, pixels; only formats of photos are tried.

    Raises:
        OSError: unreadable, or not a photo.
        UnusablePhotoError: more than `MAX_PIXELS`.
    """
    formats = _known_formats()
    # Pillow's own limit is a global that library users may rely on, so it is only lifted for a moment.
    with _OPEN_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width} x {image.height}"
            raise UnusablePhotoError(f"{size} px is more than {MAX_PIXELS // 1_000_000} megapixels")
        yield image


@functools.cache
def _known_formats() -> tuple[str, ...]:
    import pillow_heif

    pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of the stored pixels, px; to be asked before they are decoded."""
    # Pillow turns TIFFs upright by itself and reports the turned size; COLMAP doesn't.
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None:
        return int(tags[256]), int(tags[257])
    return image.width, image.height


def exif_tables(
    image: Image.Image,
) -> tuple[Mapping[int, object], Mapping[int, object], Mapping[int, object]]:
    """Metadata by tag number: main, Exif and GPS table; empty where damaged, since the pixels may be fine."""
    try:
        main = image.getexif()
        return main, main.get_ifd(0x8769), main.get_ifd(0x8825)
    except _DAMAGED_EXIF:
        return {}, {}, {}


def stored_orientation(image: Image.Image) -> int:
    """EXIF orientation, 1..8; to be asked before decoding. 1 where it is missing or nonsense."""
    value = exif_tables(image)[0].get(0x0112, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def reduced(image: Image.Image, max_size: int) -> Image.Image:
    """Upright 8-bit RGB whose longer side is at most `max_size`; JPEGs are decoded at reduced size."""
    image.draft(None, (max_size, max_size))
    small = upright_rgb(image)
    small.thumbnail((max_size, max_size), Image.Resampling.LANCZOS)
    return small


def upright_rgb(image: Image.Image) -> Image.Image:
    """All pixels, upright, as 8-bit RGB; reads the whole file, so damage shows.

    Raises:
        OSError: the pixels cannot be decoded.
    """
    image.load()
    # After decoding, because for TIFF Pillow has then applied and removed the orientation.
    method = TRANSPOSE.get(stored_orientation(image))
    rgb = _eight_bit(image).convert("RGB")
    return rgb if method is None else rgb.transpose(method)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Deep gray images scaled down; Pillow's own conversion would cut everything above 255 off."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image).astype(np.float32)
    values = np.where(np.isfinite(values), values, 0).clip(min=0)
    return Image.fromarray(
        (values * (255 / _white(image.mode, values))).round().clip(0, 255).astype(np.uint8)
    )


def _white(mode: str, values: NDArray[np.float32]) -> float:
    """The value that stands for white: of 16 bit by definition, else the next usual one above all values."""
    if mode.startswith("I;16"):
        return 65535.0
    brightest = float(values.max(initial=0.0))
    usual = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
    return next((white for white in usual if brightest <= white), brightest)
