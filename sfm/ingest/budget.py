"""How many pixels are decoded at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class PixelBudget:
    """Lets threads decode side by side as long as their photos together stay below a number of pixels.

    A photo that is larger than the whole budget is decoded alone.
    """

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._in_use = 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` more may be decoded, and hold them while the context is open."""
        with self._changed:
            self._changed.wait_for(lambda: not self._in_use or self._in_use + pixels <= self._max_pixels)
            self._in_use += pixels
        try:
            yield
        finally:
            with self._changed:
                self._in_use -= pixels
                self._changed.notify_all()
