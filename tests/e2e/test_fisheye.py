"""A fisheye that nobody named, from photos to exports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest

import sfm
from sfm.config.loading import load_config

from .conftest import ROOT

LENS = ("--fisheye", "--focal-factor", "0.53", "--k1", "0.05", "--width", "480", "--height", "360")
QUICK = ["run.threads=1", "export.report=false", "backend=sift"]


@pytest.fixture(scope="module", params=[(), ("--focal",)], ids=["without EXIF", "focal length in EXIF"])
def square(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos through a lens of 101 degrees."""
    folder = tmp_path_factory.mktemp("fisheye") / "square"
    lens = (*LENS, *request.param)
    tool = [sys.executable, str(ROOT / "tools" / "render_scene.py"), str(folder), "--views", "8", *lens]
    subprocess.run(tool, check=True, timeout=250)
    return folder


@pytest.mark.slow
def test_a_fisheye_is_recognised_registered_and_exported(square: Path, tmp_path: Path) -> None:
    config = load_config(overrides=QUICK)

    result = sfm.run(square / "images", output=tmp_path, config=config)
    again = sfm.run(square / "images", output=tmp_path, config=config)

    model = result.reconstruction
    assert model.num_reg_images() == 8
    (camera,) = model.cameras.values()
    assert camera.is_perspective_fisheye()
    assert camera.mean_focal_length() == pytest.approx(0.53 * 480, rel=0.01)
    assert worst_turn_deg(model, square / "gt.json") < 1.0
    assert again.reconstruction.camera(1).params.tolist() == camera.params.tolist()
    splats = pycolmap.Reconstruction(sfm.export(tmp_path, to="3dgs") / "sparse" / "0")
    assert {made.model_name for made in splats.cameras.values()} == {"PINHOLE"}
    scene = json.loads((sfm.export(tmp_path, to="nerfstudio") / "transforms.json").read_text())
    assert scene["camera_model"] == "OPENCV_FISHEYE"


def worst_turn_deg(model: pycolmap.Reconstruction, truth: Path) -> float:
    """Largest error of a relative rotation between two photos."""
    true = {name: np.array(pose["R_cw"]) for name, pose in json.loads(truth.read_text())["images"].items()}
    images = [model.image(i) for i in model.reg_image_ids()]
    turns = [true[image.name].T @ image.cam_from_world().rotation.matrix() for image in images]
    cosines = [(np.trace(a @ b.T) - 1) / 2 for a in turns for b in turns]
    return float(np.degrees(np.arccos(np.clip(min(cosines), -1, 1))))
