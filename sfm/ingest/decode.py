"""Opening photos from anywhere, and their pixels the right way up."""

from __future__ import annotations

import functools
import io
import os
import stat
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfm.ingest.deep_gray import eight_bit, is_deep
from sfm.ingest.memory import decoding_bytes
from sfm.ingest.tiff_tags import claimed_bytes
from sfm.workspace.machine import free_memory

MAX_PIXELS = 500_000_000
"""Larger photos are refused: a file of a few kilobytes can claim to hold billions of pixels."""

# Pillow also reads formats that run other programs (EPS) or that no camera writes; those stay closed.
_FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "HEIF", "AVIF", "BMP", "JPEG2000", "PPM")
_MAX_EXIF_PROFILE = 1 << 18
_MAX_TAG_BYTES = 16 << 20
_DAMAGED_EXIF = (OSError, SyntaxError, LookupError, ValueError, TypeError, EOFError, struct.error)

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


class TooLargeForMemoryError(UnusablePhotoError):
    """A photo that would need more memory than is free."""


def load_rgb(path: Path, *, max_size: int | None = None) -> NDArray[np.uint8]:
    """Upright pixels of a photo, (H, W, 3) uint8; `max_size` reduces the longer side, px.

    Raises:
        OSError: the file cannot be read or decoded.
        UnusablePhotoError: more than `MAX_PIXELS`, or than fit into memory.
    """
    return np.asarray(_load(path, max_size))


def load_gray(path: Path, *, max_size: int | None = None) -> NDArray[np.uint8]:
    """Upright luma of a photo, (H, W) uint8; see `load_rgb`."""
    return np.asarray(_load(path, max_size).convert("L"))


def _load(path: Path, max_size: int | None) -> Image.Image:
    with open_photo(path) as image:
        return reduced(image, max_size) if max_size else upright(image).convert("RGB")


@contextmanager
def open_photo(path: Path) -> Iterator[Image.Image]:
    """A picture's header and, on demand, pixels; only formats of photos are tried.

    All pictures are opened here, so that the same limits hold for all.

    Raises:
        OSError: unreadable, or not a photo.
        UnusablePhotoError: more than `MAX_PIXELS`.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        if _is_tag_bomb(file, status.st_size):
            raise OSError("its tags claim more than the file can hold")
        file.seek(0)
        with _pillow_limit.lifted(), _opened(file) as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width} x {image.height}"
                raise UnusablePhotoError(f"{size} px is more than {MAX_PIXELS // 1_000_000} megapixels")
            yield image


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe would wait for somebody to write to it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _opened(file: BinaryIO) -> Image.Image:
    formats = _known_formats()
    with _damage_as_os_error():
        return Image.open(file, formats=formats)


def _is_tag_bomb(file: BinaryIO, length: int) -> bool:
    return claimed_bytes(file, length) > _MAX_TAG_BYTES + 4 * length


class _PillowLimit:
    """Pillow's own limit of pixels: a global that library users may rely on, off only while we read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_readers = 0
        self._limit: int | None = None

    @contextmanager
    def lifted(self) -> Iterator[None]:
        with self._lock:
            if not self._num_readers:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._num_readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_readers -= 1
                if not self._num_readers:
                    Image.MAX_IMAGE_PIXELS = self._limit


_pillow_limit = _PillowLimit()


@contextmanager
def _damage_as_os_error() -> Iterator[None]:
    """Pillow's decoders meet damaged files with nearly every type of exception."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise OSError(f"{error or type(error).__name__}") from error


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
        if image.format == "PNG" and "exif" not in image.info:
            decode(image)  # as Pillow does: they may come last
        if _has_exif_bomb(image):
            return {}, {}, {}
        main = image.getexif()
        return main, main.get_ifd(0x8769), main.get_ifd(0x8825)
    except _DAMAGED_EXIF:
        return {}, {}, {}


def _has_exif_bomb(image: Image.Image) -> bool:
    exif = image.info.get("exif", b"")
    data = exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else b""
    profile = image.info.get("Raw profile type exif", "")  # in hexadecimal, of PNGs by ImageMagick
    return _is_tag_bomb(io.BytesIO(data), len(data)) or len(profile) > _MAX_EXIF_PROFILE


def stored_orientation(image: Image.Image) -> int:
    """EXIF orientation, 1..8; to be asked before decoding. 1 where it is missing or nonsense."""
    value = exif_tables(image)[0].get(0x0112, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def reduced(image: Image.Image, max_size: int) -> Image.Image:
    """Upright 8-bit RGB whose longer side is at most `max_size`; JPEGs are decoded at reduced size."""
    image.draft(None, (max_size, max_size))
    small = upright(image)
    small.thumbnail((max_size, max_size), Image.Resampling.LANCZOS)
    return small.convert("RGB")


def decode(image: Image.Image) -> None:
    """Read all pixels, if they fit into the memory that is free; reads the whole file, so damage shows.

    Raises:
        OSError: the pixels cannot be decoded.
        TooLargeForMemoryError: they don't fit.
    """
    refuse_if_too_large(image, decoding_bytes(image))
    with _damage_as_os_error():
        image.load()


def refuse_if_too_large(image: Image.Image, num_bytes: int) -> None:
    """Raise TooLargeForMemoryError where `num_bytes` are more than is free."""
    free = free_memory()
    if num_bytes > free:
        raise TooLargeForMemoryError(
            f"{image.width} x {image.height} px need {num_bytes / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} GB are free"
        )


def upright(image: Image.Image) -> Image.Image:
    """All pixels, upright, with 8 bits, gray or RGB: gray ones need a quarter of the memory.

    Raises:
        OSError, TooLargeForMemoryError: as `decode`.
    """
    decode(image)
    # After decoding, because for TIFF Pillow has then applied and removed the orientation.
    method = TRANSPOSE.get(stored_orientation(image))
    plain = eight_bit(image) if is_deep(image) else image
    shown = plain if plain.mode in ("L", "RGB") else plain.convert("RGB")
    return shown if method is None else shown.transpose(method)
