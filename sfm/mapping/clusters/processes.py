"""Clusters mapped side by side, each by a fresh process of its own.

Processes are started, never forked: COLMAP and torch have threads, whose locks a fork would leave taken for
ever. A fresh interpreter, unlike multiprocessing's spawn, does not run the caller's script again.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from .task import is_mapped

_ERRORS = "errors.txt"


def run_tasks(
    folders: Sequence[Path], *, processes: int, threads: int, on_registered: Callable[[str], None]
) -> dict[Path, str]:
    """Map the clusters in `folders`, in this order, at most `processes` at a time.

    Args:
        folders: each with a task.
        processes: at most so many run at once.
        threads: that libraries may use in each.
        on_registered: called in this thread with each image that any of them registers.

    Returns:
        Why the process failed, by folder; nothing of those that are mapped. However this ends, no process is
        left over.
    """
    failures: dict[Path, str] = {}
    running = _Running()
    told: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def run(folder: Path) -> None:
        try:
            code = running.map_one(folder, threads, told.put)
            if not is_mapped(folder):
                failures[folder] = _why(folder, code)
        except OSError as error:
            failures[folder] = str(error)
        finally:
            told.put(None)

    with ThreadPoolExecutor(processes) as pool:
        try:
            waiting = [pool.submit(run, folder) for folder in folders]
            while waiting:
                if (name := told.get()) is None:
                    waiting.pop()
                else:
                    on_registered(name)
        finally:
            running.stop()
    return failures


class _Running:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def map_one(self, folder: Path, threads: int, tell: Callable[[str], None]) -> int | None:
        """Run one process to its end; its exit code, None where it was not started any more."""
        with (folder / _ERRORS).open("wb") as errors:
            with self._lock:
                if self._stopped:
                    return None
                process = _start(folder, threads, errors.fileno())
                self._processes.add(process)
            assert process.stdout is not None
            with process:
                for line in process.stdout:
                    with suppress(json.JSONDecodeError):  # a line torn by a kill
                        tell(str(json.loads(line)))
            with self._lock:
                self._processes.discard(process)
        return process.returncode

    def stop(self) -> None:
        """Kill what still runs; nothing is started any more."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.kill()  # COLMAP answers gentler signals with a stack trace


def _start(folder: Path, threads: int, errors: int) -> subprocess.Popen[str]:
    path = os.pathsep.join(part for part in sys.path if part)
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "sfm.mapping.clusters.worker", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **limits, "PYTHONPATH": path},
        text=True,
    )


def _why(folder: Path, code: int | None) -> str:
    lines = (folder / _ERRORS).read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    ended = f"killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    return f"{ended}: {last}" if last else ended
