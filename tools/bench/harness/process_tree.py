"""Memory of a command with all that it started, watched while it runs (Linux only), and of this process.

A limit of address space (`RLIMIT_AS`) would not do: torch, CUDA and faiss reserve many times what they use,
and it holds for each process by itself. What counts is what is resident, over the command's whole session.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_PROC = Path("/proc")
_FIRST_INTERVAL_S, _LAST_INTERVAL_S, _GROWTH = 0.01, 0.25, 1.3
"""Short runs are sampled often, long ones cheaply."""
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
_SESSION_FIELD, _RESIDENT_FIELD = 3, 21
"""Of /proc/PID/stat, counted from the state that follows the name in parentheses."""


def can_watch() -> bool:
    """Whether this system tells what processes hold."""
    return (_PROC / "self" / "stat").is_file()


def own_peak_mb() -> float:
    """Most that this process held resident since `forget_own_peak`, or ever, MB.

    By the kernel's own count: what getrusage tells begins with what the parent held.
    """
    try:
        lines = (_PROC / "self" / "status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )


def forget_own_peak() -> None:
    """Let the peak begin anew with what this process holds now, where the system can."""
    with contextlib.suppress(OSError):
        (_PROC / "self" / "clear_refs").write_text("5", encoding="ascii")


def resident_mb(session: int) -> float:
    """Resident memory of all processes of a session, MB; pages that they share count in each of them."""
    return sum(_resident_pages(session)) * _PAGE_MB


def _resident_pages(session: int) -> Iterator[int]:
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:  # it ended
            continue
        if int(fields[_SESSION_FIELD]) == session:
            yield int(fields[_RESIDENT_FIELD])


class MemoryWatch:
    """Samples a session, at last four times a second; what lives shorter than that may be missed.

    Args:
        session: id of the process that leads it.
        limit_mb: most that all its processes together may hold.
        exceeded: called once, when they hold more.
    """

    def __init__(self, session: int, limit_mb: float | None, exceeded: Callable[[], None]) -> None:
        self.peak_mb = 0.0
        self.is_exceeded = False
        self._session, self._limit_mb, self._exceeded = session, limit_mb, exceeded
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        if can_watch():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        interval = _FIRST_INTERVAL_S
        while not self._done.wait(interval):
            interval = min(_LAST_INTERVAL_S, interval * _GROWTH)
            with contextlib.suppress(OSError):
                self.peak_mb = max(self.peak_mb, resident_mb(self._session))
            if self._limit_mb is not None and self.peak_mb > self._limit_mb:
                self.is_exceeded = True
                self._exceeded()
                return
