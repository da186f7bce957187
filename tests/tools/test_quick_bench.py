"""The guard: what got worse is named with its scene and figure, and only that."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import quick
from engines.mapper_cases import Case
from engines.settings import Settings
from harness.measured import Measured
from harness.one_at_a_time import only_process
from metrics.baseline import BASELINE, TOLERANCES, Change, compared, left_out, read_baseline, read_provenance

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


def test_a_figure_that_vanished_is_worse_and_one_that_came_is_new() -> None:
    """In all seeds, or in one."""
    less = {figure: value for figure, value in GOOD.items() if figure != "in_doubt"}
    seeds = {"0": GOOD, "1": GOOD}

    (gone,) = (c for c in compared({"demo": {"0": GOOD}}, {"demo": {"0": less}}) if c.verdict != "ok")
    (came,) = (c for c in compared({"demo": {"0": less}}, {"demo": {"0": GOOD}}) if c.verdict != "ok")
    (part,) = (c for c in compared({"demo": seeds}, {"demo": {"0": GOOD, "1": less}}) if c.verdict != "ok")

    assert (gone.verdict, gone.told()) == ("WORSE", "demo: photos in doubt 0 -> none (at most 0)")
    assert (came.verdict, came.figure, came.is_worse) == ("new", "in_doubt", False)
    assert (part.verdict, part.figure) == ("WORSE", "in_doubt")


def test_scenes_and_seeds_of_one_side_are_named() -> None:
    before = {"demo": {"0": GOOD, "1": GOOD}, "gone": {"0": GOOD}, "kitchen25": {"0": GOOD}}
    now = {"demo": {"0": GOOD}, "fresh": {"0": GOOD}}

    assert list(left_out(before, now, ["demo", "fresh", "kitchen25"])) == [
        "gone: in the baseline, and no scene of the guard",
        "demo: seed 1 of the baseline was not measured",
        "fresh: not in the baseline",
    ]


def run_guard(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    """The command in this process, on two scenes of which the second has no database."""

    def measure(scene: quick.Scene, *_: object) -> dict[str, float | None]:
        if scene.name == "grid-100":
            raise RuntimeError("grid-100: no room on the disk")
        return dict(GOOD)

    monkeypatch.setattr(quick, "measure", measure)
    command = ["quick.py", "--scenes", "demo", "grid-100", "--baseline", str(folder / "baseline.json")]
    monkeypatch.setattr(sys, "argv", [*command, "--cache", str(folder / "cache"), *arguments])
    return quick.main()


def test_a_scene_that_cannot_be_measured_is_named_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "baseline.json").write_text(json.dumps({"scenes": {"demo": {"0": GOOD}}}))

    assert run_guard(monkeypatch, tmp_path) == 1

    told = capsys.readouterr().out
    assert "failed   grid-100: no room on the disk" in told
    assert told.endswith("could not be measured:\n  grid-100: no room on the disk\n")
    assert "got worse:" not in told


def test_an_update_keeps_other_scenes_with_what_they_were_measured_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "baseline.json"
    before = {"commit": "abc", "machine": {"threads": 7}}
    scenes = {"grid-100": {"0": {"auc1": 1.0}}, "demo": {"0": {"auc1": 2.0}}}
    path.write_text(json.dumps({"measured": {"grid-100": before, "demo": before}, "scenes": scenes}))

    assert run_guard(monkeypatch, tmp_path, "--update", "--threads", "3") == 1

    content = json.loads(path.read_text())
    assert content["scenes"] == {"grid-100": {"0": {"auc1": 1.0}}, "demo": {"0": GOOD}}
    assert content["measured"]["grid-100"] == before
    assert content["measured"]["demo"]["machine"]["threads"] == 3
    path.write_text("{}")
    assert run_guard(monkeypatch, tmp_path, "--update") == 2
    assert path.read_text() == "{}"


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
    machines = {"demo": {"machine": {"threads": 2}}, "else": {"machine": {"threads": 1}}}
    path.write_text(json.dumps({"measured": machines, "scenes": {}}))

    assert quick._other_threads(path, ["demo"], 2) == ""
    assert "demo with --threads 2, this with 1" in quick._other_threads(path, ["demo", "else"], 1)
    assert quick._other_threads(path, ["else", "new"], 1) == ""
    assert quick._other_threads(tmp_path / "none.json", ["demo"], 1) == ""


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

    assert read_provenance(BASELINE).keys() == scenes.keys() == {scene.name for scene in quick.SCENES}
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
        [*command, "--option", "colmap.incremental_mapper.filter_max_reproj_error=0.05"],
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
    monkeypatch.setattr(quick, "run_mapping", lambda *_, **__: failed)
    scene = quick.Scene("demo", "demo")

    found = quick._mapped(scene, str(photos), tmp_path, 0, Settings(tmp_path / "cache", 1, 1.0), scored=False)

    assert found == {"cpu_ratio": None}
    assert (photos / "images").is_dir()
    assert {path.name for path in (tmp_path / "cache" / "quick").iterdir()} == {"demo", "demo.lock"}


def test_two_guards_do_not_empty_each_others_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a scene is held while mappers write into it."""
    held = []

    def run(*_: object, **__: object) -> Measured:
        with only_process(tmp_path / "quick" / "demo", wait=False) as mine:
            held.append(not mine)
        return Measured(0.0, 0.0, 0.0, 1, False, "no")

    monkeypatch.setattr(quick, "prepare_case", lambda name, *_: Case(name, tmp_path / "database.db", None))
    monkeypatch.setattr(quick, "run_mapping", run)

    quick._mapped(quick.Scene("demo"), "demo", tmp_path, 0, Settings(tmp_path, 1, 1.0), scored=False)

    assert held == [True, True]
