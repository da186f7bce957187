"""A command killed at any change of files leaves whole what was there, and completes when run again."""

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sfm.colmap.model_files import read_whole_model
from tests.faults.killing import Killer
from tests.mapping.synthetic import synthesize

NUM_KILLS = 4
"""For each command, at moments spread over all of its changes."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos round a cloud of points, all pairs verified."""
    path = tmp_path_factory.mktemp("scene") / "in.db"
    return synthesize(path, num_images=6, num_points=150).database


@pytest.fixture(scope="module")
def mapped(kill: Killer, database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of `sfm map`; not to be changed."""
    folder = tmp_path_factory.mktemp("mapped")
    assert kill.run(folder, "map", database, "-o", folder / "out", "--threads", "1")[0] == 0
    return folder / "out"


def killed_at_moments(
    kill: Killer, pristine: Path, work: Path, words: list[str | Path], num_kills: int = NUM_KILLS
) -> Iterator[Path]:
    """The working folder after each kill, put back to `pristine` before it; then the command completes."""
    seed = random.Random(0)

    def put_back() -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(pristine, work, symlinks=True)

    put_back()
    code, count = kill.run(work, *words)
    assert code == 0, (work / "said.txt").read_text()
    for part in range(num_kills):
        put_back()
        moment = 1 + seed.randrange(part * count // num_kills, (part + 1) * count // num_kills)
        code, _ = kill.run(work, *words, kill_at=moment)
        assert code == -9, f"not killed at change {moment} of {count}"
        yield work
        code, _ = kill.run(work, *words)
        assert code == 0, f"after a kill at change {moment} of {count}: {(work / 'said.txt').read_text()}"


def assert_whole(out: Path) -> None:
    """Everything that is there can be read to its end."""
    for model in (out / "sparse").glob("[0-9]*"):
        assert read_whole_model(model).num_reg_images() > 0
    for name in ("run.json", "extension.json"):
        if (out / name).exists():
            json.loads((out / name).read_text())
    for line in (out / "events.jsonl").read_text().splitlines() if (out / "events.jsonl").exists() else ():
        json.loads(line)
    if (out / "report.html").exists():
        assert (out / "report.html").read_text().rstrip().endswith("</html>")
    if (out / "database.db").exists():
        with closing(sqlite3.connect(out / "database.db")) as db:
            assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)


def contents(folder: Path) -> dict[str, bytes]:
    """All files, without those that SQLite keeps beside a database while somebody reads it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): _timeless(path)
        for path in files
        if path.suffix not in (".db-shm", ".db-wal")
    }


def _timeless(path: Path) -> bytes:
    """The bytes of a file; of the list of what an export wrote, without the times."""
    if path.name != "loopsfm_export.json":
        return path.read_bytes()
    marker = json.loads(path.read_text())
    marker["files"] = {name: (size, digest) for name, (size, _, digest) in marker["files"].items()}
    return json.dumps(marker).encode()


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if path.is_file() or path.name.endswith("scratch")]


def test_map(kill: Killer, database: Path, mapped: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(mapped, tmp_path / "before" / "out")
    words = ["map", database, "-o", work / "out", "--threads", "1"]

    for _ in killed_at_moments(kill, tmp_path / "before", work, words):
        assert_whole(work / "out")
        assert (work / "out" / "sparse" / "0" / "images.bin").exists()
        assert (work / "out" / "database.db").exists()

    assert_whole(work / "out")
    assert leftovers(work) == []


@pytest.mark.parametrize("form", ["txt", "ply"])
def test_export(form: str, kill: Killer, mapped: Path, tmp_path: Path) -> None:
    work, before = tmp_path / "work", tmp_path / "before"
    before.mkdir()
    words = ["export", mapped, "--to", form, "-d", work / "exported", "-q"]
    assert kill.run(before, *words[:5], before / "exported", "-q")[0] == 0
    expected = contents(before / "exported")

    for _ in killed_at_moments(kill, before, work, words, 3):
        assert contents(work / "exported") == expected

    assert contents(work / "exported") == expected
    assert leftovers(work) == []


def test_merge(kill: Killer, mapped: Path, tmp_path: Path) -> None:
    work, before = tmp_path / "work", tmp_path / "before"
    before.mkdir()
    words = ["merge", mapped, mapped, "-o", work / "out"]

    for _ in killed_at_moments(kill, before, work, words, 4):
        assert not (work / "out").exists() or read_whole_model(work / "out" / "sparse" / "0")
        shutil.rmtree(work / "out", ignore_errors=True)

    assert read_whole_model(work / "out" / "sparse" / "0").num_reg_images() == 6
    assert leftovers(work) == []


def test_align(kill: Killer, mapped: Path, tmp_path: Path) -> None:
    work, before = tmp_path / "work", tmp_path / "before"
    before.mkdir()
    words = ["align", mapped, "--to", mapped, "-o", work / "out"]

    for _ in killed_at_moments(kill, before, work, words, 4):
        assert not (work / "out").exists() or read_whole_model(work / "out" / "sparse" / "0")
        shutil.rmtree(work / "out", ignore_errors=True)

    assert read_whole_model(work / "out" / "sparse" / "0").num_reg_images() == 6
    assert json.loads((work / "out" / "alignment.json").read_text())
    assert leftovers(work) == []


@pytest.mark.slow
def test_run_and_extend(kill: Killer, demo_data: Path, tmp_path: Path) -> None:
    photos, old, out = tmp_path / "photos", tmp_path / "old", tmp_path / "old" / "out"
    for number, path in enumerate(sorted((demo_data / "images").iterdir())[:6]):
        place = photos / ("new" if number == 5 else "old")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    quick = ["--threads", "1", "backend=sift", "sift.max_num_features=600", "export.report=false"]
    before = tmp_path / "before"
    before.mkdir()
    for _ in killed_at_moments(kill, before, old, ["run", photos / "old", "-o", out, *quick], 3):
        assert_whole(out)
    kept = contents(out)
    work = tmp_path / "work"
    for _ in killed_at_moments(kill, before, work, ["extend", out, photos / "new", "-o", work / "out"], 3):
        assert_whole(work / "out")

    assert read_whole_model(work / "out" / "sparse" / "0").num_reg_images() == 6
    assert contents(out) == kept
