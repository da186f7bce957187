from collections.abc import Callable
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.evaluation.metrics import auc, pair_errors
from sfm.mapping.growing.bundle_adjustment import refine_growing
from sfm.mapping.growing.steps import Attempts, Method, Registered, Stuck, register_next
from sfm.mapping.scene.journal import Journal
from sfm.mapping.scene.options import mapper_options
from sfm.mapping.scene.scene import Scene
from sfm.mapping.scene.session import open_session

from . import low_overlap, synthetic
from .low_overlap import KnownDepth, Photos
from .running import Recorder, run


def ids(model: pycolmap.Reconstruction) -> list[int]:
    return sorted(model.reg_image_ids())


def step_ratios(model: pycolmap.Reconstruction, photos: Photos) -> np.ndarray:
    """Distances between neighbours over the true ones, the median of which is 1."""
    centres = {i: model.image(i).projection_center() for i in ids(model)}
    true = {i: photos.cams_from_world[i].inverse().translation for i in ids(model)}
    ratios = np.array(
        [
            np.linalg.norm(centres[a] - centres[b]) / np.linalg.norm(true[a] - true[b])
            for a, b in zip(ids(model), ids(model)[1:], strict=False)
        ]
    )
    return np.asarray(ratios / np.median(ratios))


def centre_error(model: pycolmap.Reconstruction, photos: Photos) -> float:
    """Largest distance between true centres and those of the model, aligned by a similarity."""
    centres = np.array([model.image(i).projection_center() for i in ids(model)])
    true = np.array([photos.cams_from_world[i].inverse().translation for i in ids(model)])
    sim = pycolmap.estimate_sim3d(centres, true)
    return float(np.linalg.norm(np.array([sim * c for c in centres]) - true, axis=1).max())


def auc_at_5(model: pycolmap.Reconstruction, photos: Photos) -> float:
    estimated = {model.image(i).name: model.image(i).cam_from_world() for i in ids(model)}
    true = {low_overlap.name_of(i): pose for i, pose in photos.cams_from_world.items()}
    return auc(pair_errors(estimated, true, sorted(true)).pose_deg, 5)


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photos, Path]:
    photos = low_overlap.chain(12)
    return photos, low_overlap.write(photos, tmp_path_factory.mktemp("row") / "database.db")


@pytest.fixture(scope="module")
def lifted(row: tuple[Photos, Path]) -> tuple[pycolmap.Reconstruction, Recorder]:
    """The model of the row with depth, not to be changed, and what was told."""
    recorder = Recorder()
    (model,) = run(row[1], depth=low_overlap.depth_of(row[0]), events=recorder).models
    return model, recorder


def test_a_chain_without_three_view_overlap_has_no_model_without_depth(row: tuple[Photos, Path]) -> None:
    assert run(row[1]).models == ()


@pytest.mark.parametrize(("noise", "max_change"), [(0.02, 0.1), (0.05, 0.15)])
def test_a_chain_is_registered_with_depth_and_keeps_its_proportions(
    row: tuple[Photos, Path],
    lifted: tuple[pycolmap.Reconstruction, Recorder],
    noise: float,
    max_change: float,
) -> None:
    photos, database = row
    model, recorder = lifted
    if noise > 0.02:
        recorder = Recorder()
        (model,) = run(database, depth=low_overlap.depth_of(photos, noise=noise), events=recorder).models

    assert len(ids(model)) == 12
    assert np.abs(step_ratios(model, photos) - 1).max() < max_change  # errors of depth add up along a chain
    assert centre_error(model, photos) < 5 * max_change  # of 28
    assert auc_at_5(model, photos) > 80
    hows = [event["how"] for event in recorder.of("registered")]
    assert set(hows) == {"lifted", "seed"}
    assert hows.count("lifted") == 10


def test_repeated_adjustments_and_later_rounds_do_not_drift(
    row: tuple[Photos, Path], lifted: tuple[pycolmap.Reconstruction, Recorder]
) -> None:
    photos, database = row
    depth = low_overlap.depth_of(photos)
    before = lifted[0]

    (after,) = run(database, depth=depth, start=(before,)).models
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=set(), threads=1, seed=0)
    with open_session(Scene.open(database), options, after) as session:
        for _ in range(5):
            refine_growing(session, "again", Journal())

    assert len(ids(after)) == 12
    assert np.abs(step_ratios(after, photos) / step_ratios(before, photos) - 1).max() < 0.01


def test_a_third_of_wrong_depths_does_not_matter(row: tuple[Photos, Path]) -> None:
    photos, database = row
    depth = low_overlap.depth_of(photos)
    rng = np.random.default_rng(5)
    for _, values, _ in depth.views.values():
        wrong = rng.random(len(values)) < 0.3
        values[wrong] *= np.exp(rng.normal(scale=0.8, size=np.count_nonzero(wrong)))

    (model,) = run(database, depth=depth).models

    assert len(ids(model)) == 12
    assert np.abs(step_ratios(model, photos) - 1).max() < 0.1


GARBAGE: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "random": lambda depth, rng: np.exp(rng.normal(size=len(depth))),
    "constant": lambda depth, rng: np.full(len(depth), 3.0),
    "inverse": lambda depth, rng: 1 / depth,
    "no distances": lambda depth, rng: np.choose(
        rng.integers(3, size=len(depth)), [-depth, np.full(len(depth), np.nan), np.full(len(depth), np.inf)]
    ),
}


@pytest.fixture(scope="module")
def short_row(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photos, Path]:
    photos = low_overlap.chain(9)
    return photos, low_overlap.write(photos, tmp_path_factory.mktemp("row") / "database.db")


@pytest.mark.parametrize("kind", sorted(GARBAGE))
def test_the_chain_breaks_where_one_photo_has_no_usable_depth(
    short_row: tuple[Photos, Path], kind: str
) -> None:
    photos, database = short_row
    depth = low_overlap.depth_of(photos)
    values = depth.views["05.jpg"][1]
    values[:] = GARBAGE[kind](values, np.random.default_rng(5))

    models = run(database, depth=depth).models

    assert [ids(model) for model in models] == [[1, 2, 3, 4, 5], [6, 7, 8, 9]]
    assert all(np.abs(step_ratios(model, photos) - 1).max() < 0.08 for model in models)


def test_unconfident_depth_counts_as_unknown(row: tuple[Photos, Path]) -> None:
    depth = low_overlap.depth_of(row[0])
    for _, _, confidence in depth.views.values():
        confidence[:] = 1.0

    assert run(row[1], depth=depth).models == ()


def test_only_photos_that_see_no_points_are_lifted(tmp_path: Path) -> None:
    photos = low_overlap.chain(9, dense=6, points_per_pair=150)
    database = low_overlap.write(photos, tmp_path / "database.db")
    recorder = Recorder()

    (without,) = run(database).models
    (model,) = run(database, depth=low_overlap.depth_of(photos), events=recorder).models

    lifted = {str(event["name"]) for event in recorder.of("registered") if event["how"] == "lifted"}
    assert ids(without) == [1, 2, 3, 4, 5, 6]
    assert ids(model) == list(range(1, 10))
    assert lifted == {"07.jpg", "08.jpg", "09.jpg"}
    assert np.abs(step_ratios(model, photos) - 1).max() < 0.05


def ring_depth(scene: synthetic.Scene) -> KnownDepth:
    """Depth of every keypoint of a synthetic scene that has a point."""
    rng = np.random.default_rng(0)
    views = {}
    with pycolmap.Database.open(scene.database) as db:
        for image in scene.truth.images.values():
            seen = image.get_observation_points2D()
            rows = image.get_observation_point2D_idxs()
            xy = db.read_keypoints(image.image_id)[rows, :2].astype(np.float64)
            xyz = np.array([scene.truth.point3D(point.point3D_id).xyz for point in seen])
            depth = (image.cam_from_world() * xyz)[:, 2] * (1 + low_overlap.smooth_error(xy, rng, 0.05))
            views[image.name] = (xy, depth, np.full(len(xy), 5.0))
    return KnownDepth(views)


@pytest.mark.parametrize("usable", [True, False])
def test_where_photos_overlap_well_depth_changes_nothing(
    ring: tuple[synthetic.Scene, pycolmap.Reconstruction], usable: bool
) -> None:
    scene, without = ring
    depth = ring_depth(scene)
    if not usable:
        for _, values, _ in depth.views.values():
            values[:] = np.random.default_rng(1).uniform(0.1, 10, len(values))

    (model,) = run(scene.database, depth=depth).models

    assert ids(model) == ids(without)
    for i in ids(model):
        assert np.array_equal(
            model.image(i).cam_from_world().matrix(), without.image(i).cam_from_world().matrix()
        )
    assert {i: tuple(p.xyz) for i, p in model.points3D.items()} == {
        i: tuple(p.xyz) for i, p in without.points3D.items()
    }


def test_a_lifted_photo_can_be_filtered_again(tmp_path: Path) -> None:
    photos = low_overlap.chain(21, points_per_pair=60)  # COLMAP filters no photos of smaller models
    database = low_overlap.write(photos, tmp_path / "database.db", one_camera=False, wrong=0)
    scene = Scene.open(database, low_overlap.depth_of(photos))
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=set(), threads=1, seed=0)
    (model,) = run(database, depth=scene.depth).models
    assert len(ids(model)) == 21
    for point in model.image(21).get_observation_points2D():
        model.delete_point3D(point.point3D_id)

    def lift() -> Registered | Stuck:
        return register_next(session, {"21.jpg"}, Attempts(), Journal(), (Method.LIFTED,))

    with open_session(scene, options, model) as session:
        session.mapper.filter_frames(options.mapper)
        assert "21.jpg" not in session.registered
        assert isinstance(lift(), Registered)
        for point in model.image(21).get_observation_points2D():
            session.observations.delete_point3D(point.point3D_id)
        session.mapper.filter_frames(options.mapper)
        assert "21.jpg" not in session.registered
        assert isinstance(lift(), Registered)
