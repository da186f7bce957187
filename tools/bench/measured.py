"""Run a command in a process of its own and measure it, whatever becomes of it."""

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

_TAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command took and how it ended."""

    seconds: float
    """Wall clock; means little on a machine that others use too."""
    cpu_seconds: float
    """User and system time of the command and of the children that it waited for."""
    peak_memory_mb: float
    """Largest resident set of the command."""
    exit_code: int
    timed_out: bool
    tail: str
    """The end of what it printed."""

    @property
    def failure(self) -> str:
        """Why it has no result, in a few words; empty on success."""
        if self.timed_out:
            return f"stopped after {self.seconds:.0f} s"
        if self.exit_code == 0:
            return ""
        last = self.tail.strip().splitlines()[-1:] or [""]
        how = f"signal {-self.exit_code}" if self.exit_code < 0 else f"exit {self.exit_code}"
        return f"{how}: {last[0][:160]}"


def run_measured(
    command: Sequence[str], *, log: Path, time_limit_s: float, environment: Mapping[str, str] | None = None
) -> Measured:
    """Run `command`, its output in the file `log`; past the time limit its whole process group is killed."""
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        expired = threading.Event()
        timer = threading.Timer(time_limit_s, _kill_group, (process.pid, expired))
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _kill_group(process.pid, expired)
            process.wait()
            raise
        finally:
            timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(
        seconds=time.monotonic() - started,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory_mb=usage.ru_maxrss / 1024,
        exit_code=process.returncode,
        timed_out=expired.is_set(),
        tail=log.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARACTERS:],
    )


def _kill_group(pid: int, expired: threading.Event) -> None:
    expired.set()
    with contextlib.suppress(ProcessLookupError):  # it may end by itself at this very moment
        os.killpg(pid, signal.SIGKILL)
