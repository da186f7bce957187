"""Runs that know more than their photos: poses, positions, rigs."""

import json
from pathlib import Path

import numpy as np
import pycolmap
import pytest

import sfm
from sfm.config.loading import load_config
from sfm.errors import ConfigError, InputError

from .drawn import draw_photos

NUM = 8


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pycolmap.Reconstruction]:
    photos = tmp_path_factory.mktemp("ring") / "photos"
    return photos, draw_photos(photos, num_frames=NUM)


def run(photos: Path, out: Path, *overrides: str) -> sfm.Result:
    return sfm.run(photos, output=out, config=load_config(overrides=["run.threads=2", *overrides]))


def images(model: pycolmap.Reconstruction) -> dict[str, pycolmap.Image]:
    return {model.image(i).name: model.image(i) for i in model.reg_image_ids()}


def without(truth: pycolmap.Reconstruction, names: set[str], folder: Path) -> Path:
    """The truth as a model folder, without photos of some names and without points."""
    model = pycolmap.Reconstruction()
    for camera in truth.cameras.values():
        model.add_camera_with_trivial_rig(pycolmap.Camera(camera.todict()))
    for name, image in sorted(images(truth).items()):
        if name not in names:
            copy = pycolmap.Image(name, np.zeros((0, 2)), image.camera_id, image.image_id)
            model.add_image_with_trivial_frame(copy, image.cam_from_world())
    folder.mkdir()
    model.write(folder)
    return folder


def worst_centre_error(model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction) -> float:
    true = images(truth)
    return max(
        float(np.linalg.norm(image.projection_center() - true[name].projection_center()))
        for name, image in images(model).items()
    )


@pytest.mark.slow
@pytest.mark.parametrize("use", ["fixed", "refine"])
def test_photos_are_registered_around_known_poses(
    use: str, ring: tuple[Path, pycolmap.Reconstruction], tmp_path: Path
) -> None:
    photos, truth = ring
    free = {sorted(images(truth))[i] for i in (2, 5)}
    known = pycolmap.Reconstruction(without(truth, free, tmp_path / "known"))

    result = run(
        photos, tmp_path / "out", f"register.poses={tmp_path / 'known'}", f"register.poses_use={use}"
    )

    model = pycolmap.Reconstruction(tmp_path / "out/sparse/0")
    assert set(images(model)) == set(images(truth))
    assert worst_centre_error(model, truth) < 0.05  # a hundredth of the ring's radius
    same = [
        np.array_equal(images(model)[name].cam_from_world().matrix(), image.cam_from_world().matrix())
        for name, image in images(known).items()
    ]
    assert all(same) if use == "fixed" else not any(same)
    assert result.run.models[0].georeference.why == "the frame of the given model is kept"


@pytest.mark.slow
def test_known_poses_of_all_photos_are_only_triangulated(
    ring: tuple[Path, pycolmap.Reconstruction], tmp_path: Path
) -> None:
    photos, truth = ring
    known = without(truth, set(), tmp_path / "known")

    run(photos, tmp_path / "out", f"register.poses={known}")

    model = pycolmap.Reconstruction(tmp_path / "out/sparse/0")
    assert worst_centre_error(model, pycolmap.Reconstruction(known)) == 0
    assert model.num_points3D() > 100
    assert model.compute_mean_reprojection_error() < 1


def test_poses_that_cannot_be_used_are_refused(
    ring: tuple[Path, pycolmap.Reconstruction], tmp_path: Path
) -> None:
    photos, truth = ring
    known = without(truth, set(sorted(images(truth))[1:]), tmp_path / "one")

    with pytest.raises(InputError, match="poses of 1 of the photos; 2 are needed"):
        run(photos, tmp_path / "a", f"register.poses={known}")
    with pytest.raises(InputError, match="none"):
        run(photos, tmp_path / "b", f"register.poses={tmp_path / 'none'}")
    with pytest.raises(ConfigError, match=r"register\.mapper=global cannot start"):
        run(photos, tmp_path / "c", f"register.poses={known}", "register.mapper=global")


@pytest.mark.slow
def test_a_file_of_positions_gives_the_frame(
    ring: tuple[Path, pycolmap.Reconstruction], tmp_path: Path
) -> None:
    photos, truth = ring
    lines = [
        f"{name} {' '.join(f'{50 * v:.4f}' for v in image.projection_center())} 0.5"
        for name, image in images(truth).items()
    ]
    (tmp_path / "positions.txt").write_text("\n".join(lines))

    result = run(photos, tmp_path / "out", f"georeference.positions_file={tmp_path / 'positions.txt'}")

    place = result.run.models[0].georeference
    assert place.frame == "positions"
    assert place.differences is not None
    assert place.differences.horizontal_p95_m < 0.5
    truth_50 = pycolmap.Reconstruction(without(truth, set(), tmp_path / "truth"))
    truth_50.transform(pycolmap.Sim3d(50, pycolmap.Rotation3d(), np.zeros(3)))
    assert worst_centre_error(result.models[0], truth_50) < 1  # metre, of a ring of 500
    assert "that of the positions file" in result.summary()


@pytest.mark.slow
def test_photos_of_a_rig_whose_geometry_nobody_gave_end_in_its_frames(tmp_path: Path) -> None:
    truth = draw_photos(tmp_path / "photos", num_frames=6, num_cameras=2)
    rig = {
        "cameras": [{"image_prefix": "camera000001_", "ref_sensor": True}, {"image_prefix": "camera000002_"}]
    }
    (tmp_path / "rig_config.json").write_text(json.dumps([rig]))

    result = run(tmp_path / "photos", tmp_path / "out", f"images.rig_config={tmp_path / 'rig_config.json'}")

    assert result.run.photos.registered == 12
    model = pycolmap.Reconstruction(tmp_path / "out/sparse/0")
    assert model.num_reg_frames() == 6
    found = [pose for one in model.rigs.values() for pose in one.non_ref_sensors.values()]
    true = [pose for one in truth.rigs.values() for pose in one.non_ref_sensors.values()]
    assert np.rad2deg(found[0].rotation.angle_to(true[0].rotation)) < 0.2


@pytest.mark.slow
@pytest.mark.shared
def test_a_drone_flight_comes_out_in_metres_within_what_its_gps_allows(
    shared_data: Path, tmp_path: Path
) -> None:
    result = run(shared_data / "brighton_beach" / "images", tmp_path / "out", "sift.max_num_features=4096")

    place = result.run.models[0].georeference
    assert result.run.photos.registered == 18
    assert (place.frame, place.scale_from, place.outliers) == ("enu", "positions", ())
    assert place.differences is not None
    assert place.differences.horizontal_p95_m < 5  # consumer GPS; 0.8 m as a rule
    assert place.differences.vertical_p95_m < 5
    assert result.run.pairs.matched < result.run.pairs.exhaustive / 2
    up = np.array([0, 0, 1.0])
    down = [image.cam_from_world().rotation.matrix()[2] @ up for image in images(result.models[0]).values()]
    assert max(down) < -0.9  # all look down
