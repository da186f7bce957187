"""What `export` refuses, and what it replaces."""

from __future__ import annotations

import json

import pytest

from sfm.errors import ConfigError, InputError, WorkspaceError
from sfm.exports import FORMATS, export


def test_unknown_format_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"'nerfstudo'.*3dgs, nerfstudio, txt, ply") as caught:
        export(tmp_path, to="nerfstudo")

    assert "nerfstudio" in caught.value.hint


def test_a_workspace_without_model_is_refused(tmp_path):
    (tmp_path / "sparse").mkdir()

    with pytest.raises(InputError, match="no model to export"):
        export(tmp_path, to="txt")


def test_a_model_number_that_does_not_exist_is_refused(tmp_path, make_scene):
    make_scene(tmp_path)

    with pytest.raises(InputError, match="no model 3; it has models 0") as caught:
        export(tmp_path, to="txt", model=3)

    assert "choose one" in caught.value.hint


@pytest.mark.parametrize("to", FORMATS)
def test_a_foreign_folder_is_left_alone(tmp_path, make_scene, to):
    make_scene(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")

    with pytest.raises(WorkspaceError, match=r"not an earlier export \(it holds thesis.tex\)"):
        export(tmp_path / "out", to=to, destination=tmp_path / "mine")

    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("to", sorted(set(FORMATS) - {"views"}))  # needs a network; see test_views
def test_an_earlier_export_is_replaced(tmp_path, make_scene, to):
    model = make_scene(tmp_path)
    folder = export(tmp_path, to=to)
    before = _files(folder)
    for file in (tmp_path / "sparse" / "0").iterdir():
        file.unlink()
    model.deregister_frame(model.image(1).frame_id)
    model.write(tmp_path / "sparse" / "0")

    assert export(tmp_path, to=to) == folder == tmp_path / "export" / to

    gone = {path for path in before if path.startswith("images/") and model.image(1).name in path}
    assert _files(folder) == before - gone
    assert [p.name for p in folder.parent.iterdir()] == [to]


def _files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_marker_says_which_photo_an_exported_name_stands_for(tmp_path, make_scene):
    make_scene(tmp_path, rename={1: "day 1/photo.png"})

    folder = export(tmp_path, to="3dgs")

    marker = json.loads((folder / "loopsfm_export.json").read_text())
    assert marker["photos"]["day_1__photo.png"] == "day 1/photo.png"


@pytest.mark.parametrize("to", ["3dgs", "nerfstudio"])
def test_a_photo_that_has_gone_is_named_and_no_half_export_stays(tmp_path, make_scene, to):
    model = make_scene(tmp_path)
    (tmp_path / "images" / model.image(2).name).unlink()

    with pytest.raises(InputError, match=rf"{model.image(2).name}: the photo is gone") as caught:
        export(tmp_path, to=to)

    assert "put them back" in caught.value.hint
    assert "--to txt" in caught.value.hint
    (tmp_path / "images" / model.image(1).name).unlink()
    both = ", ".join(sorted(str(model.image(i).name) for i in (1, 2)))
    with pytest.raises(InputError, match=rf"{both}: 2 photos of the model are gone"):
        export(tmp_path, to=to)
    assert not (tmp_path / "export" / to).exists()


@pytest.mark.parametrize("to", ["3dgs", "nerfstudio"])
def test_a_photo_of_another_size_is_refused(tmp_path, make_scene, to):
    from PIL import Image

    model = make_scene(tmp_path)
    Image.new("RGB", (64, 64)).save(tmp_path / "images" / model.image(2).name)

    with pytest.raises(InputError, match="64 x 64 px, in the model 320 x 240"):
        export(tmp_path, to=to)
