"""Directions of pairs on disk: they come back as they were, and damaged files are computed again."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sfm.global_alignment.sparse.canonical import CanonicalSums
from sfm.global_alignment.sparse.problem import Predicted
from sfm.matching.dense.pointmaps.photo_directions import DirectionFiles, SeenFrom, sampled

SIZE = (16, 24)


def seen(seed: int) -> SeenFrom:
    chance = np.random.default_rng(seed)
    points = Predicted(
        chance.random((6, 3)).astype(np.float32).astype(np.float64), chance.random(6).round(3) + 1
    )
    pixels = chance.integers(0, 16 * 24, (5 + seed, 2))
    return SeenFrom(pixels, chance.random((5 + seed, 2)).astype(np.float32), points)


def sums() -> CanonicalSums:
    found = CanonicalSums(SIZE)
    found.add(np.random.default_rng(0).random((*SIZE, 3)) + 1, np.full(SIZE, 2.0))
    return found


def test_directions_come_back(tmp_path: Path) -> None:
    files = DirectionFiles(tmp_path)
    files.put("aa11", sums(), {"bb": seen(1), "cc": seen(2)})

    again = DirectionFiles(tmp_path)
    found = again.seen("aa11", "cc")

    assert again.partners("aa11") == ["bb", "cc"]
    assert found is not None
    np.testing.assert_array_equal(found.pixels, seen(2).pixels)
    np.testing.assert_array_equal(found.confidence, seen(2).confidence)
    np.testing.assert_allclose(found.predicted.points, seen(2).predicted.points)
    np.testing.assert_array_equal(again.sums("aa11", SIZE).view().points, sums().view().points)


def test_nothing_is_known_of_a_photo_without_a_file(tmp_path: Path) -> None:
    files = DirectionFiles(tmp_path)
    assert files.partners("aa") == []
    assert files.seen("aa", "bb") is None
    assert files.sums("aa", SIZE).count == 0


@pytest.mark.parametrize("how", ["cut", "no header", "other sums", "other matches", "other partners"])
def test_a_damaged_file_is_forgotten(tmp_path: Path, how: str) -> None:
    files = DirectionFiles(tmp_path)
    files.put("aa11", sums(), {"bb": seen(1)})
    (path,) = tmp_path.rglob("*.safetensors")
    arrays, header = load_file(path), {"count": "1", "partners": '["bb"]'}
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif how == "no header":
        save_file(arrays, path)
    elif how == "other sums":
        save_file({**arrays, "sums.weight": np.zeros((8, 8))}, path, header)
    elif how == "other matches":
        save_file({**arrays, "0.confidence": np.zeros((1, 2), np.float32)}, path, header)
    else:
        save_file(arrays, path, {**header, "partners": '{"bb": 1}'})

    files.partners("aa11"), files.seen("aa11", "bb"), files.sums("aa11", SIZE)

    assert not path.exists()
    assert files.sums("aa11", SIZE).count == 0


def test_a_pointmap_is_sampled_at_the_upper_left_pixels_of_blocks() -> None:
    points = np.arange(16 * 24 * 3, dtype=float).reshape(16, 24, 3)
    found = sampled(points, points[..., 0])
    assert found.points.shape == (6, 3)
    assert found.points[1].tolist() == points[0, 8].tolist()
    assert found.confidence[3] == points[8, 0, 0]
