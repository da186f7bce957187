"""DTU's scores on a fabricated cube: mask, table, thresholds and damaged files; point clouds."""

import json
import math
import sys
from pathlib import Path

import dtu
import numpy as np
import pytest
import trimesh
from metrics.clouds import read_cloud
from metrics.dtu_scores import DtuScan, dtu_score, evenly_spaced, mean_scores
from scipy.io import loadmat, savemat

from sfm.errors import InputError

SIDE = np.arange(0.0, 101.0, 2.0)


def top(z: float = 100.0) -> np.ndarray:
    """The upper face of a cube of 100 mm, a point each 2 mm."""
    x, y = np.meshgrid(SIDE, SIDE)
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Scan 4: the upper face, and as many points below the table; the half with x < 50 is observed."""
    (tmp_path / "ObsMask").mkdir()
    (tmp_path / "Points" / "stl").mkdir(parents=True)
    mask = np.zeros((13, 13, 16), np.uint8)
    mask[:5] = 1  # cells of 10 mm from -10: x < 35
    savemat(
        tmp_path / "ObsMask" / "ObsMask4_10.mat",
        {"ObsMask": mask, "BB": [[-10.0] * 3, [110, 110, 140]], "Res": 10.0},
    )
    savemat(tmp_path / "ObsMask" / "Plane4.mat", {"P": [[0.0], [0.0], [1.0], [-5.0]]})
    trimesh.PointCloud(np.concatenate([top(), top(z=0.0)])).export(
        tmp_path / "Points" / "stl" / "stl004_total.ply"
    )
    return tmp_path


def score(root: Path, cloud: np.ndarray):
    return dtu_score(4, np.asarray(cloud, float), DtuScan.read(root, 4))


def test_a_cloud_above_the_face_is_as_far_off_as_it_stands(root: Path) -> None:
    found = score(root, top(z=101.5))

    assert found.accuracy == pytest.approx(1.5)
    assert found.completeness == pytest.approx(1.5)  # what is below the table would be 101.5
    assert found.overall == pytest.approx(1.5)


def test_accuracy_counts_observed_points_and_completeness_all(root: Path) -> None:
    cloud = top()
    cloud[cloud[:, 0] > 50, 2] += 3  # where nothing is observed

    found = score(root, cloud)

    assert found.accuracy == pytest.approx(0)
    lifted = np.count_nonzero(cloud[:, 2] > 100)
    edge = (SIDE > 50).argmax()
    # The first lifted column has its neighbour, 2 mm beside it, nearer than its own point, 3 mm above.
    assert SIDE[edge] == 52
    expected = (2 * len(SIDE) + 3 * (lifted - len(SIDE))) / len(cloud)
    assert found.completeness == pytest.approx(expected)


def test_distances_of_twenty_and_more_are_left_out(root: Path) -> None:
    cloud = np.concatenate([top(), top(z=120.0), top(z=119.0)[:1]])

    found = score(root, cloud)

    observed = np.count_nonzero(top()[:, 0] < 35)
    assert found.accuracy == pytest.approx(19 / (observed + 1))
    assert found.completeness == pytest.approx(0)


def test_points_beyond_the_margin_are_not_there(root: Path) -> None:
    found = score(root, top(z=300.0))

    assert found.num_points == 0
    assert math.isnan(found.accuracy)
    assert math.isnan(found.completeness)


def test_thinned_points_are_apart_and_leave_no_gap() -> None:
    points = np.random.default_rng(1).uniform(0, 5, (3000, 3))

    kept = evenly_spaced(points, 0.4)

    apart = np.linalg.norm(kept[:, None] - kept, axis=2) + np.eye(len(kept))
    assert apart.min() > 0.4
    assert np.linalg.norm(points[:, None] - kept, axis=2).min(axis=1).max() <= 0.4


def test_the_program_prints_scores_of_each_scan_and_their_mean(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "clouds").mkdir()
    trimesh.PointCloud(top(z=101.0)).export(root / "clouds" / "scan4.ply")
    monkeypatch.setattr(sys, "argv", ["dtu.py", str(root), str(root / "clouds"), "--scans", "4"])

    dtu.main()

    printed = json.loads(capsys.readouterr().out)
    assert printed["scans"][0]["overall"] == pytest.approx(1.0)
    assert printed["mean_mm"] == pytest.approx({"accuracy": 1.0, "completeness": 1.0, "overall": 1.0})

    trimesh.PointCloud(top(z=150.0)).export(root / "clouds" / "scan4.ply")  # nothing is near enough
    dtu.main()
    text = capsys.readouterr().out
    assert "NaN" not in text
    assert json.loads(text)["mean_mm"]["overall"] is None


@pytest.mark.parametrize(
    "name", ["ObsMask/ObsMask4_10.mat", "ObsMask/Plane4.mat", "Points/stl/stl004_total.ply"]
)
@pytest.mark.parametrize("content", [None, b"", b"MATLAB 5.0 and then nothing"])
def test_missing_and_damaged_files_are_named(root: Path, name: str, content: bytes | None) -> None:
    (root / name).unlink()
    if content is not None:
        (root / name).write_bytes(content)

    with pytest.raises(InputError, match=Path(name).name):
        DtuScan.read(root, 4)


def test_other_shapes_are_refused(root: Path) -> None:
    savemat(root / "ObsMask" / "Plane4.mat", {"P": [1.0, 2.0]})

    with pytest.raises(InputError, match="four numbers"):
        DtuScan.read(root, 4)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("Plane4.mat", {"P": np.zeros(4)}, "four numbers of a plane"),
        ("Plane4.mat", {"P": np.array([0, np.nan, 1, 0])}, "four numbers of a plane"),
        (
            "ObsMask4_10.mat",
            {"BB": np.array([[9.0, 9, 9], [0, 0, 0]])},
            "first corner of a box, then the last",
        ),
    ],
)
def test_values_that_judge_nothing_are_refused(
    root: Path, file: str, change: dict[str, np.ndarray], words: str
) -> None:
    path = root / "ObsMask" / file
    content = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    savemat(path, content | change)

    with pytest.raises(InputError, match=words):
        DtuScan.read(root, 4)


def test_the_mean_is_over_scans(root: Path) -> None:
    near, far = score(root, top(z=101.0)), score(root, top(z=103.0))

    assert mean_scores([near, far])["accuracy"] == pytest.approx(2.0)


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_clouds_are_read_from_text_and_binary(tmp_path, encoding):
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    trimesh.PointCloud(points).export(tmp_path / "cloud.ply", encoding=encoding)

    np.testing.assert_allclose(read_cloud(tmp_path / "cloud.ply"), points, atol=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no cloud",
        b"ply\nformat ascii 1.0\nend_header\n",
        b"ply\nformat binary_little_endian 1.0\n"
        b"element vertex 9\nproperty float x\nproperty float y\nproperty float z\nend_header\n\0\0",
    ],
)
def test_damaged_clouds_are_refused_by_name(tmp_path, content):
    (tmp_path / "cloud.ply").write_bytes(content)

    with pytest.raises(InputError, match=r"cloud\.ply (is not a readable PLY file|has no points)"):
        read_cloud(tmp_path / "cloud.ply")
    with pytest.raises(InputError, match=r"none\.ply is missing"):
        read_cloud(tmp_path / "none.ply")
