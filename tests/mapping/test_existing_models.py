"""Models that are grown: frozen ones keep every bit, free ones are kept and not made anew."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.mapping import ExistingModels

from . import synthetic
from .running import Recorder, run

OLD = 7
ALL = 10


def mapped(database: Path, existing: ExistingModels | None = None) -> pycolmap.Reconstruction:
    (model,) = run(database, start=tuple(existing.models) if existing else (), existing=existing).models
    return model


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Scene:
    return synthetic.synthesize(tmp_path_factory.mktemp("given") / "all.db", num_images=ALL)


@pytest.fixture(scope="module")
def old(scene: synthetic.Scene) -> pycolmap.Reconstruction:
    """A model of the first seven photos."""
    pairs = synthetic.all_pairs(OLD)
    return mapped(synthetic.keep_pairs(scene.database, scene.database.parent / "old.db", pairs))


@pytest.fixture(scope="module")
def frozen(scene: synthetic.Scene, old: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    return mapped(scene.database, ExistingModels([old], frozen=True))


def test_frozen_poses_and_intrinsics_keep_every_bit(
    old: pycolmap.Reconstruction, frozen: pycolmap.Reconstruction
) -> None:
    for image_id in old.reg_image_ids():
        before, after = (model.image(image_id).cam_from_world() for model in (old, frozen))
        assert np.array_equal(before.rotation.quat, after.rotation.quat)
        assert np.array_equal(before.translation, after.translation)
    for camera_id, camera in old.cameras.items():
        assert np.array_equal(camera.params, frozen.camera(camera_id).params)


def test_frozen_points_stay_with_all_that_they_had(
    old: pycolmap.Reconstruction, frozen: pycolmap.Reconstruction
) -> None:
    for point_id, point in old.points3D.items():
        after = frozen.point3D(point_id)
        assert np.array_equal(point.xyz, after.xyz)
        assert {(e.image_id, e.point2D_idx) for e in point.track.elements} <= {
            (e.image_id, e.point2D_idx) for e in after.track.elements
        }


def test_new_photos_fit_a_frozen_model(
    scene: synthetic.Scene, old: pycolmap.Reconstruction, frozen: pycolmap.Reconstruction
) -> None:
    assert frozen.num_reg_images() == ALL
    assert synthetic.max_rotation_error_deg(frozen, scene.truth) < 0.2
    assert frozen.compute_mean_reprojection_error() < 1.3 * old.compute_mean_reprojection_error()
    added = [frozen.image(i).num_points3D for i in frozen.reg_image_ids() if not old.exists_image(i)]
    assert min(added) > 100


def test_a_frozen_model_is_left_alone_itself(scene: synthetic.Scene, old: pycolmap.Reconstruction) -> None:
    before = {i: old.image(i).cam_from_world().matrix() for i in old.reg_image_ids()}
    num_points = old.num_points3D()

    mapped(scene.database, ExistingModels([old], frozen=True))

    assert old.num_points3D() == num_points
    assert all(np.array_equal(before[i], old.image(i).cam_from_world().matrix()) for i in before)


def test_photos_that_no_pair_vouches_for_stay_in_a_frozen_model(
    scene: synthetic.Scene, old: pycolmap.Reconstruction, tmp_path: Path
) -> None:
    pairs = {pair for pair in synthetic.all_pairs(ALL) if 3 not in pair}
    database = synthetic.keep_pairs(scene.database, tmp_path / "some.db", pairs)

    grown = mapped(database, ExistingModels([old], frozen=True))

    poses = [model.image(3).cam_from_world().matrix() for model in (old, grown)]
    assert grown.num_reg_images() == ALL
    assert np.array_equal(*poses)


def test_a_free_model_grows_and_moves(scene: synthetic.Scene, old: pycolmap.Reconstruction) -> None:
    free = mapped(scene.database, ExistingModels([old]))

    moved = [
        float(np.abs(free.image(i).cam_from_world().matrix() - old.image(i).cam_from_world().matrix()).max())
        for i in old.reg_image_ids()
    ]
    assert free.num_reg_images() == ALL
    assert min(moved) > 0
    assert synthetic.max_rotation_error_deg(free, scene.truth) < 0.15


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_model_none_of_whose_photos_has_a_pair_stays_as_it_is(
    scene: synthetic.Scene, old: pycolmap.Reconstruction, tmp_path: Path, frozen: bool, finished: bool
) -> None:
    mine = shutil.copy(scene.database, tmp_path / "mine.db")
    other = synthetic.synthesize(tmp_path / "other.db", num_images=6, seed=2)
    both = synthetic.merge(Path(mine), other.database, tmp_path / "both.db")
    others = range(ALL + 1, ALL + 7)
    database = synthetic.keep_pairs(both, tmp_path / "some.db", set(itertools.combinations(others, 2)))

    result = run(database, start=(old,), existing=ExistingModels([old], frozen=frozen), finished=finished)

    assert sorted(model.num_reg_images() for model in result.models) == [6, OLD]
    kept = next(model for model in result.models if model.num_reg_images() == OLD)
    for image_id in old.reg_image_ids():
        assert np.array_equal(*(m.image(image_id).cam_from_world().matrix() for m in (old, kept)))


def test_a_given_model_may_be_smaller_than_a_new_one_has_to_be(
    scene: synthetic.Scene, old: pycolmap.Reconstruction, tmp_path: Path
) -> None:
    database = synthetic.keep_pairs(scene.database, tmp_path / "old.db", synthetic.all_pairs(OLD))
    existing = ExistingModels([old], frozen=True)

    (kept,) = run(database, start=(old,), existing=existing, min_model_size=OLD + 1).models

    assert kept.num_reg_images() == OLD


def test_a_free_model_tells_of_the_photos_that_it_loses(
    scene: synthetic.Scene, old: pycolmap.Reconstruction, tmp_path: Path
) -> None:
    pairs, events = {pair for pair in synthetic.all_pairs(ALL) if 3 not in pair}, Recorder()
    database = synthetic.keep_pairs(scene.database, tmp_path / "some.db", pairs)

    (grown,) = run(database, start=(old,), existing=ExistingModels([old]), events=events).models

    lost = [event["name"] for event in events.of("filtered") if "no verified pair" in str(event["why"])]
    assert grown.num_reg_images() == ALL - 1
    assert lost == [old.image(3).name]
