"""Collections and options by chance: drawn alike for a number, accepted, and kept where a command crashes."""

import json
import sys
from pathlib import Path
from random import Random

import pytest
import random_runs
from harness.measured import Measured

from sfm.config.loading import load_config
from tests.tools import fabricate


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("castle", "mug", "street"):
        fabricate.write_photos(tmp_path / "data" / name / "images", [f"{i}.jpg" for i in range(9)])
    return tmp_path / "data"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_number_draws_the_same_photos_again(data: Path, tmp_path: Path) -> None:
    drawn = [random_runs.drawn_photos(Random(3), data, tmp_path / again) for again in ("one", "two")]

    assert drawn[0] == drawn[1]
    assert files(tmp_path / "one") == files(tmp_path / "two") != {}


def test_all_options_that_are_drawn_are_accepted() -> None:
    for seed in range(300):
        drawn = random_runs.drawn_options(Random(seed))
        presets = [one.removeprefix("--preset=") for one in drawn if one.startswith("--")]
        load_config(
            preset=presets[0] if presets else None, overrides=[one for one in drawn if one[:2] != "--"]
        )


@pytest.mark.parametrize("code", [0, 6])
def test_a_command_may_do_its_work_or_find_nothing(code: int) -> None:
    assert not random_runs.is_crash("extend", Measured(1.0, 1.0, 1.0, code, False, ""))


@pytest.mark.parametrize(
    ("command", "code", "timed_out"),
    [("run", 1, False), ("run", 7, False), ("run", -11, False), ("run", 0, True), ("export", 3, False)],
)
def test_what_counts_as_a_crash(command: str, code: int, timed_out: bool) -> None:
    assert random_runs.is_crash(command, Measured(1.0, 1.0, 1.0, code, timed_out, ""))


@pytest.mark.parametrize("code", [0, -11])
def test_folders_of_crashes_are_kept(
    code: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_python(command: list[str], given: object, log: Path) -> Measured:
        log.write_text("")
        if command[2] == "run":
            out = Path(command[command.index("-o") + 1])
            out.mkdir(exist_ok=True)
            (out / "run.json").write_text(json.dumps({"models": [{"num_images": 2}]}))
        return Measured(2.0, 2.0, 1.0, code if command[2] == "export" else 0, False, "")

    monkeypatch.setattr(random_runs, "run_python", run_python)
    words = ["--data", str(data), "--cache", str(tmp_path / "cache"), "--runs", "1", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["random_runs.py", *words])

    with pytest.raises(SystemExit) as ended:
        random_runs.main()

    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["models"] == [2]
    assert [step["command"] for step in row["steps"]][:3] == ["run", "export", "export"]
    assert bool(row["crashed"]) == bool(ended.value.code) == (code != 0)
    assert (tmp_path / "cache" / "random" / "0" / "photos").is_dir() == (code != 0)
