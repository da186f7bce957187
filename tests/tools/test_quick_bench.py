"""The guard: what got worse is named with its scene and figure, and only that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import quick
from baseline import BASELINE, TOLERANCES, Change, compared, read_baseline
from engines import Settings
from mapper_cases import Case
from measured import Measured

from sfm.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "registered": 28,
    "in_doubt": 0,
    "auc1": 90.0,
    "auc5": 98.0,
    "ate": 0.01,
    "pairs_share": 0.5,
    "cpu_ratio": 1.0,
}


def worse(**changed: float | None) -> list[str]:
    changes = compared({"demo": {"0": GOOD}}, {"demo": {"0": {**GOOD, **changed}}})
    return [change.figure for change in changes if change.is_worse]


def test_the_same_is_not_worse() -> None:
    assert worse() == []


def test_better_is_not_worse() -> None:
    assert worse(registered=30, auc1=99.0, auc5=99.9, ate=1e-3, pairs_share=0.1, cpu_ratio=0.2) == []


@pytest.mark.parametrize("figure", TOLERANCES)
def test_each_figure_is_held_to_its_tolerance(figure: str) -> None:
    limit = TOLERANCES[figure].limit(GOOD[figure])
    step = -1e-6 if TOLERANCES[figure].more_is_better else 1e-6

    assert worse(**{figure: limit - step}) == []
    assert worse(**{figure: limit + step}) == [figure]


def test_a_lost_photo_and_a_lost_model_are_worse() -> None:
    assert worse(registered=27) == ["registered"]
    assert worse(registered=0, auc1=0.0, auc5=0.0, ate=None) == ["registered", "auc1", "auc5", "ate"]


def test_a_photo_in_doubt_is_worse(tmp_path: Path) -> None:
    record = tmp_path / "run.json"
    outcomes = [{"name": "a.jpg", "doubt": ""}, {"name": "b.jpg", "doubt": "no pair agrees with its pose"}]
    record.write_text(json.dumps({"outcomes": outcomes}))

    assert quick.num_in_doubt(record) == 1
    assert quick.num_in_doubt(tmp_path / "none.json") is None
    assert worse(in_doubt=1) == ["in_doubt"]


def test_a_change_is_told_with_scene_figure_and_limit() -> None:
    assert Change("demo", "auc5", 98.0, 40.0).told() == "demo: AUC@5 98.0 -> 40.0 (at least 97.0)"
    assert Change("demo", "ate", 0.01, None).told() == "demo: ATE 0.01000 -> none (at most 0.01200)"


def test_seeds_are_compared_with_themselves() -> None:
    before = {"s": {"0": {"auc5": 90.0}, "1": {"auc5": 50.0}}}

    same = list(compared(before, {"s": {"1": {"auc5": 50.0}}}))
    mean = list(compared(before, {"s": {"0": {"auc5": 88.0}, "1": {"auc5": 53.0}, "2": {"auc5": 0.0}}}))

    assert [(c.before, c.now, c.is_worse) for c in same] == [(50.0, 50.0, False)]
    assert [(c.before, c.now, c.is_worse) for c in mean] == [(70.0, 70.5, False)]


def test_what_got_worse_is_printed_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps({"scenes": {"demo": {"0": GOOD}}}))

    assert quick.judge(path, {"demo": {"0": GOOD}}) == 0
    assert quick.judge(path, {"demo": {"0": {**GOOD, "auc1": 10.0}}, "else": {"0": GOOD}}) == 1

    told = capsys.readouterr().out
    assert "demo: AUC@1 90.0 -> 10.0" in told.splitlines()[-1]
    assert f"1 of {len(GOOD)} figures got worse" in told
    assert "else: not in the baseline" in told


def test_nothing_to_compare_with_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "baseline.json"
    assert quick.judge(path, {"demo": {"0": GOOD}}) == 2
    assert "quick.py --update writes one" in capsys.readouterr().out

    path.write_text(json.dumps({"scenes": {}}))
    assert quick.judge(path, {"demo": {"0": GOOD}}) == 2
    told = capsys.readouterr().out
    assert "error: no figure to compare" in told
    assert "got worse" not in told


def test_another_number_of_threads_is_told(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps({"machine": {"threads": 2}, "scenes": {}}))

    assert quick._other_threads(path, 2) == ""
    assert "with --threads 2, this with 1" in quick._other_threads(path, 1)
    assert quick._other_threads(tmp_path / "none.json", 1) == ""


@pytest.mark.parametrize(
    "text", ["", "{}", '{"scenes": {"a": {"0": {"auc2": 1}}}}', '{"scenes": {"a": {"0": {"auc1": "x"}}}}']
)
def test_a_damaged_baseline_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)

    with pytest.raises(InputError, match=r"baseline\.json"):
        read_baseline(path)


def test_the_committed_baseline_knows_every_scene() -> None:
    scenes = read_baseline(BASELINE)

    for scene in quick.SCENES:
        assert set(scenes[scene.name]) == {str(seed) for seed in range(scene.num_seeds)}
        assert scenes[scene.name]["0"]["registered"]


def test_scenes_without_photos_are_skipped_with_a_reason(tmp_path: Path) -> None:
    reasons = {scene.name: quick._missing(scene, tmp_path) for scene in quick.SCENES}

    assert [name for name, reason in reasons.items() if not reason] == ["demo", "grid-100", "grid-100-alike"]
    assert str(tmp_path) in reasons["kitchen25"]


@pytest.mark.slow
def test_a_broken_option_of_the_mapper_fails_and_is_named(tmp_path: Path) -> None:
    """From the command line: a mapper that drops each observation that is off by a twentieth of a pixel."""
    command = [
        sys.executable,
        str(ROOT / "tools/bench/quick.py"),
        "--scenes",
        "grid-100",
        "--cache",
        str(tmp_path),
    ]

    done = subprocess.run(
        [*command, "--option", "register.filter_max_reproj_error_px=0.05"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "grid-100: photos registered 100 -> " in done.stdout.split("figures got worse:")[1]


def test_mapping_writes_below_the_cache_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scene's photos may be told by an absolute path, and the folder of results is emptied first."""
    photos = tmp_path / "repository" / "demo"
    (photos / "images").mkdir(parents=True)
    failed = Measured(0.0, 0.0, 0.0, 1, False, "no")
    monkeypatch.setattr(quick, "prepare_case", lambda name, *_: Case(name, tmp_path / "database.db", None))
    monkeypatch.setattr(quick, "run_python", lambda *_: failed)
    scene = quick.Scene("demo", "demo")

    found = quick._mapped(scene, str(photos), tmp_path, 0, Settings(tmp_path / "cache", 1, 1.0), scored=False)

    assert found == {"cpu_ratio": None}
    assert (photos / "images").is_dir()
    assert [path.name for path in (tmp_path / "cache" / "quick").iterdir()] == ["demo"]
