"""Depth as 16-bit images: the step that they count in, and that they overlay nerfstudio's photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sfm.exports import DepthOptions, export
from sfm.exports.depth_set import Fit, ViewRecord
from sfm.exports.view_files import png_unit
from tests.exports.rendered import UNIT_M, off_surfaces, workspace, world


def record(typical: float, far: float) -> ViewRecord:
    return ViewRecord(1, "a", (), Fit(1.0, 0.0, True, 20, 0.0), typical, far)


@given(st.floats(1e-9, 1e9), st.floats(1.0, 50.0))
def test_png_steps_reach_far_enough_and_are_fine_enough(typical: float, ratio: float) -> None:
    far = typical * ratio

    unit = png_unit([record(typical, far)])

    assert far <= unit * 65535 * (1 + 1e-9)
    assert unit <= max(typical / 1000, far / 65535 * 5) * (1 + 1e-9)


def test_png_steps_are_millimetres_where_they_serve() -> None:
    assert png_unit([record(3.0, 12.0), record(1.5, 64.0)]) == 0.001
    assert png_unit([record(3.0, 70.0)]) == pytest.approx(0.002)
    assert png_unit([record(0.01, 0.06)]) == pytest.approx(1e-6)
    assert png_unit([record(float("nan"), float("nan"))]) == 0.001
    assert png_unit([]) == 0.001


def test_nerfstudio_gets_depth_of_every_photo(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out", orientations={"right.jpg": 6})

    folder = export(tmp_path / "out", to="nerfstudio", depth=DepthOptions())

    transforms = json.loads((folder / "transforms.json").read_text())
    assert transforms["depth_unit_scale_factor"] == 0.001
    assert len(transforms["frames"]) == 6
    for frame in transforms["frames"]:
        with Image.open(folder / frame["depth_file_path"]) as image:
            steps = np.array(image)
        assert steps.shape == (frame["h"], frame["w"])
        truth = np.load(scene / "depth" / f"{Path(frame['file_path']).stem}.jpg.npy")
        truth = np.rot90(truth) if frame["file_path"] == "images/right.jpg" else truth
        good = (steps > 0) & (truth > 0)
        if "away" not in frame["file_path"]:
            assert good.mean() > 0.4
            assert np.median(np.abs(steps[good] * 0.001 * UNIT_M / truth[good] - 1)) < 0.02


def test_nerfstudio_gets_depth_of_undistorted_photos(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out", camera_model="FULL_OPENCV")

    folder = export(tmp_path / "out", to="nerfstudio", depth=DepthOptions())

    transforms = json.loads((folder / "transforms.json").read_text())
    frame = next(f for f in transforms["frames"] if "left" in f["file_path"])
    with Image.open(folder / frame["depth_file_path"]) as image:
        depth = np.array(image) * transforms["depth_unit_scale_factor"]
    assert depth.shape == (frame["h"], frame["w"]) != (120, 160)
    rows, columns = np.nonzero(depth)
    rays = np.column_stack(
        [
            (columns + 0.5 - frame["cx"]) / frame["fl_x"],
            -(rows + 0.5 - frame["cy"]) / frame["fl_y"],
            -np.ones(len(rows)),
        ]
    )
    pose = np.array(frame["transform_matrix"])
    turned = (rays * depth[rows, columns, None]) @ pose[:3, :3].T + pose[:3, 3]
    points = turned @ np.array(transforms["applied_transform"])[:, :3]
    assert len(points) > 0.4 * depth.size
    assert np.median(off_surfaces(world(points))) < 0.05
    assert np.quantile(off_surfaces(world(points)), 0.9) < 0.25
