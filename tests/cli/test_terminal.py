"""What a user sees: progress, log records and the summary."""

import contextlib
import io
import json
import logging
import re
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from sfm.cli.summary import result_lines
from sfm.cli.terminal import BarProgress, Display, choose_display, make_progress
from sfm.report.verdict import NO_MODEL
from sfm.stages.round_messages import RoundMessages
from sfm.types import PhotoOutcome, PhotoStatus
from sfm.workspace.native_log import native_log
from sfm.workspace.progress import Progress, SilentProgress, Task


def work(progress: Progress, steps: int = 3, total: int = 3) -> None:
    with progress.task("match", total, unit="pairs") as task:
        for _ in range(steps):
            task.advance()


def test_plain_lines_at_start_and_end(capfd: pytest.CaptureFixture[str]) -> None:
    work(make_progress(Display.LINES))

    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["match: 3 pairs", "match: 3 pairs in 0.0 s"]


def test_a_line_for_each_round_of_the_loop(capfd: pytest.CaptureFixture[str]) -> None:
    found = {
        "round": 2,
        "asked": {"verify": 1, "loop": 2},
        "matched": 3,
        "verified": 1,
        "seconds": 0.25,
        "registered_before": 4,
        "registered_after": 6,
        "models_before": 2,
        "models_after": 1,
    }
    pairs = "3 pairs matched (2 loop, 1 verify), 1 verified"
    line = f"round 2: {pairs}; 4 to 6 photos registered, 2 to 1 models; 0.2 s"
    for display in Display:
        sink = RoundMessages(make_progress(display))
        sink.emit("loop", "round", **found)
        sink.emit("loop", "request", **found)

    plain, as_json = capfd.readouterr().err.splitlines()
    assert plain == line
    assert json.loads(as_json)["text"] == line


def test_one_pair_is_no_pairs(capfd: pytest.CaptureFixture[str]) -> None:
    work(make_progress(Display.LINES), steps=1, total=1)

    assert capfd.readouterr().err.splitlines() == ["match: 1 pair", "match: 1 pair in 0.0 s"]
    found = dict.fromkeys(("registered_before", "registered_after", "models_before", "models_after"), 0)
    found |= {"round": 1, "matched": 1, "verified": 0, "seconds": 0.0, "asked": {"loop": 1}}
    RoundMessages(make_progress(Display.LINES)).emit("loop", "round", **found)
    assert capfd.readouterr().err == "round 1: 1 pair matched (1 loop), 0 verified; 0.0 s\n"


def test_a_long_task_says_how_long_it_will_take(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))

    work(make_progress(Display.LINES), steps=4, total=8)

    running = capfd.readouterr().err.splitlines()[1]
    assert running.startswith("match: ")
    assert " of 8 pairs, " in running
    assert running.endswith(" s left")


def test_json_lines_carry_the_counts(capfd: pytest.CaptureFixture[str]) -> None:
    work(make_progress(Display.JSON))

    first, last = map(json.loads, capfd.readouterr().err.splitlines())
    assert (first["event"], first["task"], first["moment"], first["done"]) == (
        "progress",
        "match",
        "start",
        0,
    )
    assert (last["moment"], last["done"], last["total"], last["unit"]) == ("end", 3, 3, "pairs")


@pytest.mark.parametrize("display", list(Display))
def test_nothing_to_do_shows_nothing(display: Display, capfd: pytest.CaptureFixture[str]) -> None:
    work(make_progress(display), steps=0, total=0)

    assert capfd.readouterr() == ("", "")


def test_quiet_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    work(make_progress(Display.QUIET))

    assert capfd.readouterr() == ("", "")


def test_an_interrupted_task_is_not_reported_as_finished(capfd: pytest.CaptureFixture[str]) -> None:
    progress = make_progress(Display.LINES)

    with contextlib.suppress(KeyboardInterrupt), progress.task("match", 9):
        raise KeyboardInterrupt

    assert capfd.readouterr().err == "match: 9\n"


def test_bars_show_count_and_unit_and_may_be_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = BarProgress()

    with progress.task("register", 2, unit="photos") as outer:
        work(progress)
        outer.advance(2)

    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", terminal.getvalue())
    assert "register" in text
    assert "3/3 pairs" in text
    assert "2/2 photos" in text


def test_the_display_follows_options_and_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_display(quiet=True, log_json=True, verbose=False) is Display.QUIET
    assert choose_display(quiet=False, log_json=True, verbose=False) is Display.JSON
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert choose_display(quiet=False, log_json=False, verbose=False) is Display.LINES
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", _Terminal())
    assert choose_display(quiet=False, log_json=False, verbose=False) is Display.BARS
    assert choose_display(quiet=False, log_json=False, verbose=True) is Display.LINES
    monkeypatch.setenv("TERM", "dumb")
    assert choose_display(quiet=False, log_json=False, verbose=False) is Display.LINES


def test_colmap_and_ceres_are_quiet_unless_verbose_and_the_levels_are_restored() -> None:
    import pyceres
    import pycolmap

    loggers = pycolmap.logging, pyceres.logging  # each library brings its own
    before = [one.minloglevel for one in loggers]
    with native_log(verbose=False):
        assert [one.minloglevel for one in loggers] == [3, 3]
    with native_log(verbose=True):
        assert [one.minloglevel for one in loggers] == [0, 0]
    assert [one.minloglevel for one in loggers] == before


def test_functions_are_silent_unless_the_caller_chose(tmp_path: Path) -> None:
    import pycolmap

    import sfm

    def level_within() -> int:
        levels: list[int] = []

        class Spy(SilentProgress):
            def task(self, title: str, total: int, *, unit: str = "") -> AbstractContextManager[Task]:
                levels.append(pycolmap.logging.minloglevel)
                return super().task(title, total, unit=unit)

        with pytest.raises(sfm.InputError):
            sfm.run(tmp_path / "photos", output=tmp_path / "out", progress=Spy())
        return levels[0]

    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no photo")
    assert level_within() == 3
    with native_log(verbose=True):
        assert level_within() == 0


def test_json_log_records_are_objects() -> None:
    from sfm.cli.terminal import _JsonFormatter

    record = logging.LogRecord("sfm.x", logging.WARNING, "x.py", 1, "lost %d", (3,), None)

    fields = json.loads(_JsonFormatter().format(record))
    assert (fields["event"], fields["level"], fields["message"]) == ("log", "warning", "lost 3")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("ambiguous", [True, False])
@pytest.mark.parametrize("bent", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_an_ambiguous_collection_and_wrong_models_are_warned_of(
    ambiguous: bool, bent: bool, count: int
) -> None:
    one = SimpleNamespace(bent="Model 0 is probably bent" if bent else "", unsure="Model 0 is right with 9 %")
    run = SimpleNamespace(
        stopped=("the fine stage met numbers that are not finite",),
        models=(one, SimpleNamespace(bent="", unsure="")),
        ambiguous=ambiguous,
        inconsistent_pairs=("a pair", "another")[:count],
        aliasing_note="Take photos between." if ambiguous else "",
        verdict=NO_MODEL,
        failures=(),
        changed=(),
        config=SimpleNamespace(export=SimpleNamespace(report=False)),
    )
    result = SimpleNamespace(summary=lambda: "figures", run=run, outcomes=(), models=(), output=Path("out"))

    lines = result_lines(result)

    pairs = "1 pair probably joins" if count == 1 else "2 pairs probably join"
    alike = [
        f"aliasing    {pairs} look-alike places (visual aliasing).",
        "  Take photos between.",
    ]
    model = "bent        Model 0 is probably bent" if bent else "unsure      Model 0 is right with 9 %"
    warned = [*(alike if ambiguous else []), *([] if ambiguous and not bent else [model])]
    stopped = "stopped     the fine stage met numbers that are not finite"
    assert lines == ["result      No model could be built", "figures", stopped, *warned]


@pytest.mark.parametrize("num_doubted", [0, 1, 12])
def test_photos_in_doubt_are_counted_and_named(num_doubted: int) -> None:
    export = SimpleNamespace(report=False)
    run = SimpleNamespace(
        stopped=(),
        models=(),
        ambiguous=False,
        verdict=NO_MODEL,
        failures=(),
        changed=(),
        config=SimpleNamespace(export=export),
    )
    outcomes = tuple(
        PhotoOutcome(f"{i:02d}.jpg", PhotoStatus.REGISTERED, 0, 50, doubt="few points" * (i < num_doubted))
        for i in range(15)
    )
    result = SimpleNamespace(
        summary=lambda: "figures", run=run, outcomes=outcomes, models=(), output=Path("out")
    )

    lines = result_lines(result)[2:]

    heads = {0: [], 1: ["in doubt    1 photo:"]}
    assert lines[:1] == heads.get(num_doubted, ["in doubt    12 photos:"])
    assert lines[1:11] == [f"  {i:02d}.jpg: few points" for i in range(min(num_doubted, 10))]
    assert lines[11:] == (["  … and 2 more; see `outcomes` in out/run.json"] if num_doubted == 12 else [])
