"""An entry of the cache that one process makes while others wait for it, on the same machine."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def only_process(entry: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of an entry, a file beside it; the system lets go when the process ends.

    Args:
        entry: file or folder, which need not be there.
        wait: until another process lets go; otherwise False is given where one holds it.
    """
    path = entry.with_name(f"{entry.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not wait:
            yield False
            return
        print(f"waiting for another process that makes {entry}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield True
    finally:
        lock.release()
