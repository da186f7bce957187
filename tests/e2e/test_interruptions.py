"""Runs that are killed, interrupted or given more photos end as undisturbed ones do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pycolmap
import pytest

from sfm.evaluation import compare_models
from tests.e2e.conftest import NUM_FEW, QUICK, Command, arguments


def events(out: Path, *, finished: bool = True) -> list[dict[str, object]]:
    path = out / "events.jsonl" if finished else out / "cache" / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


HALTING = """
import os, signal, sys
from sfm.cli.main import main
from sfm.workspace.events import EventLog

def emit(log, stage, event, write=EventLog.emit, **fields):
    write(log, stage, event, **fields)
    if (stage, event) == (sys.argv[1], "stage"):
        os.kill(os.getpid(), signal.SIGSTOP)

EventLog.emit = emit
main(sys.argv[2:])
"""
"""The command, but it halts after the stage that its first argument names, however fast the next one is."""


def stop_when(photos: Path, out: Path, stage: str, how: signal.Signals) -> int:
    """Start a run, send `how` when the stage before `stage` has ended, and give the exit code."""
    before = {"match": "retrieve", "register": "match", "describe": "ingest"}[stage]
    words = arguments("run", photos, "-o", out, *QUICK)[3:]
    process = subprocess.Popen(
        [sys.executable, "-c", HALTING, before, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "ended before it was stopped"
    process.send_signal(how)
    process.send_signal(signal.SIGCONT)
    return process.wait(60)


@pytest.fixture(scope="module")
def undisturbed(demo_data: Path, tmp_path_factory: pytest.TempPathFactory, sfm_command: Command) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "photos").mkdir()
    for path in sorted((demo_data / "images").iterdir())[:NUM_FEW]:
        shutil.copy(path, folder / "photos")
    assert sfm_command("run", folder / "photos", "-o", folder / "out", *QUICK).returncode == 0
    return folder / "out"


def assert_same_model(first: Path, second: Path) -> None:
    agreement = compare_models(
        pycolmap.Reconstruction(first / "sparse" / "0"), pycolmap.Reconstruction(second / "sparse" / "0")
    )
    assert agreement.only_in_a == agreement.only_in_b == ()
    assert agreement.max_centre_difference <= 1e-3


@pytest.mark.parametrize("stage", ["describe", "match", "register"])
def test_a_killed_run_continues_to_the_same_model(
    stage: str, few_photos: Path, tmp_path: Path, undisturbed: Path, sfm_command: Command
) -> None:
    code = stop_when(few_photos, tmp_path / "out", stage, signal.SIGKILL)

    done = sfm_command("run", few_photos, "-o", tmp_path / "out", *QUICK)

    assert code == -signal.SIGKILL
    assert done.returncode == 0, done.stderr
    assert_same_model(undisturbed, tmp_path / "out")


@pytest.mark.parametrize("stage", ["describe", "match", "register"])
def test_ctrl_c_ends_cleanly_and_the_run_can_go_on(
    stage: str, few_photos: Path, tmp_path: Path, sfm_command: Command
) -> None:
    code = stop_when(few_photos, tmp_path / "out", stage, signal.SIGINT)

    done = sfm_command("run", few_photos, "-o", tmp_path / "out", *QUICK)

    assert code == 130
    assert done.returncode == 0, done.stderr


def test_kill_ends_a_run_like_ctrl_c(few_photos: Path, tmp_path: Path) -> None:
    assert stop_when(few_photos, tmp_path / "out", "match", signal.SIGTERM) == 130


def test_a_finished_run_computes_nothing_again(undisturbed: Path, sfm_command: Command) -> None:
    done = sfm_command("run", undisturbed.parent / "photos", "-o", undisturbed, *QUICK)

    stages = {s["stage"]: s["counts"] for s in json.loads((undisturbed / "run.json").read_text())["stages"]}
    assert done.returncode == 0
    assert stages["describe"]["described"] == 0
    assert stages["match"]["matched"] == 0
    assert any(e["event"] == "registered" for e in events(undisturbed))


def test_added_photos_are_all_that_is_computed(
    few_photos: Path, tmp_path: Path, sfm_command: Command
) -> None:
    late = sorted(few_photos.iterdir())[-2:]
    for path in late:
        shutil.move(path, tmp_path / path.name)
    sfm_command("run", few_photos, "-o", tmp_path / "out", *QUICK)
    for path in late:
        shutil.move(tmp_path / path.name, path)

    done = sfm_command("run", few_photos, "-o", tmp_path / "out", *QUICK)

    run = json.loads((tmp_path / "out" / "run.json").read_text())
    stages = {s["stage"]: s["counts"] for s in run["stages"]}
    matched = [e for e in events(tmp_path / "out") if e["event"] == "pair" and not e["cached"]]
    assert done.returncode == 0
    assert stages["describe"] == {"described": 2, "cached": NUM_FEW - 2, "failed": 0}
    assert len(matched) == 2 * NUM_FEW - 3
    assert all({e["a"], e["b"]} & {path.name for path in late} for e in matched)
    assert run["photos"]["registered"] == NUM_FEW
