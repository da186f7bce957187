import shutil
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.mapping import find_wrong_cameras
from sfm.mapping.growing.global_sfm import global_models
from sfm.mapping.growing.submodels import MappingContext, Submodel, without_images
from sfm.mapping.measures.pair_turns import turning_pairs

from . import synthetic
from .running import Recorder, names, poses, run, workbench


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Scene:
    return synthetic.synthesize(tmp_path_factory.mktemp("ring") / "database.db")


def test_a_connected_scene_becomes_one_accurate_model(ring: synthetic.Scene) -> None:
    result = run(ring.database)

    assert [model.num_reg_images() for model in result.models] == [8]
    assert synthetic.max_rotation_error_deg(result.models[0], ring.truth) < 0.2  # half a pixel at f = 1280 px


@pytest.mark.parametrize(
    ("model", "camera"),
    [
        ("FISHEYE", (700.0, 700.0, 512.0, 384.0)),
        ("RADIAL_FISHEYE", (700.0, 512.0, 384.0, 0.02, 0.0)),
        ("SIMPLE_DIVISION", (900.0, 512.0, 384.0, -0.1)),
        ("EUCM", (900.0, 900.0, 512.0, 384.0, 0.5, 1.0)),
        ("EQUIRECTANGULAR", (1024.0, 768.0)),
    ],
)
def test_every_kind_of_camera_is_mapped_and_refined(
    tmp_path: Path, model: str, camera: tuple[float, ...]
) -> None:
    scene = synthetic.synthesize(tmp_path / "database.db", num_images=9, model=model, camera=camera)
    recorder = Recorder()

    result = run(scene.database, events=recorder)

    assert [found.num_reg_images() for found in result.models] == [9]
    assert result.models[0].camera(1).model_name == model
    assert synthetic.max_rotation_error_deg(result.models[0], scene.truth) < 0.6
    assert not any("failed" in str(event["why"]) for event in recorder.of("step_refused"))


def test_panoramas_that_only_turned_are_mapped(tmp_path: Path) -> None:
    """A spherical camera has no calibration matrix for the homography between two of them."""
    scene = synthetic.synthesize(
        tmp_path / "database.db", num_images=6, model="EQUIRECTANGULAR", camera=(1024.0, 768.0)
    )
    turn = pycolmap.Rotation3d(np.array([0.2, 1.1, -0.1]))
    with pycolmap.Database.open(scene.database) as db:
        camera, xy = db.read_camera(1), np.array(db.read_keypoints(1), np.float64)[:, :2]
        turned = camera.img_from_cam(camera.cam_ray_from_img(xy) @ turn.matrix().T)
        db.update_keypoints(2, turned.astype(np.float32))
        geometry = db.read_two_view_geometry(1, 2)
        geometry.config = int(pycolmap.TwoViewGeometryConfiguration.PLANAR_OR_PANORAMIC)
        geometry.inlier_matches = np.tile(np.arange(len(xy), dtype=np.uint32)[:, None], 2)
        db.update_two_view_geometry(1, 2, geometry)
        for other in range(3, 7):
            db.delete_inlier_matches(2, other)
    context = workbench(scene.database)
    (pair,) = (
        pair for pair in context.scene.view_graph.edges if {context.scene.id_of[n] for n in pair} == {1, 2}
    )

    found = turning_pairs(context.scene, [pair])[pair]
    models = global_models(context, frozenset(context.scene.id_of))

    assert np.allclose(found.b_from_a, turn.matrix(), atol=1e-3)
    assert {name for model in models for name in model.names} >= context.scene.id_of.keys() - {*pair}


def test_a_panorama_that_no_model_has_needs_no_other_camera(tmp_path: Path) -> None:
    """A spherical camera has no focal length that may be wrong."""
    scene = synthetic.synthesize(
        tmp_path / "database.db", num_images=7, model="EQUIRECTANGULAR", camera=(1024.0, 768.0)
    )
    (model,) = run(scene.database).models
    model.deregister_frame(model.image(model.reg_image_ids()[0]).frame_id)

    assert find_wrong_cameras(scene.database, [model], {1: 1}, seed=0) == []


def test_the_same_seed_and_one_thread_give_bit_equal_poses(ring: synthetic.Scene) -> None:
    first, second = poses(run(ring.database)), poses(run(ring.database))

    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_every_photo_is_recorded_once_and_the_model_at_the_end(ring: synthetic.Scene) -> None:
    recorder = Recorder()

    run(ring.database, events=recorder)

    registered = [event["name"] for event in recorder.of("registered")]
    assert sorted(registered) == sorted(names(ring.truth))
    assert {event["how"] for event in recorder.of("registered")} <= {"seed", "pnp"}
    assert recorder.events[-1][0] == "model"
    assert recorder.of("model")[0]["num_images"] == 8


def test_two_separate_scenes_become_two_models(tmp_path: Path) -> None:
    first = synthetic.synthesize(tmp_path / "a.db", num_images=6, seed=1)
    second = synthetic.synthesize(tmp_path / "b.db", num_images=4, seed=2)
    both = synthetic.merge(first.database, second.database, tmp_path / "both.db")

    result = run(both)

    assert [sorted({name[0] for name in names(model)}) for model in result.models] == [["a"], ["b"]]
    assert [model.num_reg_images() for model in result.models] == [6, 4]


def test_a_model_that_is_too_small_is_dropped_and_said_so(tmp_path: Path) -> None:
    scene = synthetic.synthesize(tmp_path / "database.db", num_images=3)
    recorder = Recorder()

    assert [m.num_reg_images() for m in run(scene.database).models] == [3]
    assert not run(scene.database, events=recorder, min_model_size=4).models


def test_later_pairs_continue_the_earlier_model(ring: synthetic.Scene, tmp_path: Path) -> None:
    early = {ids for ids in synthetic.all_pairs(8) if max(ids) <= 5}
    partial = synthetic.keep_pairs(ring.database, tmp_path / "partial.db", early)
    before = run(partial).models
    points_before = before[0].num_points3D()
    synthetic.add_pairs(ring.database, partial, synthetic.all_pairs(8) - early)

    after = run(partial, start=before).models

    assert [model.num_reg_images() for model in after] == [8]
    assert synthetic.max_rotation_error_deg(after[0], ring.truth) < 0.2
    assert (before[0].num_reg_images(), before[0].num_points3D()) == (5, points_before)


@pytest.mark.parametrize("mapper", ["graph", "incremental", "global", "hierarchical"])
def test_fixed_cameras_keep_their_intrinsics_though_others_fit_better(
    ring: synthetic.Scene, tmp_path: Path, mapper: str
) -> None:
    database = _with_longer_focal_length(ring.database, tmp_path / "longer.db")

    (model,) = run(database, fixed_cameras=frozenset({1}), mapper=mapper).models

    with pycolmap.Database.open(database) as db:
        existing = db.read_camera(1).params
    assert model.num_reg_images() == 8
    assert np.array_equal(model.camera(1).params, existing)


def test_so_do_they_where_all_poses_are_found_at_once(ring: synthetic.Scene, tmp_path: Path) -> None:
    database = _with_longer_focal_length(ring.database, tmp_path / "longer.db")
    context = workbench(database, fixed_cameras=frozenset({1}))

    (submodel,) = global_models(context, frozenset(context.scene.id_of))

    assert np.array_equal(submodel.reconstruction.camera(1).params, context.scene.cache.camera(1).params)


def _with_longer_focal_length(source: Path, path: Path) -> Path:
    shutil.copy(source, path)
    with pycolmap.Database.open(path) as db:
        camera = db.read_camera(1)
        camera.params = [1.03 * camera.params[0], *camera.params[1:]]
        db.update_camera(camera)
    return path


def test_no_more_new_models_are_kept_than_are_asked_for(tmp_path: Path) -> None:
    first = synthetic.synthesize(tmp_path / "a.db", num_images=8)
    second = synthetic.synthesize(tmp_path / "b.db", num_images=9, seed=2)
    both, events = synthetic.merge(first.database, second.database, tmp_path / "both.db"), Recorder()

    before = run(both).models
    (largest,) = run(both, events=events, start=before, max_models=1).models

    assert [model.num_reg_images() for model in before] == [9, 8]
    assert largest.num_reg_images() == 9
    (dropped,) = events.of("dropped_model")
    assert "register.max_models" in str(dropped["why"])


@pytest.mark.parametrize("num_images", [0, 1, 2])
def test_too_few_photos_give_no_model(tmp_path: Path, num_images: int) -> None:
    database = tmp_path / "database.db"
    if num_images > 1:
        synthetic.synthesize(database, num_images=num_images)
    else:
        _photos_without_pairs(database, num_images)

    result = run(database)

    assert result.models == ()
    assert len(result.view_graph.names) == num_images


@pytest.mark.parametrize("mapper", ["graph", "incremental", "global", "hierarchical"])
def test_photos_without_pairs_give_no_model(tmp_path: Path, mapper: str) -> None:
    _photos_without_pairs(tmp_path / "database.db", 4)

    assert run(tmp_path / "database.db", mapper=mapper).models == ()


def test_a_model_of_which_adjusting_leaves_too_little_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring, recorder = synthetic.synthesize(tmp_path / "database.db", num_images=4), Recorder()

    def leaving_two(context: MappingContext, submodel: Submodel, *_: object, **__: object) -> Submodel:
        return without_images(context, submodel, set(sorted(submodel.names)[2:]))

    monkeypatch.setattr("sfm.mapping.registrar.refine_model", leaving_two)

    assert run(ring.database, events=recorder).models == ()

    (dropped,) = recorder.of("dropped_model")
    assert dropped["why"] == "once it is adjusted, 2 of 4 photos are left of it"


@pytest.mark.parametrize("mapper", ["incremental", "global", "hierarchical"])
def test_colmaps_mappers_make_no_model_of_too_few_images(tmp_path: Path, mapper: str) -> None:
    pair = synthetic.synthesize(tmp_path / "database.db", num_images=2)

    assert run(pair.database, mapper=mapper).models == ()


@pytest.mark.parametrize("mapper", ["incremental", "global", "hierarchical"])
def test_colmaps_own_mappers_give_the_same_kind_of_result(ring: synthetic.Scene, mapper: str) -> None:
    recorder = Recorder()

    result = run(ring.database, events=recorder, mapper=mapper)

    assert [model.num_reg_images() for model in result.models] == [8]
    assert synthetic.max_rotation_error_deg(result.models[0], ring.truth) < 0.2
    assert len(recorder.of("registered")) == 8


def _photos_without_pairs(path: Path, num_images: int) -> None:
    with pycolmap.Database.open(path) as db:
        camera = pycolmap.Camera.create_from_model_id(
            1, pycolmap.CameraModelId.SIMPLE_RADIAL, 800.0, 640, 480
        )
        db.write_camera(camera, use_camera_id=True)
        for image_id in range(1, num_images + 1):
            image = pycolmap.Image(image_id=image_id, name=f"{image_id}.jpg", camera_id=1)
            db.write_image(image, use_image_id=True)
            db.write_keypoints(image_id, np.ones((20, 2), np.float32))
