"""Stored runs and databases of engines."""

import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from engines import databases, runs
from engines.databases import Database, NoDatabase, prepared_database
from engines.engine_files import ExternalEngine
from engines.runs import OWN, Job, prune, run_job
from engines.settings import Settings
from harness.measured import Measured
from harness.one_at_a_time import only_process
from harness.stored_runs import Facts, store_run, stored_facts
from photo_sets.sets import PhotoSet


def job(tmp_path: Path, code: str, **more: object) -> Job:
    photos = tmp_path / "photos"
    photos.mkdir(exist_ok=True)
    (photos / "a.jpg").touch()
    engine = ExternalEngine("mine", (sys.executable, "-c", code, "{out}"), **more)
    return Job(PhotoSet("set", photos, None), "mine", OWN, 0, engine)


def settings(tmp_path: Path, **more: object) -> Settings:
    return replace(Settings(tmp_path / "cache", 1, 30.0), **more)


def counting(tmp_path: Path, then: str = "") -> str:
    return f"open({str(tmp_path / 'count')!r}, 'a').write('x'); {then}"


def count(tmp_path: Path) -> int:
    return len((tmp_path / "count").read_text())


def test_a_run_with_other_settings_leaves_the_earlier_result(tmp_path: Path) -> None:
    mine = job(tmp_path, counting(tmp_path))
    one, two = settings(tmp_path), settings(tmp_path, threads=2)

    kept = [run_job(mine, s).folder for s in (one, two, one, two)]

    assert kept[0] == kept[2] != kept[1] == kept[3]
    assert count(tmp_path) == 2


def test_pruning_keeps_what_is_asked_for_and_what_another_process_makes(tmp_path: Path) -> None:
    mine = job(tmp_path, counting(tmp_path))
    one, two, three = (run_job(mine, settings(tmp_path, threads=n)).folder for n in (1, 2, 3))
    broken_off, going_on = one.with_name("aaaa.1234"), one.with_name("bbbb.1234")
    broken_off.mkdir()
    going_on.mkdir()

    with only_process(one.with_name("bbbb")):
        removed = prune(mine, settings(tmp_path, threads=2))

    assert removed == 3
    assert [path.is_dir() for path in (one, two, three, broken_off, going_on)] == [
        False,
        True,
        False,
        False,
        True,
    ]


def test_two_that_want_the_same_result_make_it_once(tmp_path: Path) -> None:
    mine = job(tmp_path, counting(tmp_path, "import time; time.sleep(0.5)"))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(run_job(mine, settings(tmp_path)))) for _ in range(2)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [run.facts.status for run in found] == ["ok", "ok"]
    assert count(tmp_path) == 1


def test_what_is_broken_off_leaves_the_result_before_it(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "key"
    folder.parent.mkdir()
    store_run(folder, lambda _: Facts(status="ok"))

    def interrupted(_: Path) -> Facts:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_run(folder, interrupted)

    assert stored_facts(folder) == Facts(status="ok")
    assert [path.name for path in folder.parent.iterdir()] == ["key"]


def test_a_stopped_run_is_made_again_when_it_has_more_time(tmp_path: Path) -> None:
    mine = job(tmp_path, counting(tmp_path, "import time; time.sleep(1.5)"))

    short, again = (run_job(mine, settings(tmp_path, time_limit_s=0.6)).facts for _ in range(2))
    long = run_job(mine, settings(tmp_path)).facts

    assert short.status.startswith("stopped after")
    assert (again, long.status) == (short, "ok")
    assert count(tmp_path) == 2


@pytest.mark.parametrize(
    ("told", "limits", "runs_again"),
    [
        ({"status": "stopped after 60 s", "total_s": 60.2}, {"time_limit_s": 60.0}, False),
        ({"status": "stopped after 60 s", "total_s": 60.2}, {"time_limit_s": 90.0}, True),
        ({"status": "stopped at 900 MB", "peak_memory_mb": 900.0}, {"memory_limit_mb": 800.0}, False),
        ({"status": "stopped at 900 MB", "peak_memory_mb": 900.0}, {"memory_limit_mb": 1000.0}, True),
        ({"status": "stopped at 900 MB", "peak_memory_mb": 900.0}, {}, True),
        ({"status": "exit 1: no"}, {"time_limit_s": 90.0}, False),
    ],
)
def test_limits_of_results_that_do_not_tell_them_are_what_they_took(
    tmp_path: Path, told: dict[str, object], limits: dict[str, float], runs_again: bool
) -> None:
    mine = job(tmp_path, counting(tmp_path))
    folder = run_job(mine, settings(tmp_path)).folder
    (folder / "facts.json").write_text(json.dumps({"photos": 1, **told}))

    run_job(mine, settings(tmp_path, **limits))

    assert count(tmp_path) == 1 + runs_again


def test_failures_are_made_again_when_asked_for(tmp_path: Path) -> None:
    mine = job(tmp_path, counting(tmp_path, "raise SystemExit('no')"))

    run_job(mine, settings(tmp_path))
    run_job(mine, settings(tmp_path))
    run_job(mine, settings(tmp_path, retry_failed=True))

    assert count(tmp_path) == 2


def test_an_engine_is_run_again_when_its_script_was_mended(tmp_path: Path) -> None:
    script = tmp_path / "engine.py"
    engine = ExternalEngine("mine", (sys.executable, str(script), "{out}"))
    mine = replace(job(tmp_path, ""), external=engine)
    script.write_text("raise SystemExit('no')")
    before = run_job(mine, settings(tmp_path)).facts.status

    script.write_text("mended = True")

    assert before == "exit 1: no"
    assert run_job(mine, settings(tmp_path)).facts.status == "ok"


def test_facts_of_before_and_after_are_read(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text('{"status": "ok", "photos": 3, "of_a_later_version": 1}')

    assert stored_facts(tmp_path) == Facts(status="ok", photos=3)

    (tmp_path / "facts.json").write_text("{")
    assert stored_facts(tmp_path) is None


@pytest.fixture
def photo_set(tmp_path: Path) -> PhotoSet:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    return PhotoSet("set", tmp_path / "photos", None)


class Maker:
    """Stands for the process that makes databases: it is stopped at its limit, fails, or makes one."""

    def __init__(self, needs_s: float = 0.0, error: str = "") -> None:
        self.needs_s, self.error, self.calls = needs_s, error, 0

    def __call__(self, command: list[str], settings: Settings, log: Path) -> Measured:
        self.calls += 1
        log.write_text(f"try {self.calls}")
        if self.needs_s > settings.time_limit_s:
            return Measured(settings.time_limit_s, 1.0, 1.0, -9, True, "")
        if self.error:
            return Measured(1.0, 1.0, 1.0, 1, False, f"error: {self.error}")
        return Measured(1.0, 1.0, 1.0, 0, False, json.dumps({"database": "/there", "images": "/photos"}))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, photo_set: PhotoSet, tmp_path: Path):
    """What a command of its own finds or makes, with a maker and changes of the settings."""

    def make(maker: Maker, **more: object) -> Database | NoDatabase:
        databases.prepared_database.cache_clear()
        monkeypatch.setattr(databases, "run_python", maker)
        values = {"cache": tmp_path / "cache", "threads": 1, "time_limit_s": 10.0, **more}
        return prepared_database(photo_set, Settings(**values))

    return make


def test_one_that_was_stopped_is_not_made_again_with_the_same_limits(made) -> None:
    maker = Maker(needs_s=60.0)

    first, again = made(maker), made(maker)

    assert maker.calls == 1
    assert isinstance(again, NoDatabase)
    assert again == first
    assert again.facts.status == "stopped after 10 s (making its database)"
    assert again.log.read_text() == "try 1"


@pytest.mark.parametrize("more", [{"time_limit_s": 90.0}, {"retry_failed": True}, {"threads": 2}])
def test_one_that_was_stopped_is_made_again_when_that_may_help(made, more: dict[str, object]) -> None:
    maker = Maker(needs_s=60.0)
    made(maker)

    made(maker, **more)

    assert maker.calls == 2


def test_higher_limits_help_none_that_failed_otherwise(made) -> None:
    maker = Maker(error="no photo can be read")

    made(maker)
    found = made(maker, time_limit_s=90.0)

    assert maker.calls == 1
    assert isinstance(found, NoDatabase)
    assert found.facts.status == "exit 1: no photo can be read (making its database)"


def test_a_failure_is_forgotten_once_the_database_is_there(made) -> None:
    made(Maker(needs_s=60.0))
    there = made(Maker(), retry_failed=True)

    assert there == made(Maker()) == Database({"database": "/there", "images": "/photos"})


def test_other_photos_of_the_same_name_have_a_chance(made, photo_set: PhotoSet) -> None:
    maker = Maker(error="no")
    made(maker)
    (photo_set.photos / "b.jpg").touch()

    made(maker)

    assert maker.calls == 2


def test_a_run_without_a_database_has_its_log_and_its_chances(
    made, photo_set: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Maker(needs_s=60.0)
    monkeypatch.setattr(databases, "run_python", maker)
    job = Job(photo_set, "global", "exhaustive", 0)
    monkeypatch.setattr(runs, "run_mapping", lambda *_, **__: Measured(1.0, 1.0, 1.0, 1, False, "mapped"))

    found = []
    for limit in (10.0, 10.0, 90.0):
        databases.prepared_database.cache_clear()
        found.append(run_job(job, Settings(tmp_path / "cache", 1, limit)))

    assert maker.calls == 2
    assert found[0].facts.status == found[1].facts.status == "stopped after 10 s (making its database)"
    assert found[1].facts.photos == 1
    assert (found[1].folder / "log").read_text() == "try 1"
    assert found[2].facts.status == "exit 1: mapped"
