"""Exports and models: replaced as a whole, or left alone."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from sfm.errors import ConfigError, InputError, WorkspaceError
from sfm.exports.exporting import export
from sfm.exports.formats import FORMATS
from sfm.exports.models import write_models, write_points_ply


@pytest.mark.parametrize("to", ["nerfstudo", "nerf"])
def test_unknown_format_is_refused_with_the_known_ones(tmp_path, to):
    with pytest.raises(ConfigError, match=rf"'{to}'.*3dgs, nerfstudio, txt, ply") as caught:
        export(tmp_path, to=to)

    assert "nerfstudio" in caught.value.hint


def test_a_workspace_without_model_is_refused(tmp_path):
    (tmp_path / "sparse").mkdir()

    with pytest.raises(InputError, match=r": there is no model$"):
        export(tmp_path, to="txt")


def test_a_model_number_that_does_not_exist_is_refused(tmp_path, make_scene):
    make_scene(tmp_path)

    with pytest.raises(InputError, match="no model 3; it has models 0") as caught:
        export(tmp_path, to="txt", model=3)

    assert "choose one" in caught.value.hint


@pytest.mark.parametrize("to", FORMATS)
def test_photos_that_show_all_around_are_refused_where_they_must_be_flat(tmp_path, make_scene, to):
    make_scene(tmp_path, camera_model="EQUIRECTANGULAR", params=(320.0, 240.0))

    if to in ("views", "dense"):
        with pytest.raises(InputError, match="EQUIRECTANGULAR") as caught:
            export(tmp_path, to=to)
        assert "--to 3dgs or nerfstudio without depth takes six flat views of each" in caught.value.hint
    else:
        assert list(export(tmp_path, to=to).iterdir())


@pytest.mark.parametrize("to", FORMATS)
def test_a_foreign_folder_is_left_alone(tmp_path, make_scene, to):
    make_scene(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")

    with pytest.raises(WorkspaceError, match=r"not an earlier export \(it holds thesis.tex\)"):
        export(tmp_path / "out", to=to, destination=tmp_path / "mine")

    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("to", sorted(set(FORMATS) - {"views", "dense"}))  # need a network
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
    model = make_scene(tmp_path)
    Image.new("RGB", (64, 64)).save(tmp_path / "images" / model.image(2).name)

    with pytest.raises(InputError, match="64 x 64 px, in the model 320 x 240"):
        export(tmp_path, to=to)


def test_models_are_numbered_largest_first(tmp_path, make_scene):
    small = make_scene(tmp_path / "a", num_images=3)
    large = make_scene(tmp_path / "b", num_images=5)

    folders = write_models([small, large], tmp_path, text=False)

    assert [folder.name for folder in folders] == ["0", "1"]
    assert [pycolmap.Reconstruction(folder).num_reg_images() for folder in folders] == [5, 3]


def test_text_files_come_on_request(tmp_path, make_scene):
    model = make_scene(tmp_path / "a")

    (folder,) = write_models([model], tmp_path, text=True)

    assert {"cameras.txt", "images.txt", "points3D.txt", "cameras.bin"} <= {p.name for p in folder.iterdir()}


def test_a_failed_write_leaves_the_earlier_models(tmp_path, make_scene, monkeypatch):
    model = make_scene(tmp_path / "a")
    write_models([model], tmp_path, text=False)

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sfm.exports.models.write_model", full_disk)
    with pytest.raises(WorkspaceError, match="disk is full"):
        write_models([model, model], tmp_path, text=False)

    assert pycolmap.Reconstruction(tmp_path / "sparse" / "0").num_reg_images() == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "sparse"]


def test_a_file_that_came_out_short_is_noticed(tmp_path, make_scene, monkeypatch):
    model = make_scene(tmp_path / "a")

    def write_short(self, folder):
        type(model).write(self, folder)
        with (folder / "points3D.bin").open("r+b") as file:
            file.truncate(1000)

    monkeypatch.setattr(type(model), "write_binary", write_short)
    with pytest.raises(WorkspaceError, match=r"points3D\.bin: the file came out short"):
        write_models([model], tmp_path, text=False)

    assert not (tmp_path / "sparse").exists()


def test_ply_holds_the_points_of_the_largest_model_with_their_colours(tmp_path, make_scene):
    small, large = make_scene(tmp_path / "a", num_images=3), make_scene(tmp_path / "b", num_images=5)
    vertex = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])

    write_points_ply([small, large], tmp_path / "points.ply")

    header, body = (tmp_path / "points.ply").read_bytes().split(b"end_header\n", 1)
    points = np.frombuffer(body, vertex)
    assert b"format binary_little_endian" in header
    expected = np.array([p.xyz for p in large.points3D.values()], dtype=np.float32)
    assert sorted(map(tuple, points["xyz"])) == sorted(map(tuple, expected))
    assert points["rgb"].max() > 0


def test_without_a_model_no_points_of_an_earlier_run_stay(tmp_path, make_scene):
    write_points_ply([make_scene(tmp_path / "a")], tmp_path / "points.ply")

    write_points_ply([], tmp_path / "points.ply")

    assert not (tmp_path / "points.ply").exists()


def test_photos_that_changed_since_the_run_are_named(tmp_path, make_scene, caplog):
    model = make_scene(tmp_path)
    names = sorted(image.name for image in model.images.values())
    entries = {name: read_entry(tmp_path / "images" / name) for name in names}
    (tmp_path / "cache").mkdir()
    content = {"version": 3, "thumbnail_size": 256, "photos": entries, "masks": {}, "placed": []}
    (tmp_path / "cache" / "images.json").write_text(json.dumps(content))
    other, touched = (tmp_path / "images" / name for name in names[:2])
    with Image.open(other) as photo:
        turned = photo.rotate(180)
    turned.save(other)
    os.utime(touched, ns=(0, 0))

    export(tmp_path, to="3dgs")

    assert f"{names[0]}: changed since the run" in caplog.text

    caplog.clear()
    export(tmp_path, to="txt")

    assert caplog.text == ""


def read_entry(path: Path) -> list[object]:
    """What a manifest has of a photo."""
    status, exif = path.stat(), ("make", "model", "focal_px", "latitude_deg", "longitude_deg", "altitude_m")
    examined = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "width": 320,
        "height": 240,
        "orientation": 1,
        "exif": dict.fromkeys((*exif, "timestamp_s")),
        "device": "",
        "copy_suffix": "",
        "is_panorama": False,
    }
    return [status.st_size, status.st_mtime_ns, examined]
