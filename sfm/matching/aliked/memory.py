"""Memory that a network frees is used again by its next step, where the C library is glibc."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers of `mallopt(3)`, from malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024
"""That glibc sets by itself, and half of its trim threshold then."""
_DEFAULT_MMAP_MAX = 65_536
_NEVER = 2**31 - 1


@contextmanager
def reused_memory() -> Iterator[None]:
    """Within it, blocks above 32 MB come from memory that was freed before.

    By default each is mapped anew. ALIKED's maps of a photo have 360 MB each: to zero their pages takes as
    long as the network does. Elsewhere than with glibc nothing changes.
    """
    try:
        library = ctypes.CDLL(None)
        set_option, trim = library.mallopt, library.malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        yield
        return
    set_option(_MMAP_MAX, 0)
    set_option(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        set_option(_MMAP_MAX, _DEFAULT_MMAP_MAX)
        set_option(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        set_option(_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)
        trim(0)
