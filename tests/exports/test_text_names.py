"""Blanks in photo names survive text models: ours are written without, and others' are read with them."""

from __future__ import annotations

import json

import pycolmap
import pytest

from sfm.alignment import align
from sfm.colmap.model_files import read_whole_model
from sfm.colmap.model_poses import read_poses
from sfm.exports import export

NAMES = {1: "day 1/a b.png", 2: "day 1/a c.png", 3: "day%201/a b.png", 4: "plain.png"}


def test_colmap_reads_every_name_and_the_marker_says_which_photo_it_is(tmp_path, make_scene, caplog):
    make_scene(tmp_path, rename=NAMES)

    folder = export(tmp_path, to="txt")

    read = pycolmap.Reconstruction()
    read.read_text(folder)
    renamed = json.loads((folder / "loopsfm_export.json").read_text())["photos"]
    names = {i: renamed.get(image.name, image.name) for i, image in read.images.items()}
    assert names == NAMES
    assert len({image.name for image in read.images.values()}) == 4
    assert not any(" " in image.name for image in read.images.values())
    assert "blanks in 3 names are written as %20" in caplog.text


def test_we_read_our_own_text_with_the_photos_names(tmp_path, make_scene):
    make_scene(tmp_path, rename=NAMES)

    folder = export(tmp_path, to="txt")

    assert {i: image.name for i, image in read_whole_model(folder).images.items()} == NAMES
    assert set(read_poses(folder)) == set(NAMES.values())


@pytest.mark.parametrize("content", ["", "[]", '{"photos": 3}', '{"photos": {"a": {}}}', "[" * 9999])
def test_a_damaged_marker_leaves_the_names_as_written(tmp_path, make_scene, content):
    model = make_scene(tmp_path)
    folder = export(tmp_path, to="txt")
    (folder / "loopsfm_export.json").write_text(content)

    assert set(read_poses(folder)) == {image.name for image in model.images.values()}


def test_names_without_blanks_are_written_as_they_are(tmp_path, make_scene, caplog):
    model = make_scene(tmp_path)

    folder = export(tmp_path, to="txt")

    read = pycolmap.Reconstruction()
    read.read_text(folder)
    assert {image.name for image in read.images.values()} == {image.name for image in model.images.values()}
    assert json.loads((folder / "loopsfm_export.json").read_text())["photos"] == {}
    assert caplog.text == ""


@pytest.mark.parametrize("blank", [" ", "  ", "\t"])
def test_a_text_model_of_colmaps_is_read_with_its_blanks(tmp_path, make_scene, blank):
    model = make_scene(tmp_path)
    for image in model.images.values():
        image.name = f"day 1/a{blank}{image.name}"
    (tmp_path / "text").mkdir()
    model.write_text(tmp_path / "text")

    read = read_whole_model(tmp_path / "text")
    aligned = align(tmp_path / "text", tmp_path / "text", output=tmp_path / "aligned")

    assert {i: image.name for i, image in read.images.items()} == {
        i: image.name for i, image in model.images.items()
    }
    assert aligned.names == tuple(sorted(image.name for image in model.images.values()))
