"""Points from matches of all pixels lie on the surfaces, as exactly as pixels are fine."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sfm.cli import main
from sfm.errors import ReconstructionError
from sfm.exports.exporting import export
from sfm.exports.source import DepthOptions
from sfm.geometry.pixel_points import PixelPoints
from sfm.mast3r.oracle.oracle_scene import load_scene
from tests.exports.rendered import UNIT_M, off_surfaces, room, workspace, world
from tests.exports.test_views import cloud


def footprints(points: np.ndarray, scene: Path, focal_px: float) -> np.ndarray:
    """What a network pixel of the nearest photo covers at world points (N, 3), metres.

    Args:
        focal_px: of the photos at the network's size.
    """
    eyes = np.array([-view.rotation.T @ view.translation for view in load_scene(scene).values()])
    distance: np.ndarray = np.linalg.norm(points[:, None] - eyes, axis=2).min(axis=1)
    return distance / focal_px


@pytest.fixture(scope="module")
def dense(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with defaults; `right` is stored turned by a quarter."""
    out = tmp_path_factory.mktemp("dense") / "out"
    workspace(scene, out, orientations={"right.jpg": 6})
    return export(out, to="dense")


def test_points_are_exact_to_half_a_pixels_footprint(dense: Path, scene: Path) -> None:
    found = world(cloud(dense)[0])

    assert len(found) > 10_000
    assert np.median(off_surfaces(found) / footprints(found, scene, 104.0)) < 0.5


def test_the_summary_counts_what_was_left_out(dense: Path) -> None:
    summary = json.loads((dense / "dense.json").read_text())
    points = summary["points"]

    assert points["written"] == len(cloud(dense)[0])
    assert points["triangulated_pixels"] >= points["written"]
    assert summary["photos"] + len(summary["without_points"]) == 6
    assert summary["without_points"] == {"away.jpg": "no photo of the model matches it"}
    assert (dense / "scene.glb").stat().st_size > 100_000
    assert not [path for path in dense.iterdir() if path.name.startswith("tmp")]


def only(model: pycolmap.Reconstruction, out: Path, *names: str) -> None:
    """Keep these photos alone in the model."""
    for image in list(model.images.values()):
        if image.name not in names:
            model.deregister_frame(image.frame_id)
    model.write(out / "sparse" / "0")


def test_wrong_poses_leave_no_points(scene: Path, tmp_path: Path) -> None:
    """A photo whose pose is off by a metre agrees with none of its partners."""
    out = tmp_path / "out"
    model = workspace(scene, out)
    only(model, out, "left.jpg", "right.jpg", "above.jpg", "close.jpg")
    (image,) = (image for image in model.images.values() if image.name == "left.jpg")
    moved = image.cam_from_world()
    moved.translation = moved.translation + np.array([0, 1.0, 0]) / UNIT_M
    model.frame(image.frame_id).set_cam_from_world(image.camera_id, moved)
    model.write(out / "sparse" / "0")

    folder = export(out, to="dense")

    assert "left.jpg" in json.loads((folder / "dense.json").read_text())["without_points"]


def test_a_model_whose_photos_show_nothing_in_common_has_no_points(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    only(workspace(scene, out), out, "away.jpg", "left.jpg")

    with pytest.raises(ReconstructionError, match="no photo of the model has points"):
        export(out, to="dense")


def test_the_command_writes_into_the_workspace(scene: Path, tmp_path: Path) -> None:
    only(workspace(scene, tmp_path / "out"), tmp_path / "out", "left.jpg", "right.jpg", "above.jpg")

    result = CliRunner().invoke(
        main, ["dense", str(tmp_path / "out"), "--partners", "2", "--points", "3000", "--network-size"]
    )

    assert result.exit_code == 0, result.output
    assert len(cloud(tmp_path / "out" / "export" / "dense")[0]) <= 3000


def test_large_photos_are_matched_in_windows(tmp_path: Path) -> None:
    """At full size, twice the network's, there are more points, exact to less than half a network pixel's
    footprint in the mean, which is what DTU calls accuracy."""
    out = tmp_path / "out"
    room(tmp_path / "scene", width=256)
    only(workspace(tmp_path / "scene", out), out, "left.jpg", "right.jpg", "above.jpg")

    off = {}
    for full_size in (False, True):
        options = DepthOptions(full_size=full_size)
        folder = export(out, to="dense", depth=options)
        found = world(cloud(folder)[0])
        off[full_size] = len(found), off_surfaces(found) / footprints(found, tmp_path / "scene", 65.0)

    assert off[True][0] > 2 * off[False][0]
    assert np.median(off[True][1]) < np.median(off[False][1])
    assert np.mean(off[True][1]) < 0.5


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_exact_matches_give_exact_points(seed: int, num_partners: int) -> None:
    rng = np.random.default_rng(seed)
    xyz = rng.uniform((-1, -1, 4), (1, 1, 6), (6, 3))
    eyes = rng.normal(0, (1, 1, 0.2), (1 + num_partners, 3))
    projections = [np.diag([300.0, 310.0, 1.0]) @ np.column_stack((np.eye(3), -eye)) for eye in eyes]
    seen = [(projection @ np.column_stack((xyz, np.ones(6))).T).T for projection in projections]
    positions = [local[:, :2] / local[:, 2:] for local in seen]
    points = PixelPoints(8)
    for projection, where in zip(projections[1:], positions[1:], strict=True):
        known = np.where(np.arange(6)[:, None] == 5, np.nan, where)
        points.add(np.arange(6), (projections[0], projection), (positions[0], known), rng.uniform(1, 9, 6))

    np.testing.assert_allclose(points.points()[:5], xyz[:5], atol=1e-5)
    assert np.isnan(points.points()[5:]).all()
    assert points.num_partners.tolist() == [num_partners] * 5 + [0] * 3


class _Told:
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.tasks: dict[str, list[int]] = {}

    @contextmanager
    def task(self, title: str, total: int, *, unit: str = "") -> Iterator["_Counted"]:
        self.tasks[f"{title} {unit}"] = counts = [total]
        yield _Counted(counts)


class _Counted:
    def __init__(self, counts: list[int]) -> None:
        self.counts = counts

    def advance(self, steps: int = 1) -> None:
        if steps:
            self.counts.append(steps)


@pytest.mark.parametrize("full_size", [False, True])
def test_progress_counts_every_pair_of_a_photo(full_size: bool, scene: Path, tmp_path: Path) -> None:
    """Pairs, since those of a first photo alone take minutes on a CPU."""
    told = _Told()
    workspace(scene, tmp_path / "out")

    options = DepthOptions(full_size=full_size, pairs_per_view=3)
    export(tmp_path / "out", to="dense", depth=options, progress=told)

    total, *steps = told.tasks["triangulate pairs"]
    assert total == sum(steps)
    assert total > 6  # photos
    assert len(steps) > 6


@pytest.mark.parametrize("command", ["dense", "export"])
def test_threads_are_those_asked_for(
    command: str, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(scene, tmp_path / "out")
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    words = ("--to", "views") if command == "export" else ("--network-size", "--partners", "2")

    done = CliRunner().invoke(main, [command, str(tmp_path / "out"), *words, "--threads", "3", "--quiet"])

    assert done.exit_code == 0, done.stderr
    assert told[0] == 3  # searches take one for themselves for a while


def test_photos_are_undistorted_by_the_threads_asked_for(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(scene, tmp_path / "out")
    told: list[object] = []
    made = pycolmap.undistort_images

    def remembered(*arguments: object, **options: object) -> None:
        told.append(options["num_threads"])
        made(*arguments, **options)

    monkeypatch.setattr(pycolmap, "undistort_images", remembered)
    for number, threads in enumerate((["--threads", "1"], [])):
        folder = tmp_path / str(number)
        words = ["export", str(tmp_path / "out"), "--to", "3dgs", "-d", str(folder), "--quiet", *threads]
        assert CliRunner().invoke(main, words).exit_code == 0

    assert told == [1, -1]
