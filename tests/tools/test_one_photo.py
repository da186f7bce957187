"""Poses by one photo beside the truth of a rendered scene."""

import json
import sys
from pathlib import Path

import numpy as np
import one_photo
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from sfm.geometry.photo_pair.values import Method
from sfm.pipelines.localize_photo import LocalisedByPhoto
from sfm.pipelines.query_pose import Intrinsics, QueryPose
from tests.conftest import MakeOnce
from tests.rooms import Shot, speckled, write_room


def test_as_many_pairs_of_each_scene_as_there_are() -> None:
    assert one_photo._shares([9, 2, 9], 12) == [5, 2, 5]
    assert one_photo._shares([1, 2], 12) == [1, 2]
    assert one_photo._shares([0, 5], 3) == [0, 3]


def test_chi_squared_is_that_of_the_error_in_its_covariance() -> None:
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 100, 100)
    estimate = pycolmap.Rigid3d(
        pycolmap.Rotation3d(Rotation.from_rotvec([0.1, 0.2, 0.3]).as_quat()), np.array([1.0, 2, 3])
    )
    turn = Rotation.from_rotvec([0.02, 0, 0]) * Rotation.from_rotvec([0.1, 0.2, 0.3])
    true = pycolmap.Rigid3d(pycolmap.Rotation3d(turn.as_quat()), np.array([1.0, 2.3, 3]))
    covariance = np.diag([0.01**2] * 3 + [0.1**2] * 3)
    pose = QueryPose(estimate, camera, "given", 9, np.ones(9, bool), 1.0, covariance)
    method: Method = "essential"

    found = one_photo._beside("a", LocalisedByPhoto("b", pose, method, Intrinsics(camera, "given")), true)

    # Two standard deviations of one angle and three of one length, of six.
    assert found.chi2_per_dof == pytest.approx((4 + 9) / 6)
    assert found.error_deg == pytest.approx(np.degrees(0.02))


def test_a_scene_is_measured(
    make_once: MakeOnce, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = {f"{x}.jpg": Shot((0.8 * x - 0.8, -3.5, 1.6), size=(192, 144), focal_px=154) for x in range(3)}

    def make(folder: Path) -> None:
        write_room(folder, shots, textures=[speckled(i, 120, 120) for i in range(3)])

    room = make_once("one photo", make)
    monkeypatch.setattr(sys, "argv", ["one_photo.py", str(room), "--pairs", "2", "--image-size", "96"])

    one_photo.main()

    printed = json.loads(capsys.readouterr().out)
    assert printed["missing"] == 0
    assert printed["all"] == printed["scenes"][room.name]
    assert printed["all"]["pairs"] == 2
    assert printed["all"]["median_error_m"] < 0.1
    assert printed["all"]["median_error_deg"] < 0.3
