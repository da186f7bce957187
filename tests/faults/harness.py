"""Readers fed with damaged files, in a process of their own: what hangs or dies there is found, too."""

from __future__ import annotations

import json
import logging
import os
import re
import resource
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from queue import Empty, Queue
from random import Random
from tempfile import TemporaryDirectory
from threading import Thread

from sfm.errors import SfmError

from .mutations import damaged

ROOT = Path(__file__).resolve().parents[2]
MAX_SECONDS = 10.0
"""For one damaged file; readers need milliseconds."""
_IN_MEMORY = Path("/dev/shm")  # thousands of files are quicker there than on many a disk
_PATIENCE = 120.0
"""Until a reader has read its sound file, s: libraries are imported for it."""
_ENDED = "ended the process"
_MEMORY = 6 << 30
"""Address space, of which imported libraries alone take over 2 GB."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one damaged file: `read`, the error that refused it, or a failure."""

    reader: str
    seed: int
    what: str
    failure: str = ""


@dataclass(slots=True)
class Tally:
    """Outcomes of many."""

    on_failure: Callable[[Outcome], None] = lambda _: None
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.counts[f"{outcome.reader}: {outcome.what}"] += 1
        if outcome.failure:
            self.failures.append(outcome)
            self.on_failure(outcome)


@dataclass(frozen=True, slots=True)
class SoundFile:
    """Content of a file; of a large one what comes before and after its longest run of zeros."""

    head: bytes
    hole: int = 0
    tail: bytes = b""

    @classmethod
    def of(cls, path: Path) -> SoundFile:
        """The content of a file."""
        content = path.read_bytes()
        if found := re.search(rb"\0{1000000,}", content):
            return cls(content[: found.start()], len(found[0]), content[found.end() :])
        return cls(content)

    def write(self, path: Path) -> None:
        """Write a file; a run of zeros takes no space."""
        with path.open("wb") as file:
            file.write(self.head)
            file.seek(self.hole, os.SEEK_CUR)
            file.write(self.tail)
            file.truncate()


class Bench:
    """A reader, its sound files in a folder, and the same files damaged by a seed."""

    def __init__(self, name: str, folder: Path) -> None:
        from .readers import READERS

        self.name, self.folder, self.reader = name, folder, READERS[name]
        self.reader.make(folder)
        self.reader.read(folder)
        self._sound = {p: SoundFile.of(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        self._written: dict[str, int] = {}
        self._targets = sorted(p for pattern in self.reader.damage for p in folder.glob(pattern))
        assert self._targets, f"{name}: nothing to damage"

    def damage(self, seed: int) -> Path:
        """Write the files of a seed; returns the one that is damaged."""
        rng = Random(f"{self.name} {seed}")
        self._restore()
        target = rng.choice(self._targets)
        self._written.pop(str(target), None)
        sound = self._sound[target]
        if sound.tail and rng.random() < 0.3:
            sound = replace(sound, tail=damaged(target, sound.tail, rng))
        else:
            sound = replace(sound, head=damaged(target, sound.head, rng))
        sound.write(target)
        return target

    def run(self, seed: int) -> Outcome:
        """Read the files of a seed."""
        self.damage(seed)
        try:
            self.reader.read(self.folder)
        except (SfmError, *self.reader.documented) as error:
            return Outcome(self.name, seed, type(error).__name__)
        except Exception as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            code = trace.tb_frame.f_code if trace else None
            where = f"{Path(code.co_filename).name}:{trace.tb_lineno}" if code and trace else ""
            return Outcome(self.name, seed, "failure", f"{type(error).__name__}: {error!s:.200} ({where})")
        return Outcome(self.name, seed, "read")

    def _restore(self) -> None:
        names = {str(path) for path in self._sound}
        for parent, _, files in os.walk(self.folder):
            for name in files:
                if (path := os.path.join(parent, name)) not in names:
                    os.unlink(path)
        for path, sound in self._sound.items():
            try:
                is_sound = os.stat(path).st_mtime_ns == self._written.get(str(path))
            except FileNotFoundError:
                is_sound = False
                path.parent.mkdir(parents=True, exist_ok=True)
            if not is_sound:
                sound.write(path)
                self._written[str(path)] = os.stat(path).st_mtime_ns


def fuzz(
    names: list[str],
    seeds: range,
    seconds: float = float("inf"),
    on_failure: Callable[[Outcome], None] = lambda _: None,
    processes: int = 2,
) -> Tally:
    """Feed each reader with the files of all seeds, or for its share of a time, in some processes."""
    tally, size = Tally(), -(-len(seeds) // processes)
    parts = [seeds[start : start + size] for start in range(0, len(seeds), size)]
    with ThreadPoolExecutor(processes) as pool:
        for part in pool.map(lambda part: _fuzz(names, part, seconds, on_failure), parts):
            tally.counts.update(part.counts)
            tally.failures.extend(part.failures)
    return tally


def _fuzz(names: list[str], seeds: range, seconds: float, on_failure: Callable[[Outcome], None]) -> Tally:
    """As `fuzz`, in one process at a time.

    A hang or a crash costs the process, and one outcome; the next process goes on after it.
    """
    tally, start, end = Tally(on_failure), seeds.start, time.monotonic() + seconds
    while names and time.monotonic() < end:
        share = (end - time.monotonic()) / len(names)
        last = None
        for last in _in_a_process(names, seeds, start, share):
            tally.add(last)
        if last is None or last.what != _ENDED:
            break
        names, start = names[names.index(last.reader) :], last.seed + 1
    return tally


def _in_a_process(names: list[str], seeds: range, first: int, share: float) -> Iterator[Outcome]:
    """Outcomes as they come, of the first reader from another seed on; the last may be a hang or a crash."""
    figures = map(str, (first, seeds.start, seeds.stop, share))
    command = [sys.executable, "-m", "tests.faults.harness", *figures]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with (
        TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as scratch,
        open(Path(scratch) / "stderr", "w+b") as log,
        subprocess.Popen(
            [*command, scratch, *names], stdout=subprocess.PIPE, stderr=log, cwd=ROOT, env=environment
        ) as child,
    ):
        lines, name, seed, patience, is_ready = _lines(child), names[0], first, _PATIENCE, False
        while True:
            try:
                line = lines.get(timeout=patience)
            except Empty:
                child.kill()
                yield Outcome(name, seed, _ENDED, "hangs")
                return
            if not line:
                break
            told = json.loads(line)
            if told is None:
                is_ready, patience = True, MAX_SECONDS
            elif isinstance(told, str):  # the reader that comes next
                name, seed = told, first if told == names[0] else seeds.start
                is_ready, patience = False, _PATIENCE
            else:
                outcome = Outcome(**told)
                seed = outcome.seed + 1
                yield outcome
        if child.wait():
            log.seek(0)
            tail = log.read()[-600:].decode(errors="replace")
            if not is_ready:
                raise RuntimeError(f"{name}: its sound files cannot be read: {tail}")
            yield Outcome(name, seed, _ENDED, f"the process ended with {child.returncode}: {tail}")


def _lines(child: subprocess.Popen[bytes]) -> Queue[bytes]:
    """What a process prints, line by line, and nothing once it has ended."""
    lines: Queue[bytes] = Queue()

    def read() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            lines.put(line)
        lines.put(b"")

    Thread(target=read, daemon=True).start()
    return lines


def _child(first: int, start: int, stop: int, share: float, scratch: Path, names: list[str]) -> None:
    """Read the files of some seeds and tell what became of each, a line of JSON at a time."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no outcome
    import pycolmap

    pycolmap.logging.minloglevel = 4
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    for name in names:
        out.write(json.dumps(name) + "\n")
        bench, end = Bench(name, scratch / name), time.monotonic() + share
        out.write("null\n")
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.RLIM_INFINITY))
        seed = first if name == names[0] else start
        stop_here = start + max((stop - start) // bench.reader.slowness, 1)
        while seed < stop_here and time.monotonic() < end:
            out.write(json.dumps(asdict(bench.run(seed))) + "\n")
            seed += 1


if __name__ == "__main__":
    _child(*map(int, sys.argv[1:4]), float(sys.argv[4]), Path(sys.argv[5]), sys.argv[6:])
