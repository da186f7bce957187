"""Observations of points behind a camera are dropped, others stay."""

from pathlib import Path

import numpy as np
import pycolmap

from sfm.mapping.refinement.points_behind import drop_observations_behind

from . import synthetic


def test_points_behind_a_camera_lose_its_observation(tmp_path: Path) -> None:
    model = pycolmap.Reconstruction(synthetic.synthesize(tmp_path / "database.db", num_images=6).truth)
    before = model.num_points3D()
    point_id = min(model.points3D)
    ends = [(end.image_id, end.point2D_idx) for end in model.point3D(point_id).track.elements]
    image = model.image(ends[0][0])
    behind = image.cam_from_world().inverse() * np.array([0.0, 0.0, -0.1])
    model.points3D[point_id].xyz = behind
    sees = [image_id for image_id, _ in ends if (model.image(image_id).cam_from_world() * behind)[2] > 0]

    count = drop_observations_behind(model)

    assert count == len(ends) - len(sees) > 0
    if len(sees) < 2:
        assert model.num_points3D() == before - 1
    else:
        assert sorted(e.image_id for e in model.point3D(point_id).track.elements) == sorted(sees)
    assert drop_observations_behind(model) == 0


def test_all_observations_of_a_sound_model_stay(tmp_path: Path) -> None:
    model = pycolmap.Reconstruction(synthetic.synthesize(tmp_path / "database.db", num_images=6).truth)
    observations = model.compute_num_observations()

    assert drop_observations_behind(model) == 0
    assert model.compute_num_observations() == observations
