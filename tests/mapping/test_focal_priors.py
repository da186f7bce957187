"""Focal lengths that a backend guessed are priors: they stay until matches tell better."""

from pathlib import Path

import pycolmap
import pytest

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping import MappingProblem, refine_models
from sfm.mapping.cameras.focal_priors import starting_values
from sfm.mapping.scene.scene import Scene

from . import low_overlap, synthetic
from .low_overlap import FOCAL, HEIGHT, WIDTH, Photos
from .running import Recorder, run, seeds
from .test_lifting import auc_at_5, ids

NO_EXIF_PX = 1.2 * WIDTH  # COLMAP's start for a photo that says nothing


def write(photos: Photos, path: Path) -> Path:
    """The database, with a camera that nobody gave."""
    low_overlap.write(photos, path)
    with pycolmap.Database.open(path) as db:
        db.update_camera(
            pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", NO_EXIF_PX, WIDTH, HEIGHT)
        )
    return path


def focal_px(model: pycolmap.Reconstruction) -> float:
    return float(model.camera(1).mean_focal_length())


@seeds(0, 1)
def test_a_guess_stays_where_pairs_alone_cannot_tell_better(tmp_path: Path, seed: int) -> None:
    photos = low_overlap.chain(12, turning=0, seed=seed)
    recorder = Recorder()

    (model,) = run(
        write(photos, tmp_path / "database.db"),
        depth=low_overlap.depth_of(photos),
        focal_guesses={1: 0.98 * FOCAL},
        events=recorder,
    ).models

    assert len(ids(model)) == 12
    assert focal_px(model) == pytest.approx(FOCAL, rel=0.03)  # 358 and 327 px where it was free
    assert auc_at_5(model, photos) > 65  # 56.5 and 46.8


def test_a_guess_stays_over_rounds_and_in_the_last_adjustment(tmp_path: Path) -> None:
    photos = low_overlap.chain(12, turning=0)
    database, depth = write(photos, tmp_path / "database.db"), low_overlap.depth_of(photos)
    guesses = {1: 0.98 * FOCAL}
    models: tuple[pycolmap.Reconstruction, ...] = ()
    for _ in range(2):
        models = run(database, depth=depth, focal_guesses=guesses, start=models, finished=False).models

    problem = MappingProblem(
        database=database,
        config=RegisterConfig(),
        refine=RefineConfig(),
        threads=1,
        seed=0,
        focal_guesses=guesses,
        depth=depth,
    )
    (model,) = refine_models(problem, models, events=Recorder())

    assert focal_px(model) == pytest.approx(FOCAL, rel=0.03)


@seeds(0, 1, 2)
def test_a_guess_gives_way_where_pairs_do_tell(tmp_path: Path, seed: int) -> None:
    photos = low_overlap.chain(12, seed=seed)
    recorder = Recorder()

    (model,) = run(
        write(photos, tmp_path / "database.db"),
        depth=low_overlap.depth_of(photos),
        focal_guesses={1: 0.95 * FOCAL},
        events=recorder,
    ).models

    assert focal_px(model) == pytest.approx(FOCAL, rel=0.025)
    assert auc_at_5(model, photos) > 70


def test_where_points_are_of_many_photos_a_guess_is_where_adjustment_starts(tmp_path: Path) -> None:
    scene = synthetic.synthesize(tmp_path / "database.db")
    with pycolmap.Database.open(scene.database) as db:
        (camera,) = db.read_all_cameras()
        camera.has_prior_focal_length = False
        db.update_camera(camera)
    guess = 0.97 * camera.mean_focal_length()
    recorder = Recorder()

    (told,) = run(scene.database, focal_guesses={camera.camera_id: guess}, events=recorder).models
    (untold,) = run(scene.database).models

    assert told.camera(camera.camera_id).mean_focal_length() == pytest.approx(
        untold.camera(camera.camera_id).mean_focal_length(), rel=1e-3
    )


def test_a_wrong_focal_length_from_exif_stays_given_up_when_the_lens_turns_out_off_centre(
    tmp_path: Path,
) -> None:
    lens = (1280.0, 530.0, 370.0, 0.05)
    scene = synthetic.synthesize(tmp_path / "database.db", num_images=20, num_points=120, camera=lens)
    with pycolmap.Database.open(scene.database) as db:
        (camera,) = db.read_all_cameras()
        camera.params, camera.has_prior_focal_length = [1.1 * lens[0], 512.0, 384.0, 0.0], True
        db.update_camera(camera)
    recorder = Recorder()

    (model,) = run(scene.database, events=recorder).models

    assert not recorder.of("step_refused")
    assert focal_px(model) == pytest.approx(lens[0], rel=0.01)
    assert model.camera(1).params[1:3].tolist() == pytest.approx(lens[1:3], abs=2.0)


def test_distortion_that_two_photos_do_not_determine_is_not_estimated(tmp_path: Path) -> None:
    photos = low_overlap.chain(2, turning=0)
    database = with_exif(write(photos, tmp_path / "database.db"))

    (model,) = run(database, min_model_size=2).models

    assert focal_px(model) == FOCAL
    assert model.camera(1).params[3] == 0


def test_distortion_that_many_photos_determine_is_estimated(tmp_path: Path) -> None:
    scene = synthetic.synthesize(tmp_path / "database.db", camera=(1280.0, 512.0, 384.0, -0.1))
    with pycolmap.Database.open(scene.database) as db:
        (camera,) = db.read_all_cameras()
        camera.params, camera.has_prior_focal_length = [1280.0, 512.0, 384.0, 0.0], True
        db.update_camera(camera)

    (model,) = run(scene.database).models

    assert model.camera(1).params[3] == pytest.approx(-0.1, abs=0.005)


def with_exif(database: Path) -> Path:
    """The database, its camera with the right focal length."""
    with pycolmap.Database.open(database) as db:
        (camera,) = db.read_all_cameras()
        camera.params, camera.has_prior_focal_length = [FOCAL, WIDTH / 2, HEIGHT / 2, 0.0], True
        db.update_camera(camera)
    return database


def test_two_view_estimates_win_only_where_third_photos_confirm_them(tmp_path: Path) -> None:
    pairs_only = write(low_overlap.chain(6), tmp_path / "pairs.db")
    confirmed = write(low_overlap.chain(6, dense=6), tmp_path / "dense.db")
    guess, estimate = {1: 0.98 * FOCAL}, {1: 0.9 * FOCAL}

    assert starting_values(Scene.open(pairs_only), guess, estimate) == guess
    assert starting_values(Scene.open(confirmed), guess, estimate) == estimate
    assert starting_values(Scene.open(pairs_only), {}, estimate) == estimate


def test_keypoints_are_counted_by_the_photos_that_match_them(tmp_path: Path) -> None:
    photos = low_overlap.chain(4, dense=3)
    scene = Scene.open(low_overlap.write(photos, tmp_path / "database.db", wrong=0))
    extract = scene.cache.correspondence_graph.extract_matches_between_images
    before, after = set(extract(1, 2)[:, 1].tolist()), set(extract(2, 3)[:, 0].tolist())

    every, more = scene.matched_keypoints("02.jpg")

    assert every == len(before | after)
    assert 0 < more == len(before & after)
    assert scene.matched_keypoints("04.jpg")[1] == 0
