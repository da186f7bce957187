"""What the command line shows while it works, on stderr: bars, plain lines, JSON lines or nothing."""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfm.workspace.progress import Progress, SilentProgress, Task

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_LINE_EVERY_S = 10.0
_JSON_EVERY_S = 1.0

Emit = Callable[[str], None]


class Display(enum.StrEnum):
    """How progress is shown."""

    BARS = "bars"
    LINES = "lines"
    JSON = "json"
    QUIET = "quiet"


def choose_display(*, quiet: bool, log_json: bool, verbose: bool) -> Display:
    """Bars on a terminal unless COLMAP's lines would tear them; plain lines elsewhere."""
    if quiet:
        return Display.QUIET
    if log_json:
        return Display.JSON
    return Display.LINES if verbose or not _is_capable_terminal() else Display.BARS


def make_progress(display: Display) -> Progress:
    """The progress display of a command."""
    match display:
        case Display.QUIET:
            return SilentProgress()
        case Display.BARS:
            return BarProgress()
        case Display.LINES:
            return TextProgress(_line_text, str, _to_stderr, every_s=_LINE_EVERY_S)
        case Display.JSON:
            return TextProgress(_json_text, _json_message, _to_stderr, every_s=_JSON_EVERY_S)


def set_up_logging(*, display: Display, verbose: bool) -> None:
    """Send log records to stderr: warnings of all packages, and with `verbose` everything of ours."""
    handler = logging.StreamHandler()
    formatter = _JsonFormatter() if display is Display.JSON else logging.Formatter("%(name)s: %(message)s")
    handler.setFormatter(formatter)
    logging.basicConfig(
        handlers=[handler], level=logging.ERROR if display is Display.QUIET else logging.WARNING
    )
    if verbose:
        for package in ("sfm", "retrieval", "kernels"):
            logging.getLogger(package).setLevel(logging.DEBUG)


def say_stopping(display: Display) -> Callable[[], None]:
    """What Ctrl-C shows at once, for a signal handler: it writes past Python's buffers."""
    text = "stopping: what is finished is kept"
    line = json_line("stopping", message=text) if display is Display.JSON else f"\n{text}"
    return lambda: None if display is Display.QUIET else _write_now(line)


def json_line(event: str, **fields: object) -> str:
    """One line of `--log-json`."""
    return json.dumps({"t": round(time.time(), 3), "event": event, **fields}, default=str)


@dataclass(slots=True)
class _Count:
    title: str
    total: int
    unit: str
    done: int = 0
    started: float = field(default_factory=lambda: time.monotonic())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        return self.done / max(self.seconds, 1e-9)


@dataclass(slots=True)
class TextProgress:
    """A line at the start and the end of each task, and one every `every_s` seconds between."""

    render: Callable[[str, _Count], str]
    render_message: Callable[[str], str]
    emit: Emit
    every_s: float

    @contextmanager
    def task(self, title: str, total: int, *, unit: str = "") -> Iterator[Task]:
        """A count from 0 to `total`; nothing is shown when there is nothing to do."""
        count = _Count(title, total, unit)
        if total:
            self.emit(self.render("start", count))
        yield _TextTask(self, count, count.started + self.every_s)
        if total:
            self.emit(self.render("end", count))

    def message(self, text: str) -> None:
        """Show one line."""
        self.emit(self.render_message(text))


@dataclass(slots=True)
class _TextTask:
    progress: TextProgress
    count: _Count
    due: float

    def advance(self, steps: int = 1) -> None:
        self.count.done += steps
        if self.count.done < self.count.total and time.monotonic() >= self.due:
            self.due = time.monotonic() + self.progress.every_s
            self.progress.emit(self.progress.render("running", self.count))


class BarProgress:
    """Bars with count, rate and time left; the bar of a finished task stays."""

    def __init__(self) -> None:
        self._live: RichProgress | None = None
        self._open = 0

    @contextmanager
    def task(self, title: str, total: int, *, unit: str = "") -> Iterator[Task]:
        """A count from 0 to `total`; nothing is shown when there is nothing to do."""
        if not total:
            with SilentProgress().task(title, total) as silent:
                yield silent
            return
        with self._display() as live:
            yield _BarTask(live, int(live.add_task(title, total=total, unit=unit)))

    def message(self, text: str) -> None:
        """Show nothing: bars say how far a run is."""

    @contextmanager
    def _display(self) -> Iterator[RichProgress]:
        """The live display, kept while any task is open so that nested tasks share it."""
        live = self._live = self._live or _rich_progress()
        self._open += 1
        if self._open == 1:
            live.start()
        try:
            yield live
        finally:
            self._open -= 1
            if self._open == 0:
                live.stop()
                self._live = None


@dataclass(slots=True)
class _BarTask:
    live: RichProgress
    number: int

    def advance(self, steps: int = 1) -> None:
        from rich.progress import TaskID

        self.live.advance(TaskID(self.number), steps)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {"level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        return json_line("log", **fields)


def _rich_progress() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Rich
    from rich.progress import Task as RichTask
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: RichTask) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")

    return Rich(
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
    )


def _line_text(moment: str, count: _Count) -> str:
    unit = f" {count.unit if count.total != 1 else count.unit.removesuffix('s')}" if count.unit else ""
    match moment:
        case "start":
            return f"{count.title}: {count.total}{unit}"
        case "end":
            return f"{count.title}: {count.done}{unit} in {count.seconds:.1f} s"
    left = (count.total - count.done) / max(count.rate, 1e-9)
    return f"{count.title}: {count.done} of {count.total}{unit}, {count.rate:.1f}/s, {left:.0f} s left"


def _json_text(moment: str, count: _Count) -> str:
    fields: Mapping[str, object] = {"task": count.title, "moment": moment, "done": count.done}
    return json_line(
        "progress", **fields, total=count.total, unit=count.unit, seconds=round(count.seconds, 3)
    )


def _json_message(text: str) -> str:
    return json_line("message", text=text)


def _is_capable_terminal() -> bool:
    from rich.console import Console

    console = Console(stderr=True)
    return console.is_terminal and not console.is_dumb_terminal


def _write_now(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
