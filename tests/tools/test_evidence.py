"""Labels of pairs, and the fit of their probability."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from evidence.choice import decided
from evidence.collections import photographed
from evidence.graphs import LabelledGraph, thinned
from evidence.labelled_models import LabelledModel, rightly_placed
from evidence.logistic import auroc, calibration_error
from evidence.models import PARTS, part_of_photos
from evidence.pairs import INDICATORS, left_out, model_of
from evidence.poses import left_out as left_out_of_poses
from evidence.poses import model_of as pose_model_of
from evidence.poses import pair_model_of, placement_model_of
from evidence.true_models import true_model
from photo_sets.pair_truth import LABELS, Label, pair_labels, read_labels
from synthetic import write_dataset
from synthetic.kinds import KINDS, plan_kind, plan_video
from synthetic.turntable import turntable

from retrieval import Pair
from sfm.mapping.pair_consistency.pair_features import local_features
from sfm.mapping.pose_consistency.pose_features import ModelEvidence, pose_features
from sfm.mapping.scene.pair_matches import PairMatches
from tests.mapping.wall import Wall, chain, pair


def test_the_list_of_dup_cereal_names_pairs_of_its_photos(shared_data) -> None:
    labels = read_labels(LABELS / "dup_cereal.txt")

    names = {path.name for path in (shared_data / "dup_cereal" / "images").iterdir()}
    assert {name for pair in labels for name in (pair.a, pair.b)} <= names
    assert list(labels.values()).count(Label.FALSE) == 115
    assert Label.TRUE not in labels.values()
    assert labels[Pair("0003.jpg", "0017.jpg")] is Label.FALSE  # one box, the other box
    assert Pair("0014.jpg", "0015.jpg") not in labels  # neighbours


def plane(folder, shift: float) -> PairMatches:
    """Two photos of a plane at a depth of 2, the second 0.5 to the right; matches off by `shift` px."""
    camera = {"model": "SIMPLE_RADIAL", "width": 100, "height": 80, "params": [50.0, 50.0, 40.0, 0.0]}
    images = {
        name: {"R_cw": np.eye(3).tolist(), "t_cw": [x, 0.0, 0.0]} for name, x in (("a", 0.0), ("b", -0.5))
    }
    (folder / "depth").mkdir()
    (folder / "gt.json").write_text(json.dumps({"images": images, "cameras": {"a": camera, "b": camera}}))
    for name in images:
        np.save(folder / "depth" / f"{name}.npy", np.full((80, 100), 2.0, np.float32))
    xy = np.random.default_rng(0).uniform([20, 5], [80, 75], (40, 2))
    moved = xy + np.array([shift - 12.5, 0.0])
    ends = np.column_stack([np.arange(40), np.arange(40)])
    return PairMatches({"a": xy, "b": moved}, dict.fromkeys("ab", (100, 80)), {Pair("a", "b"): ends})


@pytest.mark.parametrize(("shift", "label"), [(0.0, Label.TRUE), (3.0, Label.TRUE), (12.0, Label.FALSE)])
def test_matches_are_compared_with_poses_and_depth(shift: float, label: Label, tmp_path) -> None:
    assert pair_labels("plane", tmp_path, plane(tmp_path, shift)) == {Pair("a", "b"): label}


def test_without_truth_all_pairs_are_true(tmp_path) -> None:
    matches = plane(tmp_path, 12.0)

    assert pair_labels("plane", tmp_path / "elsewhere", matches) == {Pair("a", "b"): Label.TRUE}


def test_a_set_of_photos_is_matched_as_in_a_run_and_a_kind_of_its_own(demo_data, tmp_path) -> None:
    folder = tmp_path / "some"
    (folder / "images").mkdir(parents=True)
    for photo in sorted((demo_data / "images").iterdir())[:3]:
        shutil.copy(photo, folder / "images")
    shutil.copy(demo_data / "gt.json", folder)

    made = photographed(folder, cache=tmp_path / "cache")

    assert (made.kind, made.photos, made.folder) == ("real-some", 3, str(folder))
    assert made.true == len(PairMatches.read(Path(made.database)).inliers) > 0
    assert (made.false, made.mixed) == (0, 0)


def test_a_thin_graph_keeps_some_pairs_of_each_photo_always_the_same() -> None:
    names = [f"{i:02d}" for i in range(12)]
    ends = np.zeros((20, 2), dtype=np.int64)
    inliers = {Pair(a, b): ends for a in names for b in names if a < b}
    whole = PairMatches({name: np.zeros((1, 2)) for name in names}, dict.fromkeys(names, (9, 9)), inliers)

    thin = thinned(whole, 3)

    assert thin.inliers.keys() < whole.inliers.keys()
    assert all(sum(name in (pair.a, pair.b) for pair in thin.inliers) >= 3 for name in names)
    assert len(thin.inliers) <= 36
    assert thinned(whole, 3).inliers.keys() == thin.inliers.keys()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_is_rendered_with_depth(kind: str) -> None:
    photos = plan_kind(kind, 1, views=4, width=96)

    picture = photos[0].scene.renderer().colour(photos[0].camera, photos[0].pose, supersample=1)
    depth = photos[0].scene.renderer().depth(photos[0].camera, photos[0].pose)

    assert len(photos) == 4
    assert picture.std() > 5
    assert np.isfinite(depth).all()
    assert (depth > 0).mean() > 0.3


def test_what_stands_around_a_turntable_rests_in_its_photos() -> None:
    photos = turntable(1, views=12, width=96)

    renderers = [photo.scene.renderer() for photo in photos]
    pictures = [one.colour(p.camera, p.pose, supersample=1) for one, p in zip(renderers, photos, strict=True)]
    rests = np.abs(pictures[1] - pictures[0]).max(axis=2) < 1

    assert rests[:20].mean() > 0.95  # above the thing
    assert 0.02 < 1 - rests.mean() < 0.2
    assert max(np.abs(a.pose.rotation - photos[0].pose.rotation).max() for a in photos[1:]) > 1


def test_a_shuffled_collection_has_the_same_views_in_another_order() -> None:
    plain, shuffled = (
        [tuple(np.round(photo.pose.translation, 9)) for photo in plan_kind("desk", 2, shuffled=one)]
        for one in (False, True)
    )

    assert set(plain) == set(shuffled)
    assert plain != shuffled


def test_the_frames_of_a_video_follow_each_other_with_rows_that_shift_otherwise() -> None:
    first, second, *others = plan_video("room", 1, views=36, width=96)

    way = np.linalg.norm(second.pose.centre - first.pose.centre)
    assert [frame.name for frame in (first, second)] == ["frame_000.jpg", "frame_001.jpg"]
    assert len(others) == 34
    assert 0 < way < 0.3
    assert np.linalg.norm(others[15].pose.centre - first.pose.centre) > 3 * way
    assert not np.allclose(first.camera.rays()[0], second.camera.rays()[0], atol=1e-4)


def walls(kind: str, width: float) -> LabelledGraph:
    """Photos along a wall with a stretch that is there twice, and labels of their pairs."""
    wall = Wall([1.0 * i for i in range(24)], twins=(4.0, 20.0, width))
    false = {(i, j): wall.false_matches(i, j) for i in range(2, 6) for j in range(18, 22)}
    matches = wall.matches(chain(wall, 3) | {ends: rows for ends, rows in false.items() if len(rows) >= 15})
    is_true = {one: one not in {pair(*ends) for ends in false} for one in matches.inliers}
    return LabelledGraph(kind, kind, None, "plain", matches, {}, is_true, dict(local_features(matches, {})))


def test_a_fit_ranks_the_pairs_of_a_kind_that_it_has_not_seen() -> None:
    graphs = [walls("narrow", 2.5), walls("medium", 3.0), walls("wide", 3.5)]

    rows = left_out(graphs)
    model = model_of(graphs)

    assert all(row["auroc"] > 0.97 for row in rows)
    assert model["kinds"] == ["medium", "narrow", "wide"]
    assert model["false_pairs"] == sum(int((~graph.truth).sum()) for graph in graphs)
    slopes = model["rounds"][1]["coefficients"]
    assert slopes["track_support"] > 0
    assert all(value >= 0 for name, value in slopes.items() if name not in INDICATORS)


def test_a_kind_that_is_in_no_fit_is_judged_all_the_same() -> None:
    """With its labels turned round it would mislead every fit."""
    odd, *others = [walls("odd", 2.5), walls("medium", 3.0), walls("wide", 3.5)]
    odd = replace(odd, is_true={pair: not is_true for pair, is_true in odd.is_true.items()})

    rows = left_out([odd, *others], without=["odd"])

    assert [row["set"] for row in rows[:3]] == ["odd", "medium", "wide"]
    assert rows[0]["auroc"] < 0.03
    assert rows[1:3] == left_out(others)[:2]
    pooled = {row["variant"]: row["graphs"] for row in rows[3:]}
    assert (pooled["all"], pooled["fitted kinds"]) == (3, 2)


COUNTS = {"all": 30, "half": 15, "third": 10, "row": 10, "spread": 10, "last": 8}
"""Of 30 photos, by part."""


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_photos_is_the_same_each_time(tmp_path, part: str) -> None:
    photos = tmp_path / "photos"
    (photos / "left").mkdir(parents=True)
    for number in range(30):
        (photos / "left" / f"{number:02d}.jpg").write_bytes(b"x")
    (photos / "notes.txt").write_text("no photo")

    found = [part_of_photos(photos, tmp_path / name, part) for name in ("first", "second")]

    names = [sorted(path.relative_to(one).as_posix() for path in one.rglob("*.*")) for one in found]
    assert names[0] == names[1]
    assert len(names[0]) == COUNTS[part]
    assert all((photos / name).is_file() for name in names[0])


def row(kind: str, *, folded: int, seed: int, has_photos: bool = False) -> LabelledModel:
    """Images in a row, the first `folded` of them placed beside others by pairs that are likelier false."""
    names, rng = [f"{i:02d}" for i in range(16)], np.random.default_rng(seed)
    near = {Pair(a, b) for i, a in enumerate(names) for b in names[i + 1 : i + 4]}
    border = {pair for pair in near if int(pair.a) < folded <= int(pair.b)}
    false = {Pair(names[i], names[15 - i]) for i in range(folded)}
    probability = {pair: rng.uniform(0.8, 1) for pair in sorted(near)}
    probability |= {pair: rng.uniform(0, 0.4) for pair in sorted(false)}
    beside = {Pair(names[i], names[14 - i]) for i in range(folded)} | false
    overlaps = {**dict.fromkeys(probability, 0.5), **dict.fromkeys(sorted(beside), -0.5)}
    points = dict.fromkeys(names, 100)
    looks = overlaps if has_photos else None
    agreeing = probability.keys() - border
    errors_px = dict.fromkeys(agreeing, 0.5) | dict.fromkeys(border, 20.0)
    evidence = ModelEvidence(points, probability, agreeing, errors_px, overlaps, looks)
    right = np.array([int(name) >= folded for name in names])
    every = np.ones(16, bool)
    pairs = {pair: pair not in false for pair in probability}
    similar = {pair: 2.0 if is_right else rng.uniform(-1, 1) for pair, is_right in pairs.items()}
    features = pose_features(evidence)
    return LabelledModel(kind, kind, evidence, features, every, right, np.ones(16), pairs, similar)


@pytest.mark.parametrize("has_photos", [True, False])
def test_poses_of_a_kind_that_the_fit_has_not_seen_are_judged_right(has_photos: bool) -> None:
    kinds = {"short": 3, "medium": 4, "long": 5}
    models = [
        row(kind, folded=count if folds else 0, seed=seed, has_photos=has_photos)
        for seed, (kind, count) in enumerate(kinds.items())
        for folds in (True, False)
    ]

    *each, pooled = left_out_of_poses(models)
    fit = pose_model_of(models)["with_photos" if has_photos else "without_photos"]

    assert [one["wrong"] for one in each] == [3, 0, 4, 0, 5, 0]
    assert pooled["auroc"] > 0.95 > pooled["auroc_of_points"] == 0.5
    assert pooled["auroc_of_models"] == 1
    assert fit["wrong_images"] == 12
    assert all(value >= 0 for value in fit["coefficients"].values())
    assert fit["coefficients"]["agreement"] > 0
    assert ("photo_consistency" in fit["coefficients"]) is has_photos


def test_pairs_of_images_are_told_apart_by_what_looks_alike() -> None:
    fit = pair_model_of([row("short", folded=3, seed=0), row("long", folded=5, seed=1)])

    assert fit["wrong_pairs"] == 8
    assert fit["constant"] + 2.0 * fit["slope"] > 0 > fit["constant"] - fit["slope"]


def test_placements_are_right_where_points_are_observed_again_and_photos_look_alike() -> None:
    fit = placement_model_of(
        [row("short", folded=3, seed=0, has_photos=True), row("long", folded=5, seed=1, has_photos=True)]
    )["coefficients"]

    for known in ("with_photos", "without_photos"):
        slopes = sum(value for name, value in fit[known].items() if name != "constant")
        assert fit[known]["constant"] + 0.5 * slopes > 0 > fit[known]["constant"] - 0.5 * slopes
    assert fit["verified_pairs"]["weight"] > 0


def test_models_at_true_poses_are_in_the_fit_of_images_alone() -> None:
    mapped = [row("desk", folded=folded, seed=folded) for folded in (0, 3, 5)]
    contradicted = replace(row("desk", folded=0, seed=9), has_true_poses=True)

    before, after = (pose_model_of(models)["without_photos"] for models in (mapped, [*mapped, contradicted]))

    assert after["whole"] == before["whole"]
    assert after["constant"] != before["constant"]


@pytest.mark.parametrize("known", [7, 3])
def test_a_model_at_true_poses_has_them_and_points(tmp_path, known: int) -> None:
    """Cameras of another model in the database; with few known poses, there is no model."""
    write_dataset(plan_kind("clutter", 0, views=7, width=240), tmp_path / "set")
    truth = json.loads((tmp_path / "set/gt.json").read_text(encoding="utf-8"))
    truth["images"] = dict(sorted(truth["images"].items())[:known])
    (tmp_path / "truth.json").write_text(json.dumps(truth), encoding="utf-8")
    database, photos = tmp_path / "database.db", tmp_path / "set/images"
    reader = pycolmap.ImageReaderOptions(camera_model="OPENCV")
    pycolmap.extract_features(database, photos, camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader)
    pycolmap.match_exhaustive(database)

    true_model(tmp_path / "truth.json", database, photos, tmp_path / "true")

    assert {path.name for path in (tmp_path / "true").iterdir()} == {"0"}
    if known < 5:
        assert not list((tmp_path / "true/0").iterdir())
        return
    model = pycolmap.Reconstruction(tmp_path / "true/0")
    assert model.num_reg_images() == 7
    assert model.compute_mean_reprojection_error() < 1
    for image in model.images.values():
        pose = image.cam_from_world()
        assert np.allclose(pose.rotation.matrix(), truth["images"][image.name]["R_cw"])
        assert image.num_points3D > 10


def test_pairs_of_a_folded_model_are_right_within_each_side() -> None:
    """Four cameras in a row, and a fifth beside the first that is truly at the other end."""
    right, turn = [f"{i}.jpg" for i in range(4)], pycolmap.Rotation3d()
    placed = {name: pycolmap.Rigid3d(turn, [-float(i), 0, 0]) for i, name in enumerate(right)}
    truth = {}
    for i, name in enumerate(right):
        truth[name] = np.eye(3), np.array([10.0 * i, 0, 0])
    placed["x.jpg"] = pycolmap.Rigid3d(turn, [-0.2, 0, 0])
    truth["x.jpg"] = np.eye(3), np.array([38.0, 0, 0])

    found = rightly_placed([Pair("0.jpg", "3.jpg"), Pair("0.jpg", "x.jpg")], placed, truth, right)

    assert found == {Pair("0.jpg", "3.jpg"): True, Pair("0.jpg", "x.jpg"): False}


def test_calibration_error_and_auroc_of_known_chances() -> None:
    truth = np.array([True, True, False, False])

    assert auroc(np.array([0.9, 0.6, 0.4, 0.1]), truth) == 1.0
    assert auroc(np.array([0.5, 0.5, 0.5, 0.5]), truth) == 0.5
    assert calibration_error(np.array([0.95, 0.95, 0.05, 0.05]), truth, np.ones(4)) == pytest.approx(0.05)


def test_of_folded_and_right_models_the_right_ones_are_chosen() -> None:
    candidates = [[[row(kind, folded=folded, seed=1)] for folded in (0, 4, 4)] for kind in ("desk", "room")]

    found = decided([*candidates, [[row("same", folded=0, seed=seed)] for seed in (1, 2)]])

    assert found == {kind: {"comparisons": 2, "gain": 1.0, "right_pairs": 1.0} for kind in ("desk", "room")}
