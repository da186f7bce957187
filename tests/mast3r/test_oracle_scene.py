"""The oracle's ground truth: depth between pixels, and what is not a rendered scene is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sfm.errors import InputError
from sfm.mast3r.oracle.oracle import OraclePredictor
from sfm.mast3r.oracle.oracle_scene import depth_at, load_scene

from .room import SIZE


@pytest.fixture
def copied(room: Path, tmp_path: Path) -> Path:
    """A room that may be damaged."""
    (tmp_path / "depth").mkdir()
    for file in (room / "depth").iterdir():
        (tmp_path / "depth" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "gt.json").write_bytes((room / "gt.json").read_bytes())
    return tmp_path


def test_depth_between_surfaces_is_one_of_them() -> None:
    depth = np.array([[2.0, 2.0, 9.0], [2.0, 2.0, 9.0], [0.0, 0.0, 9.0]], np.float32)
    where = np.array([[1.5, 0.5], [1.9, 0.7], [2.2, 0.7], [0.9, 2.4], [1.0, 1.0], [-5, 0.0], [9, 9.0]])

    assert depth_at(depth, where).tolist() == pytest.approx([2, 2, 9, 0, 2, 2, 9])


def test_depth_of_a_slanted_plane_is_exact_between_pixels() -> None:
    x, y = np.meshgrid(np.arange(8) + 0.5, np.arange(6) + 0.5)
    depth = (1 / (0.2 + 0.002 * x - 0.003 * y)).astype(np.float32)
    where = np.random.default_rng(0).uniform([0.5, 0.5], [7.5, 5.5], (50, 2))

    expected = 1 / (0.2 + 0.002 * where[:, 0] - 0.003 * where[:, 1])
    np.testing.assert_allclose(depth_at(depth, where), expected, rtol=1e-6)


class Touched:
    """Unpickling this would leave a file behind."""

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (Path("unpickled"),)


def _saved(content: object) -> Callable[[Path], None]:
    return lambda path: np.save(path, content, allow_pickle=True)


DAMAGE = {
    "missing": (lambda path: path.unlink(), "no depth of photo left.jpg"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:500]), "not a readable depth map"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable depth map"),
    "pickle": (_saved(np.array([Touched()], object)), "not a readable depth map"),
    "another size": (_saved(np.ones((12, 16), np.float32)), r"expected \(120, 160\) float32"),
    "whole numbers": (_saved(np.ones((120, 160), np.int64)), r"expected \(120, 160\) float32"),
    "not finite": (_saved(np.full((120, 160), np.nan, np.float32)), "finite and not negative"),
    "negative": (_saved(np.full((120, 160), -1, np.float32)), "finite and not negative"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_depth_is_named(copied: Path, kind: str) -> None:
    damage, words = DAMAGE[kind]
    damage(copied / "depth" / "left.jpg.npy")

    with pytest.raises(InputError, match=words) as caught:
        OraclePredictor(copied, size=SIZE).points("left.jpg")

    assert "left.jpg.npy" in str(caught.value)
    assert caught.value.hint
    assert not Path("unpickled").exists()


def test_depth_of_nothing_at_all_is_refused(copied: Path) -> None:
    for file in (copied / "depth").iterdir():
        np.save(file, np.zeros_like(np.load(file)))

    with pytest.raises(InputError, match="show nothing at all"):
        OraclePredictor(copied, size=SIZE)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["images"], {}, "'images' must map"),
        (["cameras"], [], "'cameras' must map"),
        (["components"], "one", "'components' must map"),
        (["images", "left.jpg"], None, "'left.jpg': R_cw"),
        (["images", "left.jpg", "R_cw"], [[1, 0, 0], [0, 1, 0], [0, 0, 2]], "'left.jpg': R_cw must be"),
        (["images", "left.jpg", "R_cw"], "no", "'left.jpg': R_cw"),
        (["images", "left.jpg", "t_cw"], [0, 0, float("nan")], "3 finite numbers"),
        (["images", "../../etc/passwd"], {}, "is not a photo name|etc/passwd"),
        (["cameras", "left.jpg"], None, "camera of 'left.jpg': model must be"),
        (["cameras", "left.jpg", "model"], "FISHEYE", "not 'FISHEYE'"),
        (["cameras", "left.jpg", "params"], [1.0], "is no camera of model SIMPLE_RADIAL"),
        (["cameras", "left.jpg", "params"], [float("inf"), 1, 1, 0], "is no camera"),
        (["cameras", "left.jpg", "width"], -5, "is no camera"),
        (["cameras", "left.jpg", "height"], "tall", "must be numbers"),
    ],
)
def test_a_damaged_ground_truth_is_named(copied: Path, path: list[str], value: object, words: str) -> None:
    file = copied / "gt.json"
    content = json.loads(file.read_text())
    entry = content
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    file.write_text(json.dumps(content))

    with pytest.raises(InputError, match=words) as caught:
        load_scene(copied)

    assert "gt.json" in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_a_ground_truth_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "gt.json").write_bytes(content)

    with pytest.raises(InputError, match=r"gt\.json"):
        OraclePredictor(tmp_path)
