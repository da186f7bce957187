"""Points against scans: by hand, against loops, and through a model in a frame of its own."""

import json
import math
import re
import sys
from dataclasses import replace

import against_scans
import numpy as np
import pycolmap
import pytest
import trimesh
from metrics.clouds import read_cloud, read_crop
from metrics.model_figures import model_figures
from metrics.points import score_points, thinned
from metrics.scan_scores import distances_of, scan_scores
from page.results import read_results
from photo_sets import load_scene
from report import write_report

from sfm.errors import InputError
from tests.tools import fabricate


def test_accuracy_completeness_and_f_score_by_hand():
    scan = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])
    points = np.array([[0.05, 0, 0], [1.0, 0.3, 0]])

    (near, far) = score_points(points, scan, [0.1, 0.5])

    # Within 0.1: one of two points, one of four of the scan; F = 2 * 50 * 25 / 75.
    assert (near.accuracy, near.completeness) == (50.0, 25.0)
    assert near.f_score == pytest.approx(100 / 3)
    assert (far.accuracy, far.completeness, far.f_score) == (100.0, 50.0, pytest.approx(200 / 3))


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_their_definition_in_loops(seed):
    rng = np.random.default_rng(seed)
    points, scan = rng.normal(size=(rng.integers(1, 30), 3)), rng.normal(size=(rng.integers(1, 30), 3))

    for score in score_points(points, scan, [0.3, 1.0]):
        hits = [
            sum(min(math.dist(a, b) for b in y) < score.distance for a in x) / len(x)
            for x, y in ((points, scan), (scan, points))
        ]
        assert score.accuracy == pytest.approx(100 * hits[0], abs=1e-9)
        assert score.completeness == pytest.approx(100 * hits[1], abs=1e-9)


def test_thinning_leaves_the_mean_of_each_cell():
    points = np.array([[0.1, 0.1, 0.1], [0.3, 0.5, 0.7], [1.5, 0, 0], [-0.5, 0, 0]])

    found = thinned(points, 1.0)

    assert sorted(map(tuple, found.round(9))) == [(-0.5, 0, 0), (0.2, 0.3, 0.4), (1.5, 0, 0)]


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


def crop(file, **changes):
    corners = [[0, 0, 0], [4, 0, 0], [4, 4, 0], [2, 1, 0], [0, 4, 0]]  # a notch comes down to (2, 1)
    content = {"orthogonal_axis": "Z", "axis_min": -1, "axis_max": 2, "bounding_polygon": corners, **changes}
    file.write_text(json.dumps(content))
    return file


def test_a_volume_holds_what_its_polygon_and_its_ends_hold(tmp_path):
    volume = read_crop(crop(tmp_path / "Barn.json"))
    points = np.array([[1, 0.5, 0], [1, 0.5, 2.5], [2, 3, 0], [3.9, 3, 0], [-1, 1, 0], [2, 0.9, -1]])

    assert volume.holds(points).tolist() == [True, False, False, True, False, True]


def test_the_other_axes_keep_their_order(tmp_path):
    corners = [[1, 0, 0], [1, 0, 8], [3, 0, 8], [3, 0, 0]]
    volume = read_crop(crop(tmp_path / "Barn.json", orthogonal_axis="Y", bounding_polygon=corners))

    assert volume.holds(np.array([[2, 0, 7], [7, 0, 2], [2, 5, 7]])).tolist() == [True, False, False]


@pytest.mark.parametrize(
    "changes",
    [
        {"orthogonal_axis": "W"},
        {"axis_min": None},
        {"bounding_polygon": [[0, 0, 0]]},
        {"bounding_polygon": [[0, 0], [1, 1], [2, 0]]},
    ],
)
def test_other_volumes_are_refused_by_name(tmp_path, changes):
    with pytest.raises(InputError, match=r"Barn\.json"):
        read_crop(crop(tmp_path / "Barn.json", **changes))


@pytest.fixture
def with_scan(tmp_path):
    """A scene of Tanks and Temples with a scan that is the points of a model, that model elsewhere."""
    made = fabricate.colmap_binary(tmp_path, "made", "model")
    model = pycolmap.Reconstruction(made.folder / "sparse" / "0")
    folder = tmp_path / "tanks_and_temples" / "Square"
    names = [f"{i + 1:06d}.jpg" for i in range(6)]
    fabricate.write_photos(folder, names)
    log = ""
    for i, (name, pose) in enumerate(zip(names, made.poses.values(), strict=True)):
        matrix = np.vstack([pose.inverse().matrix(), [0, 0, 0, 1]])
        log += f"{i} {i} 0\n" + "".join(fabricate.numbers(row) + "\n" for row in matrix)
        next(image for image in model.images.values() if image.name == list(made.poses)[i]).name = name
    (folder / "Square_COLMAP_SfM.log").write_text(log)
    world = pycolmap.Sim3d(2.0, pycolmap.Rotation3d(np.array([0.1, 0.2, 0.3])), np.array([5.0, 6, 7]))
    rows = [*world.matrix(), [0, 0, 0, 1]]
    (folder / "Square_trans.txt").write_text("".join(fabricate.numbers(row) + "\n" for row in rows))
    points = np.array([point.xyz for point in model.points3D.values()])
    seen = np.array([world * point for point in points])
    trimesh.PointCloud(seen).export(folder / "Square.ply")
    model.transform(pycolmap.Sim3d(0.3, pycolmap.Rotation3d(np.array([1.0, 0, 0])), np.ones(3)))
    (tmp_path / "moved").mkdir()
    model.write_binary(tmp_path / "moved")
    return tmp_path, folder, seen


def test_a_model_is_brought_to_the_scan_whatever_its_frame(with_scan):
    root, _, _ = with_scan
    scene = load_scene("tanks_and_temples:Square", root)

    (score,) = scan_scores(scene, root / "moved", [0.01])

    assert distances_of(replace(scene, scene="Ignatius")) == (0.003,)
    assert (score.accuracy, score.completeness, score.f_score) == (100.0, 100.0, 100.0)


def test_points_and_scan_are_cut_to_the_volume_of_the_scene(with_scan):
    root, folder, seen = with_scan
    low = float(np.median(seen[:, 2]))
    trimesh.PointCloud(seen[seen[:, 2] > low]).export(folder / "Square.ply")
    whole = scan_scores(load_scene("tanks_and_temples:Square", root), root / "moved", [0.01])
    square = [[-1e4, -1e4, 0], [1e4, -1e4, 0], [1e4, 1e4, 0], [-1e4, 1e4, 0]]
    crop(folder / "Square.json", axis_min=low + 1e-6, axis_max=1e4, bounding_polygon=square)

    cut = scan_scores(load_scene("tanks_and_temples:Square", root), root / "moved", [0.01])

    assert whole[0].accuracy == pytest.approx(50, abs=11)
    assert (cut[0].accuracy, cut[0].completeness) == (100.0, 100.0)


def test_the_command_prints_figures_and_refuses_scenes_without_scans(with_scan, monkeypatch, capsys):
    root, folder, _ = with_scan
    arguments = ["against_scans.py", "tanks_and_temples:Square", str(root / "moved"), "--datasets", str(root)]

    monkeypatch.setattr(sys, "argv", [*arguments, "--json"])
    against_scans.main()
    content = json.loads(capsys.readouterr().out)
    monkeypatch.setattr(sys, "argv", arguments)
    against_scans.main()

    assert content["model"]["registered"] == 6
    assert content["scores"][0]["f_score"] == 100.0
    assert "within 0.01 m: accuracy 100.00 %" in capsys.readouterr().out
    (folder / "Square.ply").unlink()
    with pytest.raises(SystemExit, match="has no scans"):
        against_scans.main()


def test_the_page_shows_the_scores_that_the_command_keeps(with_scan, monkeypatch, tmp_path):
    root, _, _ = with_scan
    arguments = ["against_scans.py", "tanks_and_temples:Square", str(root / "moved"), "--datasets", str(root)]
    kept = tmp_path / "scans.json"
    monkeypatch.setattr(sys, "argv", [*arguments, "--engine", "theirs", "--seed", "2", "--out", str(kept)])

    against_scans.main()
    results = read_results([kept])
    page = write_report(results, tmp_path / "report").read_text()

    (row,) = results.scans
    section = page.split('<section id="scans">')[1].split("</section>")[0]
    cells = re.findall(r'<td(?: class="n")?>([^<]*)</td>', section)
    assert (row.seed, row.scores[0].f_score) == (2, 100.0)
    assert cells[:3] == ["tanks_and_temples-Square", "theirs", "6"]
    assert cells[5:8] == ["100.0", "100.0", "100.0"]
    assert "| theirs" in (tmp_path / "report" / "results.md").read_text()


def test_figures_of_a_model_equal_their_definition_in_loops(tmp_path):
    made = fabricate.colmap_binary(tmp_path)
    folder = made.folder / "sparse" / "0"
    model = pycolmap.Reconstruction(folder)
    rng = np.random.default_rng(0)
    for image in model.images.values():  # errors to measure
        for point in image.points2D:
            point.xy = point.xy + rng.normal(size=2)
    model.write_binary(folder)
    means, observations = [], 0
    for point in model.points3D.values():
        errors = []
        for element in point.track.elements:
            image = model.image(element.image_id)
            seen = image.camera.img_from_cam(image.cam_from_world() * point.xyz)
            errors.append(math.dist(seen, image.points2D[element.point2D_idx].xy))
        means.append(sum(errors) / len(errors))
        observations += len(errors)

    found = model_figures(folder)

    assert (found.registered, found.points) == (6, len(means))
    assert found.mean_track_length == pytest.approx(observations / len(means), abs=1e-9)
    assert found.mean_reprojection_px == pytest.approx(sum(means) / len(means), abs=1e-9)
    assert found.mean_reprojection_px > 0.5
