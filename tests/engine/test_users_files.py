"""Files of the user's that lie where results are written stay as they are."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pycolmap
import pytest

import sfm
from sfm.colmap.sqlite_files import open_read_only
from sfm.config.schema import Config, ExportConfig, RunConfig
from sfm.errors import SfmError, WorkspaceError
from sfm.exports.models import place_for_earlier, write_models
from sfm.exports.ownership import MARKER
from sfm.files.atomic import atomic_folder, atomic_write_bytes
from sfm.files.folder_swap import recover
from sfm.pipelines.map_database import map_database
from sfm.workspace.failures import keep_traceback
from sfm.workspace.workspace import Workspace
from tests.mapping.synthetic import synthesize

CONFIG = Config(run=RunConfig(threads=1), export=ExportConfig(report=False))


def model() -> pycolmap.Reconstruction:
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 3, 20
    return pycolmap.synthesize_dataset(options)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos round a cloud of points, all pairs verified."""
    path = tmp_path_factory.mktemp("scene") / "in.db"
    return synthesize(path, num_images=6, num_points=150).database


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file below a folder, and where every link leads."""
    paths = [Path(parent, name) for parent, folders, names in os.walk(folder) for name in folders + names]
    found: dict[str, bytes | str] = {}
    for path in paths:
        if path.is_symlink():
            found[str(path.relative_to(folder))] = os.readlink(path)
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def test_what_a_trainer_wrote_beside_models_is_kept(tmp_path: Path) -> None:
    one, theirs = model(), ("0/points3D.ply", "1/notes.txt", "refined/images.bin", "readme")
    write_models([one, one], tmp_path, text=False)
    for name in theirs:
        atomic_write_bytes(tmp_path / "sparse" / name, name.encode())

    write_models([one], tmp_path, text=True)
    write_models([one], tmp_path, text=False)

    assert {name: (tmp_path / "sparse" / name).read_bytes() for name in theirs} == {
        name: name.encode() for name in theirs
    }
    assert not (tmp_path / "sparse" / "1" / "images.bin").exists()
    assert not (tmp_path / "sparse" / "0" / "images.txt").exists()


@pytest.mark.parametrize("name", ["0/images.bin", "0/georeference.json", "0/cameras.txt", "1/points3D.bin"])
def test_models_that_somebody_changed_are_kept_beside_new_ones(tmp_path: Path, name: str, caplog) -> None:
    one = model()
    write_models([one, one], tmp_path, text=False, notes=[{"georeference.json": {}}] * 2)
    atomic_write_bytes(tmp_path / "sparse" / name, b"mine")
    atomic_write_bytes(tmp_path / "sparse" / "0" / "notes", b"of others")
    before = contents(tmp_path / "sparse")

    write_models([one], tmp_path, text=False)
    write_models([one], tmp_path, text=False)

    after = contents(tmp_path / "sparse-earlier")
    assert after.items() <= before.items()
    assert before.keys() - after.keys() == {MARKER}
    assert not (tmp_path / "sparse-earlier2").exists()
    assert b"mine" not in contents(tmp_path / "sparse").values()
    assert (tmp_path / "sparse" / "0" / "notes").read_bytes() == b"of others"
    assert [name in line and "sparse-earlier" in line for line in caplog.messages] == [True]


def test_models_without_a_list_of_their_files_are_replaced_by_name(tmp_path: Path) -> None:
    write_models([model()], tmp_path, text=True)
    (tmp_path / "sparse" / MARKER).unlink()

    write_models([model()], tmp_path, text=False)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["sparse"]
    assert not (tmp_path / "sparse" / "0" / "images.txt").exists()


def test_models_are_not_written_where_a_folder_of_others_cannot_be_read(tmp_path: Path, monkeypatch) -> None:
    write_models([model()], tmp_path, text=False)
    before, listed = contents(tmp_path), os.scandir
    (tmp_path / "sparse" / "0" / "closed").mkdir()

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(WorkspaceError, match=r"closed: permission denied"):
        write_models([model()], tmp_path, text=True)
    monkeypatch.undo()

    assert {k: v for k, v in contents(tmp_path).items() if "scratch" not in k} == before


@pytest.mark.parametrize("name", ["cache/scratch/mine", "cache/lock", "cache/mine.txt", "cache"])
def test_a_cache_folder_of_others_makes_an_output_foreign(tmp_path: Path, name: str) -> None:
    atomic_write_bytes(tmp_path / "out" / name, b"mine")

    with (
        pytest.raises(WorkspaceError, match="not made by sfm"),
        Workspace(tmp_path / "out", source=tmp_path / "photos"),
    ):
        pass

    assert contents(tmp_path / "out") == {name: b"mine"}


def test_a_project_whose_images_are_links_to_the_photos_is_not_ours(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    atomic_write_bytes(photos / "a.jpg", b"photo")
    atomic_write_bytes(out / "database.db", b"theirs")
    (out / "images").mkdir()
    (out / "images" / "a.jpg").symlink_to(photos / "a.jpg")
    before = contents(out)

    with pytest.raises(WorkspaceError, match="not made by sfm"), Workspace(out, source=photos):
        pass

    assert contents(out) == before


@pytest.mark.parametrize("part", ["sparse", "cache/photos", "images/day1"])
def test_photos_that_lie_where_results_are_written_are_refused(tmp_path: Path, part: str) -> None:
    out = tmp_path / "out"
    with Workspace(out, source=tmp_path / "mistyped"):
        pass
    atomic_write_bytes(out / part / "a.jpg", b"photo")

    with pytest.raises(WorkspaceError, match="is overwritten"), Workspace(out, source=out / part):
        pass

    assert (out / part / "a.jpg").read_bytes() == b"photo"


def test_hidden_files_that_only_end_like_ours_stay(tmp_path: Path) -> None:
    names = ["images/.holiday.sfm-scratch", "cache/.x.sfm-scratch", ".mine.sfm-scratch"]
    with Workspace(tmp_path / "out", source=tmp_path):
        for name in names:
            atomic_write_bytes(tmp_path / "out" / name, b"mine")

    with Workspace(tmp_path / "out", source=tmp_path):
        assert all((tmp_path / "out" / name).read_bytes() == b"mine" for name in names)


def test_a_folder_whose_name_is_a_pattern_leaves_others_alone(tmp_path: Path) -> None:
    others = [".out.0123456789abcdef.sfm-scratch", ".out.01234567.sfm-old"]
    for name in others:
        atomic_write_bytes(tmp_path / name / "theirs", b"theirs")
    ours = tmp_path / ".o*.01234567.sfm-old"
    atomic_write_bytes(ours / "model", b"taken away")

    recover(tmp_path / "o*")
    with atomic_folder(tmp_path / "o*"):
        assert (tmp_path / "o*" / "model").read_bytes() == b"taken away"

    assert all((tmp_path / name / "theirs").exists() for name in others)


def test_a_backup_that_shares_the_database_by_a_link_stays(tmp_path: Path, database: Path) -> None:
    out, backup = tmp_path / "out", tmp_path / "backup.db"
    map_database(database, output=out, config=CONFIG)
    os.link(out / "database.db", backup)
    before = backup.read_bytes()

    with Workspace(out, source=database) as space, closing(sqlite3.connect(space.database)) as db, db:
        db.execute("CREATE TABLE later(number INTEGER)")

    assert backup.read_bytes() == before
    assert b"CREATE TABLE later" in (out / "database.db").read_bytes()


def test_nothing_is_written_beside_a_database_with_a_log(tmp_path: Path, database: Path) -> None:
    given = tmp_path / "given" / "in.db"
    atomic_write_bytes(given, database.read_bytes())
    with closing(sqlite3.connect(given)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("UPDATE cameras SET prior_focal_length = 1")
        db.commit()
    before = contents(given.parent)

    map_database(given, output=tmp_path / "out", config=CONFIG)

    assert contents(given.parent) == before


def test_what_is_in_the_log_of_a_database_is_read(tmp_path: Path) -> None:
    path = tmp_path / "in.db"
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t(a)")
        writer.execute("INSERT INTO t VALUES (7)")
        writer.commit()
        with open_read_only(path) as db:
            assert db.execute("SELECT a FROM t").fetchall() == [(7,)]


@pytest.mark.parametrize("name", ["graph.svg", "graph.graphml"])
def test_a_graph_replaces_only_graphs(tmp_path: Path, database: Path, name: str) -> None:
    out, folder = tmp_path / "out", tmp_path / "drawings"
    map_database(database, output=out, config=CONFIG)
    atomic_write_bytes(folder / name, b"<svg>mine</svg>")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / name).symlink_to(folder / name)

    for place in (folder, tmp_path / "links"):
        with pytest.raises(SfmError, match=f"{name} is there already and was not written by sfm"):
            sfm.graph(out, destination=place)

    assert contents(folder) == {name: b"<svg>mine</svg>"}
    sfm.graph(out, destination=tmp_path / "ours")
    sfm.graph(out, destination=tmp_path / "ours")
    sfm.graph(out)
    sfm.graph(out)


def test_a_traceback_goes_to_no_folder_of_others(tmp_path: Path) -> None:
    atomic_write_bytes(tmp_path / "cache" / "mine", b"mine")

    kept = keep_traceback(ValueError("a bug"), tmp_path)

    assert contents(tmp_path) == {"cache/mine": b"mine"}
    assert kept is not None
    kept.unlink()


def test_models_kept_from_earlier_runs_are_not_replaced(tmp_path: Path) -> None:
    for number in ("", "2"):
        atomic_write_bytes(tmp_path / f"sparse-earlier{number}" / "mine", b"mine")

    assert place_for_earlier(tmp_path) == tmp_path / "sparse-earlier3"
