"""How much memory photos need, by their headers, and how many are decoded at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

COLMAP_BYTES_PER_PIXEL = 8
"""Of a photo that COLMAP reads: 6.3 of RGB, 7.3 of 16 bit, measured with pycolmap 4.2.1."""

_GRAY = frozenset({"1", "L", "P"})
_BY_ROWS = frozenset({"JPEG", "MPO", "PNG", "BMP", "PPM"})
"""Formats whose decoders hold a few rows beside the picture; others whole ones more (WebP three)."""


class MemoryBudget:
    """Lets threads decode side by side as long as their photos together stay below a number of bytes.

    A photo that is larger than the whole budget is decoded alone.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._in_use = 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, num_bytes: int) -> Iterator[None]:
        """Wait until `num_bytes` more may be used, and hold them while the context is open."""
        with self._changed:
            self._changed.wait_for(lambda: not self._in_use or self._in_use + num_bytes <= self._max_bytes)
            self._in_use += num_bytes
        try:
            yield
        finally:
            with self._changed:
                self._in_use -= num_bytes
                self._changed.notify_all()


def decoding_bytes(image: Image.Image) -> int:
    """Bytes that decoding, turning upright and conversion to 8 bits take at most.

    The image is opened and not yet decoded; `Image.draft` has set the wanted size.
    """
    stored = 1 if image.mode in _GRAY else 2 if image.mode.startswith("I;16") else 4
    is_gray = image.mode == "L" or image.mode.startswith(("I", "F"))
    shown = 1 if is_gray else 4
    converted = 0 if image.mode in ("L", "RGB") else shown
    turned = max(stored, shown)  # perhaps: to ask a PNG for its orientation is to decode it
    decoder = 0 if image.format in _BY_ROWS else 4 if image.format == "TIFF" else 16
    if image.info.get("progressive"):
        decoder = 6 * _draft_scale(image) ** 2  # coefficients of the whole photo, whatever size is wanted
    return image.width * image.height * (stored + converted + turned + decoder)


def _draft_scale(image: Image.Image) -> int:
    """How much smaller a JPEG is decoded than it is stored."""
    return int((getattr(image, "decoderconfig", None) or (1,))[0])
