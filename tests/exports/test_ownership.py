"""A second export replaces what the first one wrote, and nothing else."""

import json
import logging
import os
from pathlib import Path

import pycolmap
import pytest

from sfm.errors import WorkspaceError
from sfm.exports.earlier_scene import refuse_foreign_folders
from sfm.exports.exporting import export
from sfm.exports.models import write_models

MARKER = "loopsfm_export.json"


def test_what_a_trainer_wrote_is_kept_and_told_in_one_line(tmp_path, make_scene, caplog):
    make_scene(tmp_path)
    folder = export(tmp_path, to="3dgs")
    (folder / "output" / "checkpoints").mkdir(parents=True)
    (folder / "output" / "checkpoints" / "7000.ckpt").write_bytes(b"a night of training")
    (folder / "images" / "notes.txt").write_text("mine")
    (folder / "latest").symlink_to("output")

    assert export(tmp_path, to="3dgs") == folder

    assert (folder / "output" / "checkpoints" / "7000.ckpt").read_bytes() == b"a night of training"
    assert (folder / "images" / "notes.txt").read_text() == "mine"
    assert os.readlink(folder / "latest") == "output"
    lines = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 1
    assert "kept 3 files" in lines[0]
    assert "output/checkpoints/7000.ckpt" in lines[0]


def test_a_file_that_somebody_changed_since_is_kept_and_named(tmp_path, make_scene, caplog):
    make_scene(tmp_path)
    folder = export(tmp_path, to="txt")
    (folder / "cameras.txt").write_text("edited by hand")

    export(tmp_path, to="txt")

    assert (folder / "cameras.txt.kept").read_text() == "edited by hand"
    assert (folder / "cameras.txt").read_text().startswith("# Camera list")
    assert "cameras.txt as cameras.txt.kept" in caplog.text

    (folder / "cameras.txt").write_text("edited again")
    export(tmp_path, to="txt")

    assert (folder / "cameras.txt.kept").read_text() == "edited by hand"
    assert (folder / "cameras.txt.kept2").read_text() == "edited again"


def test_a_copied_export_is_still_the_engines_own(tmp_path, make_scene, caplog):
    make_scene(tmp_path)
    folder = export(tmp_path, to="3dgs")
    for path in folder.rglob("*"):
        os.utime(path, ns=(0, 0))

    export(tmp_path, to="3dgs")

    assert "kept" not in caplog.text
    assert not list(folder.rglob("*.kept*"))


def test_of_an_export_without_a_list_only_what_is_written_again_is_replaced(tmp_path, make_scene):
    make_scene(tmp_path)
    folder = export(tmp_path, to="txt")
    (folder / MARKER).write_text(json.dumps({"format": "txt", "model": 0, "photos": {}}))
    (folder / "mine").write_text("mine")

    export(tmp_path, to="txt")

    assert (folder / "mine").read_text() == "mine"
    assert not list(folder.rglob("*.kept*"))


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"files": []}', '{"files": {"cameras.txt": "x"}}', "[" * 9999]
)
def test_a_damaged_list_loses_nothing(tmp_path, make_scene, content):
    make_scene(tmp_path)
    folder = export(tmp_path, to="txt")
    (folder / MARKER).write_text(content)
    (folder / "mine").write_text("mine")

    export(tmp_path, to="txt")

    assert (folder / "mine").read_text() == "mine"
    assert (folder / "cameras.txt").is_file()


def test_a_file_where_the_new_export_has_a_folder_is_kept_beside_it(tmp_path, make_scene):
    make_scene(tmp_path)
    folder = export(tmp_path, to="txt", destination=tmp_path / "x")
    (folder / "images").write_text("mine")

    export(tmp_path, to="3dgs", destination=folder)

    assert (folder / "images.kept").read_text() == "mine"
    assert (folder / "images").is_dir()
    assert not (folder / "cameras.txt").exists()


def test_a_link_to_another_folder_is_written_behind(tmp_path, make_scene):
    make_scene(tmp_path / "out")
    disk = tmp_path / "disk" / "models"
    disk.mkdir(parents=True)
    (tmp_path / "out" / "export").mkdir()
    link = tmp_path / "out" / "export" / "txt"
    link.symlink_to(disk)

    for _ in range(2):
        assert export(tmp_path / "out", to="txt") == link

    assert link.is_symlink()
    assert (disk / "cameras.txt").is_file()
    assert [path.name for path in disk.parent.iterdir()] == ["models"]
    assert [path.name for path in link.parent.iterdir()] == ["txt"]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda place: place.symlink_to(place.parent / "nothing"), "which is no folder"),
        (lambda place: place.symlink_to(place), "which is no folder"),
        (lambda place: place.write_text("mine"), "is a file"),
    ],
)
def test_a_place_that_cannot_be_a_folder_is_told(tmp_path, make_scene, make, why):
    make_scene(tmp_path)
    (tmp_path / "export").mkdir()
    make(tmp_path / "export" / "txt")

    with pytest.raises(WorkspaceError, match=why):
        export(tmp_path, to="txt")

    assert [path.name for path in (tmp_path / "export").iterdir()] == ["txt"]


@pytest.mark.parametrize(
    "place", ["{file}/x", "{file}/x/y", "/proc/x", "/dev/null/x", "{folder}/" + "n" * 256]
)
def test_a_destination_that_cannot_be_made_is_told(tmp_path, make_scene, place):
    make_scene(tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    destination = place.format(file=tmp_path / "file", folder=tmp_path)

    with pytest.raises(WorkspaceError, match="cannot be made"):
        export(tmp_path / "out", to="txt", destination=destination)

    assert (tmp_path / "file").read_text() == "mine"


def test_without_exchange_a_folder_that_was_taken_away_is_put_back(tmp_path, make_scene, monkeypatch):
    make_scene(tmp_path)
    folder = export(tmp_path, to="txt")
    monkeypatch.setattr("sfm.files.folder_swap._exchanged", lambda a, b: False)
    export(tmp_path, to="txt")
    folder.rename(Path(folder.parent / ".txt.01234567.sfm-old"))  # killed between its two steps
    (folder.parent / ".txt.01234567.sfm-old" / "mine").write_text("mine")

    export(tmp_path, to="txt")

    assert (folder / "mine").read_text() == "mine"
    assert [path.name for path in folder.parent.iterdir()] == ["txt"]


@pytest.mark.parametrize(
    ("part", "marker", "words"),
    [
        ("sparse", None, "sparse holds models of a run, not an export"),
        ("depth", {"format": "views", "beside": {}, "files": {}}, "depth holds the scene of a run, not an"),
    ],
)
def test_folders_of_a_run_are_no_earlier_exports(tmp_path, make_scene, part, marker, words):
    make_scene(tmp_path)
    folder = tmp_path / part
    if marker is None:
        write_models([pycolmap.Reconstruction(folder / "0")], tmp_path, text=False)
    else:
        folder.mkdir()
        (folder / MARKER).write_text(json.dumps(marker))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    with pytest.raises(WorkspaceError, match=words):
        export(tmp_path, to="txt", destination=folder)

    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_export_in_the_place_of_a_scene_is_found_before_anything_is_computed(tmp_path, make_scene):
    make_scene(tmp_path)
    export(tmp_path, to="txt", destination=tmp_path / "new" / "depth")

    with pytest.raises(WorkspaceError, match="depth holds an export, not the scene of a run"):
        refuse_foreign_folders(tmp_path / "new")
