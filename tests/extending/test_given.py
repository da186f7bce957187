"""Models of COLMAP's that are given together: no two may use one camera id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.errors import InputError
from sfm.reference.model import _model_cameras, open_given


def model(camera_id: int, focal_px: float, prefix: str) -> pycolmap.Reconstruction:
    made = pycolmap.Reconstruction()
    camera = pycolmap.Camera.create_from_model_name(camera_id, "SIMPLE_PINHOLE", focal_px, 640, 480)
    made.add_camera_with_trivial_rig(camera)
    for number in range(3):
        image = pycolmap.Image(f"{prefix}{number}.jpg", np.zeros((0, 2)), camera_id, number + 1)
        made.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    return made


def test_models_with_cameras_of_their_own_are_taken_together() -> None:
    found = _model_cameras([model(1, 500, "a"), model(2, 600, "b")])

    assert {name[0]: spec.params[0] for name, spec in found.items()} == {"a": 500, "b": 600}


def test_two_of_three_models_with_one_camera_id_are_refused() -> None:
    with pytest.raises(InputError, match="3 models have cameras of the same ids"):
        _model_cameras([model(1, 500, "a"), model(1, 600, "b"), model(2, 700, "c")])


def test_a_model_without_photos_is_refused(tmp_path: Path) -> None:
    pycolmap.Reconstruction().write(tmp_path)

    with pytest.raises(InputError, match="no photo is registered in the model"):
        open_given(tmp_path, images=tmp_path)
