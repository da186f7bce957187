from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.measures.agreement import (
    AGREED_PX,
    agreeing_pairs,
    agreement,
    contradicted_share,
    median_errors_px,
)
from sfm.mapping.measures.epipolar import Views
from sfm.mapping.measures.pair_residuals import pair_residuals_px
from sfm.mapping.scene.options import mapper_options
from sfm.mapping.scene.scene import Scene
from sfm.mapping.scene.session import open_session

from . import synthetic
from .running import run


def test_matches_agree_with_true_poses_and_contradict_false_ones(tmp_path: Path) -> None:
    database = synthetic.synthesize(tmp_path / "database.db").database
    (model,) = run(database).models
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=set(), threads=1, seed=0)
    turned = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, 0.5])), np.array([0.5, 0, 0]))

    with open_session(Scene.open(database), options, model) as session:
        name = model.image(3).name
        true = agreement(session, name)
        frame = model.frame(model.image(3).frame_id)
        frame.rig_from_world = turned * frame.rig_from_world
        false = agreement(session, name)

    assert true > 0.95
    assert false < 0.3


def test_a_model_that_took_a_wrong_turn_contradicts_the_pairs_across_it(tmp_path: Path) -> None:
    database = synthetic.synthesize(tmp_path / "database.db").database
    (model,) = run(database).models
    scene = Scene.open(database)
    images = sorted(model.reg_image_ids())
    assert contradicted_share(scene, model) == 0.0

    half = set(images[: len(images) // 2])
    turned = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.2, 0.0])), np.array([0.5, 0, 0]))
    for image_id in half:  # one half moved as a whole: within it everything agrees as before
        frame = model.frame(model.image(image_id).frame_id)
        frame.rig_from_world = frame.rig_from_world * turned
    across = sum((scene.id_of[p.a] in half) != (scene.id_of[p.b] in half) for p in scene.view_graph.edges)

    assert contradicted_share(scene, model) >= 0.9 * across / len(scene.view_graph) > 0.1


def test_photos_at_another_place_agree_as_if_the_model_had_them_there(tmp_path: Path) -> None:
    database = synthetic.synthesize(tmp_path / "database.db").database
    (model,) = run(database).models
    scene = Scene.open(database)
    images = sorted(model.reg_image_ids())
    half = images[: len(images) // 2]
    there_from_here = pycolmap.Sim3d(
        1.5, pycolmap.Rotation3d(np.array([0.0, 0.2, 0.0])), np.array([0.5, 0, 0])
    )

    views = Views(scene, model)
    here = views.median_errors_px(scene.view_graph.edges)
    there = views.moved({model.image(i).name for i in half}, there_from_here)
    found = there.median_errors_px(scene.view_graph.edges)

    assert views.median_errors_px(scene.view_graph.edges) == here
    for image_id in half:
        frame = model.frame(model.image(image_id).frame_id)
        frame.rig_from_world = there_from_here.transform_camera_world(frame.rig_from_world)
    assert found == pytest.approx(Views(scene, model).median_errors_px(scene.view_graph.edges))
    assert max(found.values()) > 8 > max(here.values())


def test_pairs_agree_by_their_own_noise(tmp_path: Path) -> None:
    database = synthetic.synthesize(tmp_path / "database.db").database
    (model,) = run(database).models
    scene = Scene.open(database)
    before = median_errors_px(scene, model, scene.view_graph.edges)
    image = model.image(3)
    model.frame(image.frame_id).rig_from_world = (
        pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, 0.01])), np.zeros(3))
        * image.cam_from_world()
    )

    after = median_errors_px(scene, model, scene.view_graph.edges)

    assert agreeing_pairs(scene, before) == set(scene.view_graph.edges)
    moved = {pair for pair in after if image.name in pair}
    assert all(after[pair] < AGREED_PX for pair in moved)
    assert agreeing_pairs(scene, after) == set(after) - moved
    rough = {pair: 3 * error for pair, error in before.items()}
    assert len(agreeing_pairs(scene, rough)) < len(rough) / 2
    assert agreeing_pairs(scene, rough, beside=sorted(rough)[:10]) == set(rough)
    bent = {pair: 6 * error if pair in moved else error for pair, error in rough.items()}
    assert agreeing_pairs(scene, bent, beside=set(bent) - moved) == set(bent) - moved


@pytest.mark.parametrize("num_points", [20, 40, 300])
def test_few_matches_have_as_much_noise_as_many(tmp_path: Path, num_points: int) -> None:
    scene = Scene.open(synthetic.synthesize(tmp_path / "some.db", num_points=num_points).database)

    found = pair_residuals_px(scene, scene.view_graph.edges)

    assert np.median([*found.values()]) == pytest.approx(0.35, rel=0.35)  # half a pixel, across two lines
