from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.mapping.growing.submodels import Submodel, without_images
from sfm.mapping.measures.agreement import CONTRADICTED_PX, median_errors_px
from sfm.mapping.measures.model_agreement import evidence_score
from sfm.mapping.measures.pair_turns import turning_pairs
from sfm.mapping.scene.bearings import bearing_vectors
from sfm.mapping.scene.scene import Scene

from . import low_overlap, synthetic
from .running import run, workbench


def test_photos_from_one_spot_turn_as_their_matches_do_and_others_show_parallax(tmp_path: Path) -> None:
    photos = low_overlap.turning(5)
    spot = Scene.open(low_overlap.write(photos, tmp_path / "spot.db"))
    ring = Scene.open(synthetic.synthesize(tmp_path / "ring.db", num_images=4).database)

    turns = turning_pairs(spot, spot.view_graph.edges)

    assert turns.keys() == spot.view_graph.edges.keys()
    for pair, turn in turns.items():
        a, b = (photos.cams_from_world[spot.id_of[name]].rotation.matrix() for name in pair)
        assert np.allclose(turn.b_from_a, b @ a.T, atol=np.deg2rad(0.1))
    assert not turning_pairs(ring, ring.view_graph.edges)


def test_keypoints_without_a_ray_have_no_say_in_a_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strong distortion folds the image: its corners are seen along no direction."""
    photos = low_overlap.turning(3)
    spot = Scene.open(low_overlap.write(photos, tmp_path / "spot.db"))

    def folded(xy: np.ndarray, camera: pycolmap.Camera) -> np.ndarray:
        rays = bearing_vectors(xy, camera)
        rays[np.hypot(*(xy - [camera.width / 2, camera.height / 2]).T) > 0.4 * camera.width] = np.nan
        return rays

    whole = turning_pairs(spot, spot.view_graph.edges)
    monkeypatch.setattr("sfm.mapping.measures.pair_turns.bearing_vectors", folded)
    turns = turning_pairs(spot, spot.view_graph.edges)

    assert turns
    for pair, turn in turns.items():
        assert np.allclose(turn.b_from_a, whole[pair].b_from_a, atol=np.deg2rad(0.1))
    monkeypatch.setattr(
        "sfm.mapping.measures.pair_turns.bearing_vectors", lambda xy, camera: np.full((len(xy), 3), np.nan)
    )
    assert not turning_pairs(spot, spot.view_graph.edges)


def test_more_evidence_has_the_model_whose_poses_more_pairs_agree_with(tmp_path: Path) -> None:
    database = synthetic.synthesize(tmp_path / "database.db").database
    (model,) = run(database).models
    context = workbench(database)
    scene, everyone = context.scene, frozenset(context.scene.id_of)
    half = frozenset(sorted(everyone)[:4])
    bent = copy.deepcopy(model)
    for name in half:
        frame = bent.frame(bent.image(scene.id_of[name]).frame_id)
        frame.rig_from_world = frame.rig_from_world * pycolmap.Rigid3d(
            pycolmap.Rotation3d(np.array([0.0, 0.2, 0.0])), np.array([0.5, 0, 0])
        )
    halves = [
        without_images(context, Submodel.of(model), part).reconstruction for part in (half, everyone - half)
    ]

    whole, in_halves, wrong = (evidence_score(scene, one, everyone) for one in ([model], halves, [bent]))

    most = sum(math.log(e.num_inliers) for e in scene.view_graph.edges.values())
    assert 0.9 * most < whole < most
    assert whole > in_halves > wrong


def test_of_models_that_no_pair_contradicts_the_more_exact_one_has_more_evidence(tmp_path: Path) -> None:
    database = synthetic.synthesize(tmp_path / "database.db").database
    (model,) = run(database).models
    scene, rough = workbench(database).scene, copy.deepcopy(model)
    for camera in rough.cameras.values():
        camera.params = [1.02 * camera.params[0], *camera.params[1:]]

    errors = median_errors_px(scene, rough, scene.view_graph.edges)
    exact, rougher = (evidence_score(scene, [one], frozenset(scene.id_of)) for one in (model, rough))

    assert max(errors.values()) < CONTRADICTED_PX
    assert exact > rougher


def test_poses_near_all_epipolar_lines_are_contradicted_where_they_turn_otherwise(tmp_path: Path) -> None:
    photos = low_overlap.turning(3, step_deg=4.0)
    scene = Scene.open(low_overlap.write(photos, tmp_path / "spot.db"))
    everyone = frozenset(scene.id_of)

    aside, true = _posed(scene, photos, turn_deg=7.4), _posed(scene, photos, turn_deg=0.0)

    errors = median_errors_px(scene, aside, scene.view_graph.edges)
    assert max(errors.values()) < CONTRADICTED_PX
    against, most = (evidence_score(scene, [one], everyone) for one in (aside, true))
    full = sum(math.log(e.num_inliers) for e in scene.view_graph.edges.values())
    assert against == pytest.approx(-full)
    assert 0.9 * full < most < full


def _posed(scene: Scene, photos: low_overlap.Photos, *, turn_deg: float) -> pycolmap.Reconstruction:
    """The photos a step aside one after the other, each turned by so much more than it was."""
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(scene.cache.camera(1))
    for name, image_id in scene.id_of.items():
        model.add_image_with_trivial_frame(pycolmap.Image(name=name, camera_id=1, image_id=image_id))
        more = pycolmap.Rotation3d(np.deg2rad([0.0, turn_deg * image_id, 0.0]))
        rotation = more * photos.cams_from_world[image_id].rotation
        centre = np.array([0.3 * image_id, 0.0, 0.0])
        frame = model.frame(model.image(image_id).frame_id)
        frame.rig_from_world = pycolmap.Rigid3d(rotation, -(rotation.matrix() @ centre))
        model.register_frame(frame.frame_id)
    return model
