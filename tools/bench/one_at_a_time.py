"""An entry of the cache that one process makes while others wait for it, on the same machine."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_process(entry: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of an entry, a file beside it that stays; the system lets go when the process ends.

    Args:
        entry: file or folder, which need not be there.
        wait: until another process lets go; otherwise False is given where one holds it.
    """
    lock = entry.with_name(f"{entry.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield False
                return
            print(f"waiting for another process that makes {entry}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield True
