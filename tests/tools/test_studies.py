"""The study of inconsistent pairs, and the labels of pairs that it is judged by."""

from __future__ import annotations

import json

import numpy as np
import pytest
from photo_sets.pair_truth import LABELS, Label, pair_labels, read_labels
from studies.suspects import measure as measured
from studies.suspects import thinned

from retrieval import Pair
from sfm.mapping.scene.pair_matches import PairMatches


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


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.timeout(1800)
def test_the_look_alikes_of_dup_cereal_are_named_and_fountain_is_plain(shared_data, tmp_path) -> None:
    (exhaustive,) = measured("dup_cereal", shared_data, tmp_path, [], 2)
    (plain,) = measured("fountain-P11", shared_data, tmp_path, [], 2)
    whole, thin = measured("eth3d_pipes", shared_data, tmp_path, [4], 2)

    assert exhaustive.named_false >= 0.9 * exhaustive.false > 90
    assert exhaustive.named_true <= 0.02 * exhaustive.true
    assert exhaustive.ambiguous
    assert plain.named == 0
    assert not plain.ambiguous
    assert whole.named == thin.named == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_look_alikes_of_rendered_facades_are_named(tmp_path) -> None:
    (row,) = measured("facades-60-1", tmp_path, tmp_path, [], 2)

    assert row.named_false >= 0.9 * row.false > 90
    assert row.firm_named_false >= 0.8 * row.firm_false > 8
    assert row.ambiguous
