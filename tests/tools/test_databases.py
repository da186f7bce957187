"""Databases that could not be made: kept with their log, and given another chance when that may help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engines import databases, runs
from engines.databases import Database, NoDatabase, prepared_database
from engines.runs import Job, run_job
from engines.settings import Settings
from harness.measured import Measured
from photo_sets.sets import PhotoSet


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
