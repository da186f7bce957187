"""Threads of PyTorch for as much work as there is.

Threads wait for each other after each operation. Where these are short and another program uses the
processor, they wait longer than they work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_PER_THREAD = 1_000_000
"""Points that a thread of its own is worth."""


@contextmanager
def threads_for(num_points: int) -> Iterator[None]:
    """A block whose operations are on so many points each: no more threads than they are worth."""
    given = torch.get_num_threads()
    torch.set_num_threads(min(given, 1 + num_points // _PER_THREAD))
    try:
        yield
    finally:
        torch.set_num_threads(given)
