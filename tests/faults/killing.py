"""Commands that are killed or interrupted at a chosen moment, from one process that has loaded them.

Run as a program, this is that process: it answers each line, a `Job` in JSON, by what became of a child of
its own that ran the command: its exit code, and how many changes to files it made.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_CHANGES = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "sqlite3.connect"}
)


@dataclass(frozen=True)
class Job:
    """A command, and what happens to it."""

    folder: str
    words: list[str]
    kill_at: int = 0
    """Which of its changes to files below the folder it doesn't live to make."""
    after: str = ""
    """The stage at whose end it gets a signal, or at its first event of that name."""
    event: str = "stage"
    signal: int = signal.SIGKILL
    max_file_bytes: int = 0


class Killer:
    """Runs commands, and stops them if asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, folder: Path, *words: str | Path, **options: Any) -> tuple[int, int]:
        """Exit code (negative: the signal) and number of changes below `folder` until the end.

        What the command says is in `said.txt` of the folder; the options are those of `Job`.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = Job(str(folder), [str(word) for word in words], **options)
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        code, count = json.loads(self._process.stdout.readline())
        return code, count


@contextmanager
def killer() -> Iterator[Killer]:
    """The process that has everything loaded."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.killing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
    ) as process:
        try:
            yield Killer(process)
        finally:
            process.kill()


def _serve() -> None:
    import sfm.alignment
    import sfm.cli.main
    import sfm.cli.terminal
    import sfm.exports.exporting
    import sfm.exports.views
    import sfm.matching.sift.backend
    import sfm.pipelines
    import sfm.pipelines.run

    del sfm
    for line in sys.stdin:
        job = Job(**json.loads(line))
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read_end)
            _run(job, write_end)
        os.close(write_end)
        _, status = os.waitpid(child, 0)
        counted = os.read(read_end, 100)
        os.close(read_end)
        print(json.dumps([os.waitstatus_to_exitcode(status), int(counted or b"0")]), flush=True)


def _run(job: Job, report: int) -> None:
    """The command, in the child."""
    from sfm.cli.main import main

    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(os.path.join(job.folder, "said.txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number, target in ((0, null), (1, log), (2, log)):
        os.dup2(target, number)
    count = 0

    def count_changes(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if not (event in _CHANGES or (event == "open" and _writes(arguments))) or not _is_below(
            arguments, job.folder
        ):
            return
        count += 1
        if count == job.kill_at:
            os.write(report, str(count).encode())
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count_changes)
    if job.after:
        _signal_after((job.after, job.event), job.signal)
    if job.max_file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.max_file_bytes, job.max_file_bytes))
    code = 1
    try:
        main(job.words)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(report, str(count).encode())
        os._exit(code)


def _signal_after(last: tuple[str, str], number: int) -> None:
    from sfm.workspace.events import EventLog

    emit = EventLog.emit

    def halting(log: EventLog, of: str, event: str, **fields: object) -> None:
        emit(log, of, event, **fields)
        if (of, event) == last:
            os.kill(os.getpid(), number)

    EventLog.emit = halting


def _writes(arguments: tuple[object, ...]) -> bool:
    _, mode, flags = arguments
    return bool(set(mode) & set("wax+")) if isinstance(mode, str) else bool(int(str(flags or 0)) & 3)


def _is_below(arguments: tuple[object, ...], folder: str) -> bool:
    texts = (os.fsdecode(a) for a in arguments if isinstance(a, str | bytes | os.PathLike))
    return any(folder in text for text in texts)


if __name__ == "__main__":
    _serve()
