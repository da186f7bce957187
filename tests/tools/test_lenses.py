"""Rendered lenses: photos, EXIF and truth of a lens agree, and runs are compared with the true camera's."""

import json
import sys
from pathlib import Path

import lenses
import pycolmap
import pytest
from engines import settings
from harness.measured import Measured
from photo_sets.rendered_lenses import EXIF, LENSES, SCENES, planned, rendered
from PIL import ExifTags, Image

from sfm.evaluation import load_ground_truth
from tests.tools import fabricate


@pytest.mark.parametrize("lens", LENSES)
def test_each_lens_has_a_ray_for_every_pixel(lens: str) -> None:
    model, params = LENSES[lens]
    camera = planned(lens, "street", 3, 0)[0].camera

    x, y = camera.rays()

    assert (camera.model, camera.params) == (model, params)
    seen = pycolmap.Camera(model=model, width=camera.width, height=camera.height, params=list(params))
    rows, columns = [100, 240, 470], [130, 320, 520]
    for row, column in zip(rows, columns, strict=True):
        pixel = seen.img_from_cam([x[row, column], y[row, column], 1.0])
        assert pixel == pytest.approx((column + 0.5, row + 0.5), abs=1e-3)


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_has_as_many_photos_as_asked_for(scene: str) -> None:
    for count in (8, 25):
        assert len(planned("plain", scene, count, 0)) == count


def test_exif_says_what_the_case_says_and_pictures_are_the_same(tmp_path: Path) -> None:
    sets = rendered("action", "object", 2, 0, tmp_path)

    focal = {}
    pictures = set()
    for exif, photo_set in sets.items():
        with Image.open(photo_set.photos / "photo_00.jpg") as photo:
            focal[exif] = photo.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLength)
            pictures.add(photo.convert("RGB").tobytes())
    assert focal == {"right": pytest.approx(0.858), "long": pytest.approx(0.943), "none": None}
    assert list(focal) == list(EXIF)
    assert len(pictures) == 1


def test_what_a_run_loses_to_the_true_camera_is_counted(tmp_path: Path, monkeypatch, capsys) -> None:
    def run_python(command: list[str], given: object, log: Path) -> Measured:
        images, out = Path(command[3]), Path(command[5])
        poses = dict(load_ground_truth(images.parent / "gt.json").poses)
        if out.name == "out-found":
            poses.pop(min(poses))  # a photo that the true camera registers
        assert any("camera_params" in word for word in command) == (out.name == "out-true")
        fabricate.colmap_text(out / "sparse" / "0", poses, ["PINHOLE 64 48 50 50 32 24"])
        return Measured(9.0, 4.0, 1.0, 0, False, "")

    monkeypatch.setattr(settings, "run_python", run_python)
    words = ["--lenses", "plain", "--scenes", "object", "--photos", "4", "--exif", "none,long"]
    monkeypatch.setattr(
        sys, "argv", ["lenses.py", *words, "--cache", str(tmp_path), "--out", str(tmp_path / "r.json")]
    )
    lenses.main()

    *rows, loss = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["way"], row["exif"], row["registered"]) for row in rows] == [
        ("true", "none", 4),
        ("found", "none", 3),
        ("found", "long", 3),
    ]
    assert rows[0]["auc1"] == pytest.approx(100)
    assert rows[0]["camera"] == "PINHOLE 50.0"
    assert loss == {"way": "found", "cells": 2, "median": pytest.approx(50), "within": 0, "all_registered": 0}
    assert json.loads((tmp_path / "r.json").read_text())["rows"] == rows
