import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.depth.depth_model import build_depth_model, has_parallax
from sfm.mapping.depth.metric_scale import metric_scale
from sfm.mapping.growing.posed_models import posed_model
from sfm.mapping.scene.journal import Journal
from sfm.mapping.scene.options import MapperOptions, mapper_options
from sfm.mapping.scene.pose_source import PosedGroup, PosedImage
from sfm.mapping.scene.scene import Scene

from . import low_overlap, synthetic
from .low_overlap import Photos
from .running import Recorder, run, workbench
from .test_lifting import GARBAGE, ids, ring_depth


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photos, Path]:
    photos = low_overlap.turning(12)
    return photos, low_overlap.write(photos, tmp_path_factory.mktemp("pan") / "database.db")


@pytest.fixture(scope="module")
def turned(pan: tuple[Photos, Path]) -> tuple[pycolmap.Reconstruction, Recorder]:
    """The model of it with depth, not to be changed, and what was told."""
    recorder = Recorder()
    (model,) = run(pan[1], depth=low_overlap.depth_of(pan[0]), events=recorder).models
    return model, recorder


def max_rotation_error_deg(model: pycolmap.Reconstruction, photos: Photos) -> float:
    """Largest error of a relative rotation."""
    errors = []
    for a, b in itertools.combinations(ids(model), 2):
        found = model.image(b).cam_from_world() * model.image(a).cam_from_world().inverse()
        true = photos.cams_from_world[b] * photos.cams_from_world[a].inverse()
        errors.append((found.rotation * true.rotation.inverse()).angle())
    return float(np.rad2deg(max(errors)))


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_a_camera_that_only_turned_gets_a_model_from_depth(
    pan: tuple[Photos, Path], turned: tuple[pycolmap.Reconstruction, Recorder], noise: float
) -> None:
    photos, database = pan
    model, recorder = turned
    if noise > 0.02:
        recorder = Recorder()
        (model,) = run(database, depth=low_overlap.depth_of(photos, noise=noise), events=recorder).models

    assert len(ids(model)) == 12
    assert max_rotation_error_deg(model, photos) < 0.5  # of 99
    assert {event["how"] for event in recorder.of("registered")} == {"depth"}
    assert len(recorder.of("registered")) == 12
    assert model.compute_mean_reprojection_error() < 1
    assert model.compute_mean_track_length() > 3
    centres = np.array([model.image(i).projection_center() for i in ids(model)])
    distance = np.median([np.linalg.norm(point.xyz - centres[0]) for point in model.points3D.values()])
    assert np.linalg.norm(centres - centres.mean(axis=0), axis=1).max() < 0.01 * distance


def test_a_full_turn_determines_the_focal_length(tmp_path: Path) -> None:
    """With one that is 8 % too long, forty photos turn on by 29 degrees more than a circle has."""
    photos = low_overlap.turning(40, num_points=4000)
    database = low_overlap.write(photos, tmp_path / "database.db")
    scene = Scene.open(database, low_overlap.depth_of(photos))
    focal, *rest = scene.cache.camera(1).params
    scene.cache.camera(1).params = [1.08 * focal, *rest]

    model = build_depth_model(scene, options(), set(scene.id_of), Journal())

    assert model is not None
    assert len(ids(model)) == 40
    assert model.camera(1).mean_focal_length() == pytest.approx(focal, rel=0.01)
    assert max_rotation_error_deg(model, photos) < 0.5


@pytest.mark.parametrize("seed", [0, 2])
def test_a_turn_is_not_taken_for_a_motion(seed: int, tmp_path: Path) -> None:
    """With a lens that is not known, two photos fit a small motion past distant points as well."""
    photos = low_overlap.turning(2, distortion=-0.1, noise_px=0.1, seed=seed)
    database = low_overlap.write(photos, tmp_path / "database.db")
    guesses = {1: low_overlap.FOCAL}

    (model,) = run(
        database, depth=low_overlap.depth_of(photos), focal_guesses=guesses, min_model_size=2
    ).models

    assert max_rotation_error_deg(model, photos) < 0.1
    assert model.camera(1).params[3] == pytest.approx(-0.1, abs=0.005)


def test_coarse_poses_are_adjusted_to_depth(pan: tuple[Photos, Path]) -> None:
    """At the poses of an alignment, right to two degrees, matches err by more than the filter allows."""
    photos, database = pan
    depth = low_overlap.depth_of(photos, metric=True)
    context = replace(workbench(database), scene=Scene.open(database, depth))
    tilt = pycolmap.Rotation3d(np.deg2rad([1.0, 0, 0]))
    images = {}
    for image_id, cam_from_world in photos.cams_from_world.items():
        coarse = (tilt if image_id % 2 else tilt.inverse()) * cam_from_world.rotation
        images[low_overlap.name_of(image_id)] = PosedImage(
            pycolmap.Rigid3d(coarse, np.zeros(3)),
            (low_overlap.FOCAL, low_overlap.FOCAL),
            (low_overlap.WIDTH / 2, low_overlap.HEIGHT / 2),
        )

    submodel = posed_model(context, PosedGroup(images, depth=depth), how="alignment")

    assert submodel is not None
    assert len(submodel.names) == len(images)
    assert max_rotation_error_deg(submodel.reconstruction, photos) < 0.5


def test_later_rounds_keep_a_model_without_parallax(pan: tuple[Photos, Path], tmp_path: Path) -> None:
    photos, database = pan
    depth = low_overlap.depth_of(photos)
    early = {pair for pair in synthetic.all_pairs(12) if max(pair) <= 8}
    partial = synthetic.keep_pairs(database, tmp_path / "partial.db", early)

    (before,) = run(partial, depth=depth).models
    (after,) = run(database, depth=depth, start=(before,)).models

    assert ids(before) == list(range(1, 9))
    assert len(ids(after)) == 12
    assert max_rotation_error_deg(after, photos) < 0.3


def test_a_model_that_cannot_be_built_again_is_kept(
    pan: tuple[Photos, Path], turned: tuple[pycolmap.Reconstruction, Recorder]
) -> None:
    photos, database = pan
    before = turned[0]
    depth = low_overlap.depth_of(photos)
    for name in ("01.jpg", "02.jpg", "03.jpg", "04.jpg", "05.jpg", "06.jpg"):
        depth.views.pop(name)

    (after,) = run(database, depth=depth, start=(before,)).models

    assert len(ids(after)) == 12
    assert after.num_points3D() == before.num_points3D()


@pytest.mark.parametrize("kind", ["random", "no distances"])
def test_garbage_instead_of_depth_makes_no_model_of_its_own(pan: tuple[Photos, Path], kind: str) -> None:
    photos, database = pan
    depth = low_overlap.depth_of(photos)
    rng = np.random.default_rng(1)
    for _, values, _ in depth.views.values():
        values[:] = GARBAGE[kind](values, rng)
    scene = Scene.open(database, depth)

    model = build_depth_model(scene, options(), set(scene.id_of), Journal())

    # On the right rays even wrong depth gives right rotations, but only of photos that match the first one.
    assert model is None or max_rotation_error_deg(model, photos) < 1


def test_photos_beyond_one_without_depth_are_reached_through_others(pan: tuple[Photos, Path]) -> None:
    photos, database = pan
    depth = low_overlap.depth_of(photos)
    depth.views.pop("06.jpg")
    scene = Scene.open(database, depth)

    model = build_depth_model(scene, options(), set(scene.id_of), Journal())

    assert model is not None
    assert len(ids(model)) == 12


def test_metres_come_from_metric_depth(tmp_path: Path) -> None:
    photos = low_overlap.chain(6)
    database = low_overlap.write(photos, tmp_path / "database.db")
    recorder = Recorder()

    (model,) = run(database, depth=low_overlap.depth_of(photos, metric=True), events=recorder).models

    ends = [model.image(i).projection_center() for i in (1, 6)]
    true = [photos.cams_from_world[i].inverse().translation for i in (1, 6)]
    assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(np.linalg.norm(true[0] - true[1]), rel=0.03)
    (event,) = recorder.of("metric_scale")
    assert (event["model"], event["source"], event["num_images"]) == (0, "mast3r", 6)
    assert isinstance(event["spread"], float)
    assert event["spread"] < 0.05


def test_metres_of_a_model_that_depth_did_not_build(
    ring: tuple[synthetic.Scene, pycolmap.Reconstruction],
) -> None:
    scene = ring[0]
    views = ring_depth(scene).views
    views[min(views)][1][:] *= 5.0  # one photo is wrong about the unit
    depth = low_overlap.KnownDepth(views, metric=True)

    (model,) = run(scene.database, depth=depth).models

    def size(of: pycolmap.Reconstruction) -> float:
        return float(np.linalg.norm(of.image(1).projection_center() - of.image(5).projection_center()))

    assert size(model) == pytest.approx(size(scene.truth), rel=0.05)


def test_without_enough_metric_depth_there_are_no_metres(
    ring: tuple[synthetic.Scene, pycolmap.Reconstruction],
) -> None:
    scene, model = ring
    views = ring_depth(scene).views
    mapped = Scene.open(scene.database)

    def found(names: set[str], metric: bool) -> object:
        depth = low_overlap.KnownDepth({n: v for n, v in views.items() if n in names}, metric=metric)
        return metric_scale(replace(mapped, depth=depth), model)

    names = sorted(views)
    assert found(set(names), metric=True) is not None
    assert found(set(names), metric=False) is None
    assert found(set(names[:2]), metric=True) is None


def test_parallax_is_told_from_none(
    turned: tuple[pycolmap.Reconstruction, Recorder], ring: tuple[synthetic.Scene, pycolmap.Reconstruction]
) -> None:
    assert has_parallax(ring[1], 1.5)
    assert not has_parallax(turned[0], 1.5)


def test_two_components_one_of_which_only_turned(tmp_path: Path) -> None:
    ring = synthetic.synthesize(tmp_path / "ring.db", num_images=5)
    photos = low_overlap.turning(6)
    low_overlap.write(photos, tmp_path / "pan.db")
    with pycolmap.Database.open(tmp_path / "pan.db") as db:  # pycolmap merges databases with rigs and frames
        _with_frames(db)
    both = synthetic.merge(ring.database, tmp_path / "pan.db", tmp_path / "both.db")
    depth = low_overlap.KnownDepth({f"b/{n}": v for n, v in low_overlap.depth_of(photos).views.items()})

    models = run(both, depth=depth).models

    assert [sorted({model.image(i).name[0] for i in ids(model)}) for model in models] == [["b"], ["a"]]
    assert [len(ids(model)) for model in models] == [6, 5]


def _with_frames(db: pycolmap.Database) -> None:
    for camera in db.read_all_cameras():
        rig = pycolmap.Rig(rig_id=camera.camera_id)
        rig.add_ref_sensor(camera.sensor_id)
        db.write_rig(rig, use_rig_id=True)
    for image in db.read_all_images():
        frame = pycolmap.Frame(frame_id=image.image_id, rig_id=image.camera_id)
        frame.add_data_id(image.data_id)
        db.write_frame(frame, use_frame_id=True)


def test_other_mappers_leave_the_unit_alone(ring: tuple[synthetic.Scene, pycolmap.Reconstruction]) -> None:
    scene = ring[0]
    depth = low_overlap.KnownDepth(ring_depth(scene).views, metric=True)
    recorder = Recorder()

    run(scene.database, mapper="incremental", events=recorder, depth=depth)

    assert recorder.of("model")
    assert not recorder.of("metric_scale")


def options() -> MapperOptions:
    return mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=set(), threads=1, seed=0)
