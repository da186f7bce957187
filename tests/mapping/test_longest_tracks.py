"""Which matches global SfM starts from."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from retrieval import Pair
from sfm.mapping.growing.longest_tracks import longest_tracks
from sfm.mapping.scene.part_database import write_part
from sfm.mapping.scene.scene import Scene

from . import synthetic
from .chain import NUM_PHOTOS

FEW = 20


@pytest.fixture
def scene(chain: synthetic.Scene) -> Scene:
    return Scene.open(chain.database)


def test_each_pair_keeps_so_many_of_its_longest_tracks(scene: Scene) -> None:
    found = longest_tracks(scene, scene.id_of.keys(), FEW)

    assert found.keys() == scene.view_graph.edges.keys()
    for pair, rows in found.items():
        every = {tuple(row) for row in scene.matches(pair).tolist()}
        assert {tuple(row) for row in rows.tolist()} <= every
        assert len(rows) >= min(FEW, len(every))
    assert sum(map(len, found.values())) < 0.8 * sum(len(scene.matches(pair)) for pair in found)


def test_longer_tracks_come_first() -> None:
    """Keypoints 2 and 3 of b are seen by c, too; the others are of tracks of two."""
    pairs = {Pair("a", "b"): [(0, 0), (1, 1), (2, 2), (3, 3)], Pair("b", "c"): [(2, 0), (3, 1)]}
    scene = SimpleNamespace(
        view_graph=SimpleNamespace(
            edges={pair: SimpleNamespace(num_inliers=len(rows)) for pair, rows in pairs.items()}
        ),
        id_of={"a": 1, "b": 2, "c": 3},
        keypoints=lambda image_id: np.zeros((4, 2), np.float32),
        matches=lambda pair: np.array(pairs[pair], np.uint32),
    )

    found = longest_tracks(cast(Scene, scene), set("abc"), 2)

    assert {pair: rows.tolist() for pair, rows in found.items()} == {
        Pair("a", "b"): [[2, 2], [3, 3]],
        Pair("b", "c"): [[2, 0], [3, 1]],
    }


def test_a_large_quota_keeps_all_matches_of_true_pairs(scene: Scene) -> None:
    names = {scene.name_of[i] for i in range(1, NUM_PHOTOS // 2)}

    found = longest_tracks(scene, names, 10**6)

    assert found.keys() == {pair for pair in scene.view_graph.edges if names.issuperset(pair)}
    assert all(np.array_equal(rows, scene.matches(pair)) for pair, rows in found.items())


def test_they_are_all_that_goes_into_a_database(scene: Scene, tmp_path: Path) -> None:
    chosen = longest_tracks(scene, scene.id_of.keys(), FEW)

    write_part(scene, scene.id_of.keys(), tmp_path / "part.db", chosen)

    part = Scene.open(tmp_path / "part.db")
    assert part.view_graph.edges.keys() == chosen.keys()
    assert all(np.array_equal(part.matches(pair), rows) for pair, rows in chosen.items())
