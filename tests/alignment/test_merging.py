"""Models with common photos are joined; fits hold whatever a third of their points say."""

import json
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import sfm
from sfm.errors import InputError, WorkspaceError
from sfm.geometry.similarity import fit_cameras, fit_points, is_line
from tests.mapping import synthetic

from . import models


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Scene:
    return models.scene(tmp_path_factory.mktemp("merge"))


def halves(scene: synthetic.Scene, folder: Path, first: range, second: range) -> tuple[Path, Path]:
    """Two parts of the true model, the second one in a frame of its own."""
    a, b = models.part(scene.truth, first), models.part(scene.truth, second)
    b.transform(models.TURN)
    return models.write(a, folder / "a"), models.write(b, folder / "b")


def test_models_with_common_photos_are_joined_in_the_frame_of_the_first(
    scene: synthetic.Scene, tmp_path: Path
) -> None:
    a, b = halves(scene, tmp_path, range(1, 8), range(6, 13))

    done = sfm.merge(a, b, output=tmp_path / "out")

    written = pycolmap.Reconstruction(tmp_path / "out" / "sparse" / "0")
    extent = float(np.ptp([i.projection_center() for i in scene.truth.images.values()], axis=0).max())
    assert written.num_reg_images() == done.model.num_reg_images() == 12
    assert models.largest_distance(written, scene.truth) < 0.01 * extent
    assert written.num_points3D() <= scene.truth.num_points3D()
    assert done.fit.num_shared_photos == 2
    assert abs(done.fit.scale * 2.5 - 1) < 1e-6
    assert json.loads((tmp_path / "out" / "merge.json").read_text())["num_images"] == 12


def test_without_adjusting_the_first_model_keeps_every_bit(scene: synthetic.Scene, tmp_path: Path) -> None:
    a, b = halves(scene, tmp_path, range(1, 8), range(6, 13))

    done = sfm.merge(a, b, output=tmp_path / "out", adjust=False)

    before = pycolmap.Reconstruction(a)
    for image_id in before.reg_image_ids():
        poses = [model.image(image_id).cam_from_world().matrix() for model in (before, done.model)]
        assert np.array_equal(*poses)
    assert models.largest_distance(done.model, scene.truth) < 1e-6


def test_one_common_photo_is_enough_where_its_points_are_common_too(
    scene: synthetic.Scene, tmp_path: Path
) -> None:
    a, b = halves(scene, tmp_path, range(1, 8), range(7, 13))

    assert sfm.merge(a, b, output=tmp_path / "out").model.num_reg_images() == 12


def test_matches_in_a_database_join_models_without_common_photos(
    scene: synthetic.Scene, tmp_path: Path
) -> None:
    a, b = halves(scene, tmp_path, range(1, 7), range(7, 13))

    with pytest.raises(InputError, match="0 photos and 0 points in common"):
        sfm.merge(a, b, output=tmp_path / "none")
    done = sfm.merge(a, b, output=tmp_path / "out", database=scene.database)

    assert done.fit.num_shared_photos == 0
    assert done.model.num_reg_images() == 12
    assert done.fit.num_inliers > 100


def test_models_that_do_not_fit_are_refused_with_figures(scene: synthetic.Scene, tmp_path: Path) -> None:
    a, b = models.part(scene.truth, range(1, 9)), models.part(scene.truth, range(5, 13))
    rng = np.random.default_rng(0)
    for point in b.points3D.values():
        point.xyz = point.xyz + rng.normal(size=3) * 3
    models.write(a, tmp_path / "a"), models.write(b, tmp_path / "b")

    with pytest.raises(InputError, match=r"do not fit: of \d+ points in common, \d+ agree"):
        sfm.merge(tmp_path / "a", tmp_path / "b", output=tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_an_output_that_holds_something_is_left_alone(scene: synthetic.Scene, tmp_path: Path) -> None:
    a, b = halves(scene, tmp_path, range(1, 8), range(6, 13))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")

    with pytest.raises(WorkspaceError, match="not empty"):
        sfm.merge(a, b, output=tmp_path / "out")

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_models_of_rigs_are_refused(tmp_path: Path) -> None:
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 2, 4
    rig = models.write(pycolmap.synthesize_dataset(options), tmp_path / "rig")

    with pytest.raises(InputError, match="rig: the photos of a rig with several cameras cannot be merged"):
        sfm.merge(rig, rig, output=tmp_path / "out")

    assert not (tmp_path / "out").exists()


def _similarity(rng: np.random.Generator) -> tuple[float, np.ndarray, np.ndarray]:
    return float(rng.uniform(0.1, 10)), Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3) * 5


@settings(max_examples=12)
@given(seed=st.integers(0, 1000), strays=st.integers(0, 12))
def test_points_are_brought_together_whatever_a_third_of_them_say(seed: int, strays: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(40, 3)) * [5, 3, 1]
    scale, rotation, translation = _similarity(rng)
    target = scale * source @ rotation.T + translation
    target[:strays] += rng.normal(size=(strays, 3)) * 20 * scale

    fit = fit_points(source, target)

    assert fit is not None
    assert abs(fit.sim3.scale / scale - 1) < 1e-6
    np.testing.assert_allclose(fit.sim3.rotation.matrix(), rotation, atol=1e-6)
    assert fit.inliers[strays:].all()
    assert not fit.inliers[:strays].any() or strays == 0 or fit.residuals[:strays].min() < 1e-3


@settings(max_examples=12)
@given(seed=st.integers(0, 1000), count=st.integers(2, 12))
def test_cameras_on_a_line_have_one_place_since_they_look_somewhere(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    source = np.linspace(0, 1, count)[:, None] * rng.normal(size=3) * 7
    turns = Rotation.random(count, random_state=rng).as_matrix()
    scale, rotation, translation = _similarity(rng)

    fit = fit_cameras(
        source, scale * source @ rotation.T + translation, turns, np.einsum("nij,kj->nik", turns, rotation)
    )

    assert fit is not None
    np.testing.assert_allclose(fit.sim3.rotation.matrix(), rotation, atol=1e-6)
    assert abs(fit.sim3.scale / scale - 1) < 1e-6


def test_positions_on_a_line_leave_the_rotation_open() -> None:
    line = np.linspace(0, 1, 9)[:, None] * [1.0, 2.0, 3.0]

    assert is_line(line)
    assert fit_points(line, 2 * line) is None


def test_cameras_in_one_place_have_no_scale() -> None:
    turns = Rotation.random(5, random_state=1).as_matrix()

    assert fit_cameras(np.zeros((5, 3)), np.zeros((5, 3)), turns, turns) is None
