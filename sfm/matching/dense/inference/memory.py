"""Batches that fit into memory: a first guess from what is free, halved when that was too much."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from sfm.workspace.machine import free_memory

T = TypeVar("T")
R = TypeVar("R")

_BYTES_PER_PIXEL = 4_500
"""Of one pair in one direction, all heads, measured on CPU in fp32; dominated by the point head."""
_MAX_BATCH = {"cuda": 64, "mps": 8, "cpu": 4}

OUT_OF_MEMORY = "out of memory; a smaller mast3r.image_size needs less"

_MEMORY_MESSAGES = ("out of memory", "can't allocate memory", "status_alloc_failed")
"""The last by cuBLAS and cuDNN, which find no room for their work space."""


def guess_batch(num_pixels: int, device: torch.device) -> int:
    """Pairs of `num_pixels` (both photos) that half of the device's free memory holds, at least 1."""
    limit = _MAX_BATCH.get(device.type, 1)
    return max(1, min(limit, int(free_bytes(device) / 2 / (num_pixels * _BYTES_PER_PIXEL))))


def free_bytes(device: torch.device) -> int:
    """Free memory of a device; of the machine where the device shares it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory()


def is_memory_error(error: BaseException) -> bool:
    """Whether `error` means that memory ran out; torch has no type of its own for the CPU's."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _MEMORY_MESSAGES)


def in_batches(
    items: Sequence[T],
    size: int,
    work: Callable[[Sequence[T]], R],
    give_up: Callable[[Sequence[T], str], None],
) -> Iterator[R]:
    """Results of `work` on `size` items at a time; fewer where memory runs out (`memory_errors_halve`)."""
    for start in range(0, len(items), size):
        yield from memory_errors_halve(items[start : start + size], work, give_up)


def memory_errors_halve(
    items: Sequence[T], work: Callable[[Sequence[T]], R], give_up: Callable[[Sequence[T], str], None]
) -> Iterator[R]:
    """Results of `work` on all items together, or on halves of them when memory runs out.

    `give_up` receives a single item that is too large by itself, and the reason.
    """
    if not items:
        return
    try:
        result = work(items)
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
    else:
        yield result
        return
    release_memory()
    if len(items) == 1:
        give_up(items, OUT_OF_MEMORY)
        return
    half = len(items) // 2
    yield from memory_errors_halve(items[:half], work, give_up)
    yield from memory_errors_halve(items[half:], work, give_up)


def release_memory() -> None:
    """Give back what a failed attempt left."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
