"""Photos of a rig are registered by their frames, with its geometry known or found."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.colmap.rigs import derive_rigs, metres_per_unit, write_rigs
from sfm.errors import InputError
from sfm.geometry.similarity import extent
from sfm.mapping.growing.global_sfm import global_models
from sfm.pipelines.map_database import map_database
from sfm.types import PhotoStatus, Rig, RigSensor

from .running import Counted, Recorder, names, run, workbench
from .synthetic import Scene, max_rotation_error_deg

LEFT, RIGHT = "camera000001_", "camera000002_"
NUM_FRAMES = 8
UNKNOWN = (Rig((RigSensor(LEFT, True), RigSensor(RIGHT, False))),)


def synthesize(path: Path) -> Scene:
    """Eight frames of a rig of two cameras whose database says nothing of the rig."""
    pycolmap.set_random_seed(1)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 2, NUM_FRAMES
    options.num_points3D = 200
    options.sensor_from_rig_translation_stddev, options.sensor_from_rig_rotation_stddev = 0.1, 5
    with pycolmap.Database.open(path) as db:
        truth = pycolmap.synthesize_dataset(options, db)
        noise = pycolmap.SyntheticNoiseOptions()
        noise.point2D_stddev = 0.5
        pycolmap.synthesize_noise(noise, truth, db)
    with closing(sqlite3.connect(path)) as db, db:
        for table in ("rigs", "rig_sensors", "frames", "frame_data"):
            db.execute(f"DELETE FROM {table}")
        db.execute("INSERT INTO rigs SELECT camera_id, camera_id, 0 FROM cameras")
        db.execute("INSERT INTO frames SELECT image_id, camera_id FROM images")
        db.execute("INSERT INTO frame_data SELECT image_id, image_id, camera_id, 0 FROM images")
    return Scene(path, truth)


def true_pose(truth: pycolmap.Reconstruction) -> pycolmap.Rigid3d:
    (rig,) = truth.rigs.values()
    (pose,) = rig.non_ref_sensors.values()
    assert pose is not None
    return pose


def known(truth: pycolmap.Reconstruction) -> tuple[Rig, ...]:
    pose = true_pose(truth)
    x, y, z, w = pose.rotation.quat.tolist()
    return (
        Rig((RigSensor(LEFT, True), RigSensor(RIGHT, False, (w, x, y, z), tuple(pose.translation.tolist())))),
    )


def direction_error_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.rad2deg(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))


def with_known_rig(path: Path) -> Scene:
    scene = synthesize(path)
    write_rigs(scene.database, known(scene.truth))
    return scene


def test_a_known_rig_is_registered_frame_by_frame_and_gives_the_scale(tmp_path: Path) -> None:
    scene, events, bar = with_known_rig(tmp_path / "d.db"), Recorder(), Counted()

    (model,) = run(scene.database, events=events, progress=bar).models

    assert (model.num_reg_images(), model.num_reg_frames()) == (2 * NUM_FRAMES, NUM_FRAMES)
    assert max_rotation_error_deg(model, scene.truth) < 0.1
    registered = [event["name"] for event in events.of("registered")]
    assert set(registered) == names(model)
    assert sum(event["how"] == "rig" for event in events.of("registered")) == NUM_FRAMES
    assert bar.count == 2 * NUM_FRAMES
    scale = metres_per_unit(known(scene.truth), model)
    assert scale is not None
    model.transform(pycolmap.Sim3d(scale, pycolmap.Rotation3d(), np.zeros(3)))
    sizes = [
        extent(np.array([m.image(i).projection_center() for i in sorted(m.reg_image_ids())]))
        for m in (model, scene.truth)
    ]
    assert sizes[0] / sizes[1] == pytest.approx(1, abs=0.05)  # by a baseline of a thirtieth of the ring
    assert metres_per_unit(UNKNOWN, model) is None


def test_an_unknown_rig_is_found_from_photos_alone_and_then_holds_them(tmp_path: Path) -> None:
    scene = synthesize(tmp_path / "d.db")
    (alone,) = run(scene.database).models
    alone_error = max_rotation_error_deg(alone, scene.truth)
    left_only = pycolmap.Reconstruction(alone)
    for image in [left_only.image(i) for i in left_only.reg_image_ids()]:
        if image.name.startswith(RIGHT):
            left_only.deregister_frame(image.frame_id)

    assert derive_rigs(scene.database, UNKNOWN, left_only) is None  # no frame shows the rig
    with pycolmap.Database.open(scene.database) as db:
        assert len(db.read_all_frames()) == 2 * NUM_FRAMES
    rigs = derive_rigs(scene.database, UNKNOWN, alone)
    (model,) = run(scene.database, start=(alone,)).models

    assert rigs is not None
    assert rigs[0].has_poses
    assert (model.num_reg_images(), model.num_reg_frames()) == (2 * NUM_FRAMES, NUM_FRAMES)
    assert max_rotation_error_deg(model, scene.truth) < alone_error
    found = next(p for rig in model.rigs.values() for p in rig.non_ref_sensors.values())
    true = true_pose(scene.truth)
    assert found is not None
    assert np.rad2deg(found.rotation.angle_to(true.rotation)) < 0.1
    assert direction_error_deg(found.translation, true.translation) < 2


def test_a_database_whose_rigs_lack_a_pose_is_refused_with_the_way_out(tmp_path: Path) -> None:
    scene = synthesize(tmp_path / "d.db")
    write_rigs(scene.database, UNKNOWN)

    with pytest.raises(InputError, match=r"rig \d+ does not say how camera 2 sits in it"):
        map_database(scene.database, output=tmp_path / "out")


@pytest.fixture
def half_blind(tmp_path: Path) -> Scene:
    """A known rig whose right camera matches nothing in every second frame."""
    scene = with_known_rig(tmp_path / "d.db")
    with pycolmap.Database.open(scene.database) as db:
        blind = {i.image_id for i in db.read_all_images() if i.name.startswith(RIGHT) and i.frame_id % 2}
        for pair_id in db.read_two_view_geometries()[0]:
            ids = pycolmap.pair_id_to_image_pair(pair_id)
            if not blind.isdisjoint(ids):
                db.delete_two_view_geometry(*ids)
                db.delete_matches(*ids)
    assert len(blind) == NUM_FRAMES // 2
    return scene


def test_a_camera_without_matches_is_registered_with_its_rig(half_blind: Scene) -> None:
    (model,) = run(half_blind.database).models

    assert (model.num_reg_images(), model.num_reg_frames()) == (2 * NUM_FRAMES, NUM_FRAMES)
    assert max_rotation_error_deg(model, half_blind.truth) < 0.2
    context = workbench(half_blind.database)
    (submodel,) = global_models(context, frozenset(context.scene.id_of))
    assert len(submodel.names) == 2 * NUM_FRAMES


def test_nobody_doubts_a_photo_that_its_rig_holds(half_blind: Scene, tmp_path: Path) -> None:
    result = map_database(half_blind.database, output=tmp_path / "out")

    assert {outcome.status for outcome in result.outcomes} == {PhotoStatus.REGISTERED}
    assert pycolmap.Reconstruction(tmp_path / "out/sparse/0").num_reg_frames() == NUM_FRAMES
    assert not any("points hold it" in outcome.doubt for outcome in result.outcomes)
