"""Whole evaluations: one scene, several scenes, missing photos, folders."""

import json

import numpy as np
import pycolmap
import pytest

import sfm
from sfm.errors import InputError
from sfm.evaluation.evaluate import evaluate_poses
from sfm.evaluation.ground_truth import GroundTruth


def one_scene(poses):
    return GroundTruth(poses, None, "m")


def two_scenes(make_poses):
    first, second = make_poses(5, seed=1), {f"q{n}": p for n, p in make_poses(4, seed=2).items()}
    labels = {**dict.fromkeys(first, "first"), **dict.fromkeys(second, "second")}
    return first, second, GroundTruth({**first, **second}, labels, "m")


def test_a_perfect_model_scores_100_everywhere(make_poses):
    poses = make_poses(6)

    result = evaluate_poses([poses], one_scene(poses))

    assert list(result.overall.auc.values()) == pytest.approx([100.0] * 6, abs=1e-3)
    assert set(result.overall.rra.values()) == set(result.overall.rta.values()) == {100.0}
    assert result.overall.ate is not None
    assert result.overall.ate.raw < 1e-9
    assert (result.overall.num_registered, result.num_registered_in_any) == (6, 6)


def test_without_a_model_everything_is_missing(make_poses):
    result = evaluate_poses([], one_scene(make_poses(4)))

    assert result.overall.num_registered == 0
    assert set(result.overall.auc.values()) == {0.0}
    assert result.overall.ate is None
    assert result.model_sizes == ()


def test_only_the_largest_model_is_scored_and_all_count_as_registered(make_poses):
    poses = make_poses(10)
    names = sorted(poses)
    small, large = ({n: poses[n] for n in chosen} for chosen in (names[:4], names[4:]))

    result = evaluate_poses([small, large], one_scene(poses))

    assert result.model_sizes == (6, 4)
    assert result.overall.num_registered == 6
    assert result.num_registered_in_any == 10
    assert result.overall.auc[30] == pytest.approx(100 * 15 / 45)  # pairs within the six, of all pairs


def test_each_component_is_scored_against_its_own_model(make_poses, transformed):
    first, second, truth = two_scenes(make_poses)
    elsewhere = transformed(
        second, pycolmap.Sim3d(3.0, pycolmap.Rotation3d(np.array([0, 1.0, 0])), np.ones(3))
    )

    result = evaluate_poses([first, elsewhere], truth)

    assert result.components["first"].auc[1] == pytest.approx(100, abs=1e-3)
    assert result.components["second"].auc[1] == pytest.approx(100, abs=1e-3)
    assert result.overall.num_registered == 9
    assert result.overall.auc[1] == pytest.approx(100, abs=1e-3)
    assert result.overall.ate is None
    assert result.photos_in_wrong_model == ()


def test_photos_of_another_scene_in_a_model_are_named(make_poses):
    first, second, truth = two_scenes(make_poses)
    stray = "qp0.jpg"
    rest = {name: pose for name, pose in second.items() if name != stray}

    result = evaluate_poses([{**first, stray: second[stray]}, rest], truth)

    assert result.photos_in_wrong_model == (stray,)
    assert result.components["second"].num_registered == 3


def test_a_merged_model_puts_the_whole_smaller_scene_in_the_wrong_place(make_poses):
    first, second, truth = two_scenes(make_poses)

    result = evaluate_poses([{**first, **second}], truth)

    assert result.photos_in_wrong_model == tuple(sorted(second))


def test_photos_that_the_truth_does_not_know_are_told_apart(make_poses):
    poses = make_poses(5)
    known = {name: pose for name, pose in poses.items() if name != "p4.jpg"}

    result = evaluate_poses([poses], one_scene(known))

    assert result.unknown_photos == ("p4.jpg",)
    assert result.overall.num_photos == 4


def test_nothing_in_common_is_an_error_that_shows_both_sides(make_poses):
    with pytest.raises(InputError, match=r"no photo in common: p0\.jpg.*against other\.jpg"):
        evaluate_poses([make_poses(3)], one_scene({"other.jpg": pycolmap.Rigid3d()}))


def test_a_workspace_is_evaluated_from_disk_with_names_below_a_folder(model, tmp_path):
    folder = tmp_path / "out" / "sparse" / "0"
    folder.mkdir(parents=True)
    model.write_binary(folder)
    entries = {}
    for image_id in model.reg_image_ids():
        pose = model.image(image_id).cam_from_world()
        entry = {"R_cw": pose.rotation.matrix().tolist(), "t_cw": list(pose.translation)}
        entries[f"camera/{model.image(image_id).name}"] = entry
    (tmp_path / "gt.json").write_text(json.dumps({"images": entries, "unit": None}))

    result = sfm.evaluate(tmp_path / "out", tmp_path / "gt.json")

    assert result.overall.num_registered == 8
    assert result.overall.auc[1] > 99.9


def test_the_figures_are_json_and_the_table_shows_them(make_poses):
    first, second, truth = two_scenes(make_poses)

    result = evaluate_poses([first, second], truth)

    figures = json.loads(json.dumps(result.to_dict()))
    assert figures["components"]["first"]["auc"]["3"] == pytest.approx(100, abs=1e-3)
    assert figures["model_sizes"] == [5, 4]
    lines = result.table().splitlines()
    assert lines[0] == "photos      9 of 9 in the model that is scored"
    assert (
        lines[2] == "AUC         100.0 at 1°, 100.0 at 3°, 100.0 at 5°, 100.0 at 10° (%, all pairs of photos)"
    )
    assert [line.split(";")[0].strip() for line in lines[6:8]] == [
        "first: 5 of 5 photos",
        "second: 4 of 4 photos",
    ]
    assert "photos in a wrong model: none" in lines[-1]
    assert figures["colmap_benchmark"]["auc"]["0.5"] == pytest.approx(100, abs=1e-2)
    assert figures["colmap_benchmark"]["num_pairs"] == 5 * 4 + 4 * 3
    assert lines[5].startswith("COLMAP's    100.0 at 0.5°")
