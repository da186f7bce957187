"""Photos all around, from a folder to a trainer."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest

import sfm
from sfm.config.loading import load_config
from tests.panoramas import draw_panoramas

QUICK = ["run.threads=2", "export.report=false", "backend=sift", "sift.max_num_features=2000"]


@pytest.mark.slow
def test_panoramas_are_recognised_registered_and_exported_as_flat_views(tmp_path: Path) -> None:
    poses = draw_panoramas(tmp_path / "photos", count=6, width=1024)

    draw_panoramas(tmp_path / "queries", count=7, width=1024)  # of the same room, from other places

    result = sfm.run(tmp_path / "photos", output=tmp_path / "out", config=load_config(overrides=QUICK))

    model = result.reconstruction
    assert model is not None
    assert [camera.model_name for camera in model.cameras.values()] == ["EQUIRECTANGULAR"]
    assert model.num_reg_images() == 6
    assert worst_turn_deg(model, poses) < 0.1
    located = sfm.localize(tmp_path / "out", tmp_path / "queries", output=tmp_path / "located")
    assert located.num_localised == 6  # the first one has the content of a photo of the model
    flat = pycolmap.Reconstruction(sfm.export(tmp_path / "out", to="3dgs") / "sparse" / "0")
    assert flat.num_reg_images() == 36
    assert {camera.model_name for camera in flat.cameras.values()} == {"PINHOLE"}
    assert errors_px(flat).max() < 8
    assert np.median(errors_px(flat)) < 0.5


def worst_turn_deg(model: pycolmap.Reconstruction, poses: dict[str, pycolmap.Rigid3d]) -> float:
    """Largest error of a relative rotation between two photos."""
    images = [model.image(i) for i in model.reg_image_ids()]
    turns = [poses[image.name].rotation.inverse() * image.cam_from_world().rotation for image in images]
    return max(float(np.degrees((a.inverse() * b).angle())) for a in turns for b in turns)


def errors_px(model: pycolmap.Reconstruction) -> np.ndarray:
    found = []
    for image in model.images.values():
        seen = image.get_observation_points2D()
        xyz = np.array([model.point3D(point.point3D_id).xyz for point in seen]).reshape(-1, 3)
        where = model.camera(image.camera_id).img_from_cam(image.cam_from_world() * xyz)
        found.append(np.linalg.norm(where - np.array([p.xy for p in seen]).reshape(-1, 2), axis=1))
    return np.concatenate(found)
