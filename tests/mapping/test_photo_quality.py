"""Figures of registered photos, and which of them are in doubt."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from retrieval import Pair
from sfm.diagnosis.photo_doubt import doubts
from sfm.diagnosis.photo_quality import ModelQuality, model_quality
from sfm.diagnosis.quality import judged_models
from sfm.mapping.pose_consistency.pose_probability import PoseProbabilities
from sfm.mapping.scene.scene import Scene
from sfm.types import PhotoQuality

from . import synthetic
from .running import run

SOUND = PhotoQuality(0.5, 20.0, 0.01, 0.01, "", 3, 3, 0.0)
_OPTIONS = pycolmap.BundleAdjustmentOptions()


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pycolmap.Reconstruction]:
    database = synthetic.synthesize(tmp_path_factory.mktemp("ring") / "database.db").database
    (model,) = run(database).models
    return database, model


def measured(
    database: Path, model: pycolmap.Reconstruction, deferred: frozenset[Pair] = frozenset()
) -> tuple[ModelQuality, dict[str, str]]:
    scene = Scene.open(database)
    probability = {pair: 0.05 if pair in deferred else 0.95 for pair in scene.view_graph.edges}
    quality = model_quality(
        scene, model, _OPTIONS, fixed_cameras=frozenset(), probability=probability, deferred=deferred
    )
    counts = {model.image(i).name: model.image(i).num_points3D for i in model.reg_image_ids()}
    return quality, dict(doubts(quality, counts))


def moved(model: pycolmap.Reconstruction, image_id: int) -> pycolmap.Reconstruction:
    """A copy in which one photo has another pose, its points still those that it sees."""
    model = copy.deepcopy(model)
    extent = np.ptp([model.image(i).projection_center() for i in model.reg_image_ids()], axis=0).max()
    turned = pycolmap.Rigid3d(
        pycolmap.Rotation3d(np.array([0.0, 0.05, 0.0])), np.array([0.05 * extent, 0, 0])
    )
    frame = model.frame(model.image(image_id).frame_id)
    frame.rig_from_world = turned * frame.rig_from_world
    return model


def test_the_figures_of_a_sound_model(ring: tuple[Path, pycolmap.Reconstruction]) -> None:
    database, model = ring

    quality, doubted = measured(database, model)

    assert not doubted
    assert (quality.probabilities.precision or 0) > 0.99
    assert quality.photos.keys() == {model.image(i).name for i in model.reg_image_ids()}
    observations = {model.image(i).name: model.image(i).num_points3D for i in model.reg_image_ids()}
    residuals = [quality.photos[name].residual_px or 0.0 for name in observations]
    mean = np.average(residuals, weights=list(observations.values()))
    assert mean == pytest.approx(model.compute_mean_reprojection_error(), abs=1e-3)
    for photo in quality.photos.values():
        assert photo.num_neighbours == photo.num_pairs == len(quality.photos) - 1
        assert photo.contradicted == 0
        assert (photo.tri_angle_deg or 0) > 20
        assert 0 < (photo.sigma_position or 0) < 0.005 * quality.extent
        assert 0 < (photo.sigma_rotation_deg or 0) < 0.3


def test_angles_are_those_between_the_rays(ring: tuple[Path, pycolmap.Reconstruction]) -> None:
    database, model = ring
    image = model.image(min(model.reg_image_ids()))
    widest = []
    for point in image.get_observation_points2D():
        found = model.point3D(point.point3D_id)
        rays = {
            e.image_id: found.xyz - model.image(e.image_id).projection_center() for e in found.track.elements
        }
        mine = rays[image.image_id] / np.linalg.norm(rays[image.image_id])
        cosines = [mine @ ray / np.linalg.norm(ray) for i, ray in rays.items() if i != image.image_id]
        widest.append(np.rad2deg(np.arccos(min(cosines))))

    quality, _ = measured(database, model)

    assert quality.photos[image.name].tri_angle_deg == pytest.approx(np.median(widest), abs=1e-3)


def test_a_photo_at_a_wrong_place_is_in_doubt_and_the_others_are_not(
    ring: tuple[Path, pycolmap.Reconstruction],
) -> None:
    database, model = ring
    for image_id in sorted(model.reg_image_ids())[:3]:
        wrong = moved(model, image_id)

        judged = judged_models(database, [wrong], _OPTIONS, fixed_cameras=set()).photos

        named = {name: found.doubt for name, found in judged.items() if found.doubt}
        assert named.keys() == {model.image(image_id).name}
        assert "likely right: no pair that agrees with its pose" in named[model.image(image_id).name]
        assert judged[model.image(image_id).name].quality.num_neighbours == 0


@pytest.mark.parametrize(
    ("weak", "num_points", "why"),
    [
        (replace(SOUND, sigma_position=0.4), 300, "its position is uncertain by 4 % of the model's extent"),
        (
            replace(SOUND, sigma_rotation_deg=2.0),
            300,
            "its rotation is uncertain by 2.0°, 200 times the usual",
        ),
        (replace(SOUND, tri_angle_deg=0.9), 18, "only 18 points hold it, at angles of 0.9°"),
        (replace(SOUND, sigma_position=None, sigma_rotation_deg=None, why_no_sigma="large"), 300, ""),
        (replace(SOUND, tri_angle_deg=0.9), 300, ""),
        (SOUND, 18, ""),
        (replace(SOUND, sigma_position=0.09), 300, ""),
    ],
)
def test_weak_evidence_puts_a_photo_in_doubt(weak: PhotoQuality, num_points: int, why: str) -> None:
    photos = {**dict.fromkeys("bcd", SOUND), "a": weak}
    pairs = {Pair.of("a", other): 1.0 for other in "bcd"}
    certain = PoseProbabilities(dict.fromkeys(photos, 1.0), {}, 1.0, ())
    quality = ModelQuality(photos, pairs, set(pairs), dict.fromkeys(pairs, 100), 10.0, certain)

    doubted = doubts(quality, {**dict.fromkeys("bcd", 300), "a": num_points})

    assert doubted.keys() == ({"a"} if why else set())
    assert doubted.get("a", "").startswith(why)


def test_a_part_that_only_look_alikes_lead_to_is_ambiguous(
    ring: tuple[Path, pycolmap.Reconstruction],
) -> None:
    database, model = ring
    names = sorted(model.image(i).name for i in model.reg_image_ids())
    part = set(names[:3])
    across = frozenset(Pair.of(a, b) for a in part for b in names if b not in part)

    firm, _ = measured(database, model)
    quality, doubted = measured(database, model, across)

    assert doubted.keys() >= part
    assert all("only pairs that may join look-alike places link it" in doubted[name] for name in part)
    assert quality.probabilities.right < 0.5 < firm.probabilities.right
    (group,) = quality.probabilities.alternatives
    assert set(group.names) == doubted.keys()
    assert 0.5 < group.probability <= 1


def test_look_alikes_that_the_poses_contradict_speak_against_nobody(
    ring: tuple[Path, pycolmap.Reconstruction],
) -> None:
    database, model = ring
    name = model.image(min(model.reg_image_ids())).name
    wrong = moved(model, min(model.reg_image_ids()))
    pairs = frozenset(pair for pair in Scene.open(database).view_graph.edges if name in pair)

    quality, doubted = measured(database, wrong, pairs - {min(pairs)})

    others = [photo.contradicted for n, photo in quality.photos.items() if n not in min(pairs)]
    assert others == [0.0] * (len(quality.photos) - 2)
    assert name in doubted


def test_a_photo_that_hangs_on_few_points_and_one_photo_is_in_doubt(
    ring: tuple[Path, pycolmap.Reconstruction], tmp_path: Path
) -> None:
    database, model = ring
    ids = sorted(model.reg_image_ids())
    weak, friend = ids[0], ids[1]
    kept = {pair for pair in synthetic.all_pairs(len(ids)) if weak not in pair} | {(weak, friend)}
    thin, model = synthetic.keep_pairs(database, tmp_path / "thin.db", kept), copy.deepcopy(model)
    for index, point in enumerate(model.image(weak).points2D):
        if point.has_point3D() and model.image(weak).num_points3D > 20:
            model.delete_observation(weak, index)

    _, doubted = measured(thin, model)

    assert doubted.keys() == {model.image(weak).name}
    assert "20 points hold it, and one other photo agrees" in doubted[model.image(weak).name]


def test_of_a_photo_in_two_models_the_largest_counts(ring: tuple[Path, pycolmap.Reconstruction]) -> None:
    database, model = ring
    first = min(model.reg_image_ids())
    small = moved(model, first)

    judged = judged_models(database, [model, small], _OPTIONS, fixed_cameras=set()).photos

    assert not judged[model.image(first).name].doubt
    assert judged_models(database, [], _OPTIONS, fixed_cameras=set()).photos == {}
