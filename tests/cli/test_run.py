"""The commands on eight real photos, small enough to take seconds."""

import json
from pathlib import Path

import pytest
from click.testing import Result

from .command import sfm_command

pytestmark = pytest.mark.shared

SMALL = ("--threads", "2", "--preset", "fast", "sift.max_image_size=480", "sift.max_num_features=1000")


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> Path:
    return shared_data / "Herz-Jesus-P8" / "images"


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """OUT of a run over all eight photos, and what the command said."""
    out = tmp_path_factory.mktemp("run") / "out"
    return out, sfm_command("run", photos, "-o", out, *SMALL)


def test_a_run_says_what_came_out_and_where(finished: tuple[Path, Result]) -> None:
    out, done = finished

    assert done.exit_code == 0, done.stderr
    assert "registered  8 of 8 photos" in done.stdout
    assert f"model       {out / 'sparse' / '0'}" in done.stdout
    assert f"report      {out / 'report.html'}" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("next        sfm export ")
    assert "match: 28 pairs" in done.stderr
    for name in (
        "sparse/0/cameras.bin",
        "report.html",
        "run.json",
        "events.jsonl",
        "points.ply",
        "database.db",
    ):
        assert (out / name).is_file(), name


def test_run_json_repeats_the_run_from_what_is_there(finished: tuple[Path, Result]) -> None:
    done = sfm_command("run", "--config", finished[0] / "run.json", "--log-json")

    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.exit_code == 0
    assert "registered  8 of 8 photos" in done.stdout
    assert {record["event"] for record in records} <= {"progress", "log"}
    assert not any(record["task"] == "match" for record in records if record["event"] == "progress")


def test_quiet_says_nothing(finished: tuple[Path, Result], photos: Path) -> None:
    done = sfm_command("run", photos, "-o", finished[0], *SMALL, "--quiet")

    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


def test_stages_alone_reuse_what_is_there(finished: tuple[Path, Result], photos: Path) -> None:
    out = finished[0]

    retrieved = sfm_command("retrieve", photos, "-o", out, *SMALL)
    matched = sfm_command("match", photos, "-o", out, *SMALL)

    assert "pairs       28 of 8 photos (28 exhaustive)" in retrieved.stdout
    assert "pairs       0 matched, 28 from an earlier run" in matched.stdout


def test_a_database_is_enough_to_map(finished: tuple[Path, Result], tmp_path: Path) -> None:
    done = sfm_command("map", finished[0] / "database.db", "-o", tmp_path / "out", "--threads", "2")

    assert done.exit_code == 0, done.stderr
    assert "registered  8 of 8 photos" in done.stdout


def test_a_photo_is_explained_and_an_unknown_one_refused(finished: tuple[Path, Result], photos: Path) -> None:
    name = min(path.name for path in photos.iterdir())

    assert name in sfm_command("explain", finished[0], name).stdout
    assert sfm_command("explain", finished[0], "none.jpg").exit_code == 3


def test_missing_photos_end_with_3(tmp_path: Path) -> None:
    assert sfm_command("run", tmp_path / "none", "-o", tmp_path / "out").exit_code == 3


def test_a_foreign_folder_is_refused_and_left_alone(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    done = sfm_command("run", photos, "-o", tmp_path)

    assert done.exit_code == 5
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
