"""A command run in a process of its own and measured, whatever becomes of it; a stopwatch within one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.process_tree import MemoryWatch, can_watch
from harness.shortened import shortened

TIMED_OUT, OUT_OF_MEMORY = "stopped after ", "stopped at "
"""How the failure of a process begins that was stopped at a limit."""
_ERROR = "error: "
_TAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command took and how it ended."""

    seconds: float
    """Wall clock; means little on a machine that others use too."""
    cpu_seconds: float
    """User and system time of the command and of the children that it waited for."""
    peak_memory_mb: float
    """Most that the command and all that it started held at once; where the system does not tell, the largest
    resident set of the command alone."""
    exit_code: int
    timed_out: bool
    tail: str
    """The end of what it printed."""
    out_of_memory: bool = False
    """Stopped since it held more than it was allowed."""

    @property
    def failure(self) -> str:
        """Why it has no result, in a few words; empty on success."""
        if self.timed_out:
            return f"{TIMED_OUT}{self.seconds:.0f} s"
        if self.out_of_memory:
            return f"{OUT_OF_MEMORY}{self.peak_memory_mb:.0f} MB"
        if self.exit_code == 0:
            return ""
        how = f"signal {-self.exit_code}" if self.exit_code < 0 else f"exit {self.exit_code}"
        return f"{how}: {shortened(_reason(self.tail))}"


class Clock:
    """Adds up the seconds that are spent inside it, by the wall and by this process on all its cores."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    def __enter__(self) -> Clock:
        self.wall_s -= time.monotonic()
        self.cpu_s -= time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s += time.monotonic()
        self.cpu_s += time.process_time()


def _reason(tail: str) -> str:
    """The last line that says it is an error, as ours do before a hint; else the last line."""
    lines = tail.strip().splitlines() or [""]
    told = [line for line in lines if line.startswith(_ERROR)]
    return told[-1].removeprefix(_ERROR) if told else lines[-1]


def run_measured(
    command: Sequence[str],
    *,
    log: Path,
    time_limit_s: float,
    memory_limit_mb: float | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Measured:
    """Run `command` in `folder`, its output in the file `log`; past a limit its process group is killed.

    Raises:
        RuntimeError: a memory limit on a system that does not tell what processes hold.
    """
    if memory_limit_mb is not None and not can_watch():
        raise RuntimeError("memory can be limited only where /proc tells what processes hold")
    started = time.monotonic()
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:  # no such program, or not to be executed
            return Measured(0.0, 0.0, 0.0, 127, False, f"{command[0]}: {error.strerror}")
        expired = threading.Event()
        timer = threading.Timer(time_limit_s, _kill_group, (process.pid, expired))
        timer.start()
        watch = MemoryWatch(process.pid, memory_limit_mb, lambda: _kill_group(process.pid))
        try:
            with watch:
                _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _kill_group(process.pid, expired)
            process.wait()
            raise
        finally:
            timer.cancel()
        _kill_group(process.pid)  # what it left behind would disturb the next
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(
        seconds=time.monotonic() - started,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory_mb=watch.peak_mb or usage.ru_maxrss / 1024,  # which begins with what the parent held
        exit_code=process.returncode,
        timed_out=expired.is_set(),
        tail=log.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARACTERS:],
        out_of_memory=watch.is_exceeded,
    )


def _kill_group(pid: int, expired: threading.Event | None = None) -> None:
    if expired is not None:
        expired.set()
    with contextlib.suppress(ProcessLookupError):  # it may end by itself at this very moment
        os.killpg(pid, signal.SIGKILL)
