"""Runs that are killed, interrupted or given more photos end as undisturbed ones do."""

import json
import shutil
import signal
from pathlib import Path

import pytest

import sfm.stages.register
from tests.e2e.conftest import NUM_FEW, QUICK, Command, assert_same_model
from tests.faults.killing import Killer


def events(out: Path, *, finished: bool = True) -> list[dict[str, object]]:
    path = out / "events.jsonl" if finished else out / "cache" / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stop_when(kill: Killer, photos: Path, out: Path, stage: str, how: signal.Signals) -> int:
    """Start a run, send `how` when the stage before `stage` has ended, and give the exit code."""
    before = {"match": "retrieve", "register": "match", "describe": "ingest"}[stage]
    return kill.run(out.parent, "run", photos, "-o", out, *QUICK, after=before, signal=how)[0]


@pytest.fixture(scope="module")
def undisturbed(small_photos: Path, tmp_path_factory: pytest.TempPathFactory, sfm_command: Command) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(small_photos, folder / "photos")
    assert sfm_command("run", folder / "photos", "-o", folder / "out", *QUICK).returncode == 0
    return folder / "out"


@pytest.mark.parametrize("stage", ["describe", "match", "register"])
def test_a_killed_run_continues_to_the_same_model(
    stage: str, kill: Killer, few_photos: Path, tmp_path: Path, undisturbed: Path, sfm_command: Command
) -> None:
    code = stop_when(kill, few_photos, tmp_path / "out", stage, signal.SIGKILL)

    done = sfm_command("run", few_photos, "-o", tmp_path / "out", *QUICK)

    assert code == -signal.SIGKILL
    assert done.returncode == 0, done.stderr
    assert_same_model(undisturbed, tmp_path / "out")


@pytest.mark.parametrize("stage", ["describe", "match", "register"])
def test_ctrl_c_ends_cleanly_and_the_run_can_go_on(
    stage: str, kill: Killer, few_photos: Path, tmp_path: Path, sfm_command: Command
) -> None:
    code = stop_when(kill, few_photos, tmp_path / "out", stage, signal.SIGINT)

    done = sfm_command("run", few_photos, "-o", tmp_path / "out", *QUICK)

    assert code == 130
    assert done.returncode == 0, done.stderr


def test_a_run_that_is_stopped_while_it_refines_leaves_what_was_grown(
    few_photos: Path, tmp_path: Path, undisturbed: Path, sfm_command: Command, monkeypatch, caplog
) -> None:
    out = tmp_path / "out"

    def stop(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sfm.stages.register, "refine_models", stop)
        code = sfm_command("run", few_photos, "-o", out, *QUICK).returncode
    explained = sfm_command("explain", out, "a.jpg")
    exported = sfm_command("export", out, "--to", "ply")
    scored = sfm_command("eval", out, undisturbed / "sparse" / "0")
    (out / "points.ply" / "mine").mkdir(parents=True)
    finished = sfm_command("run", few_photos, "-o", out, *QUICK)

    assert code == 130
    assert (explained.returncode, exported.returncode, scored.returncode) == (3, 0, 0)
    assert explained.stderr.startswith(f"error: {out}: no run has finished there yet\nhint: `sfm run`")
    assert [line.startswith(f"{out}: no run has finished there yet") for line in caplog.messages] == [
        True
    ] * 2
    assert f"\nmodels      1, of {NUM_FEW} photos ({NUM_FEW} in any)\n" in scored.stdout
    assert finished.returncode == 7
    assert "\nmodel  " in finished.stdout
    assert "\nnext  " not in finished.stdout
    assert_same_model(undisturbed, out)


def test_kill_ends_a_run_like_ctrl_c(kill: Killer, few_photos: Path, tmp_path: Path) -> None:
    assert stop_when(kill, few_photos, tmp_path / "out", "match", signal.SIGTERM) == 130


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
    matched = [e for e in matched if e.get("matcher") != "aliked"]  # what the loop asks for besides
    assert done.returncode == 0
    assert stages["describe"] == {"described": 2, "cached": NUM_FEW - 2, "failed": 0}
    assert len(matched) == 2 * NUM_FEW - 3
    assert all({e["a"], e["b"]} & {path.name for path in late} for e in matched)
    assert run["photos"]["registered"] == NUM_FEW
