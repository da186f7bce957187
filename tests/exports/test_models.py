"""Models and point clouds are written whole, largest first, coloured."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest

from sfm.errors import WorkspaceError
from sfm.exports import write_models, write_points_ply
from sfm.exports.models import model_indices


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


def test_models_of_an_earlier_run_do_not_stay(tmp_path, make_scene):
    first, second = make_scene(tmp_path / "a", num_images=5), make_scene(tmp_path / "b", num_images=3)
    write_models([first, second], tmp_path, text=True)

    write_models([second], tmp_path, text=False)

    assert model_indices(tmp_path) == [0]
    assert not (tmp_path / "sparse" / "0" / "images.txt").exists()


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
