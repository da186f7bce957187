"""Depth images, and what is left out or refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sfm.cli import main
from sfm.errors import ConfigError, InputError, ReconstructionError, WeightsError
from sfm.exports.dense_cloud import Cloud
from sfm.exports.depth_set import Fit, ViewRecord
from sfm.exports.exporting import export
from sfm.exports.source import DepthOptions
from sfm.exports.view_files import png_unit
from sfm.exports.views import _warn_of_nothing
from tests.exports.rendered import UNIT_M, description, maps, off_surfaces, workspace, world


def test_a_photo_that_shares_nothing_is_left_out_with_the_reason(scene: Path, tmp_path: Path) -> None:
    model = workspace(scene, tmp_path / "out")
    away = next(image for image in model.images.values() if image.name == "away.jpg")
    for index in [i for i, p in enumerate(away.points2D) if p.has_point3D()]:
        model.delete_observation(away.image_id, index)
    model.write(tmp_path / "out" / "sparse" / "0")

    folder = export(tmp_path / "out", to="views")

    summary = json.loads((folder / "views.json").read_text())
    assert "no other photo" in summary["without_depth"]["away.jpg"]
    assert not (folder / "depth" / "away.npy").exists()


def test_without_weights_it_says_that_the_network_is_needed(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(scene, tmp_path / "out")
    (tmp_path / "out" / "run.json").write_text(json.dumps({"backend": "sift", "config": {"backend": "sift"}}))
    monkeypatch.setenv("LOOPSFM_WEIGHTS", str(tmp_path / "nothing"))

    with pytest.raises(WeightsError, match=r"depth comes from the mast3r network: .*not found") as caught:
        export(tmp_path / "out", to="views")

    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert not (tmp_path / "out" / "export" / "views").exists()


def test_a_model_made_with_sift_gets_depth_all_the_same(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")
    (tmp_path / "out" / "run.json").unlink()
    overrides = (f"internal.mast3r.oracle={scene}", "mast3r.image_size=128")

    folder = export(tmp_path / "out", to="views", depth=DepthOptions(overrides=overrides))

    assert maps(folder, "left")[0].shape == (96, 128)


def test_a_model_that_contradicts_all_depth_is_named(scene: Path, tmp_path: Path) -> None:
    model = workspace(scene, tmp_path / "out")
    rng = np.random.default_rng(0)
    for point in model.points3D.values():
        point.xyz = point.xyz + rng.normal(0, 30, 3)
    model.write(tmp_path / "out" / "sparse" / "0")

    with pytest.raises(ReconstructionError, match="no photo's depth agrees with the model"):
        export(tmp_path / "out", to="views")


def test_a_photo_that_has_gone_is_named(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")
    (tmp_path / "out" / "images" / "left.jpg").unlink()

    with pytest.raises(InputError, match=r"left\.jpg: the photo is gone"):
        export(tmp_path / "out", to="views")

    assert not (tmp_path / "out" / "export" / "views").exists()


def test_a_photo_that_is_damaged_is_left_out_with_the_reason(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")
    photo = tmp_path / "out" / "images" / "left.jpg"
    whole = photo.read_bytes()
    photo.unlink()
    photo.write_bytes(whole[: len(whole) // 2])

    folder = export(tmp_path / "out", to="views")

    summary = json.loads((folder / "views.json").read_text())
    assert "truncated" in summary["without_depth"]["left.jpg"]
    assert "left.jpg" not in description(folder, "right")["partners"]


def test_the_command_replaces_its_own_export_alone(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")
    command = ["export", str(tmp_path / "out"), "--to", "views", "-q", "--points", "500"]
    for _ in range(2):
        done = CliRunner().invoke(main, command)
        assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "out" / "export" / "views"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")

    refused = CliRunner().invoke(main, [*command, "-d", str(tmp_path / "mine")])

    assert refused.exit_code == 5
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--min-confidence", "1e9"], "no pixel of any photo has a confidence of 1e+09: the cloud is empty"),
        (["--as", "mesh", "--points", "1"], "the mesh has no triangle, so that scene.glb shows points"),
    ],
)
def test_a_scene_of_nothing_is_told_of(
    scene: Path, tmp_path: Path, options: list[str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    workspace(scene, tmp_path / "out")

    done = CliRunner().invoke(main, ["export", str(tmp_path / "out"), "--to", "views", *options])

    assert done.exit_code == 0
    assert words in caplog.text
    assert (tmp_path / "out" / "export" / "views" / "scene.glb").is_file()


def test_a_cloud_of_conflicts_alone_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    none = np.zeros((0, 3), np.float32)
    cloud = Cloud(none, none.astype(np.uint8), none[:, 0], 50, 20, 30, 0.0)

    _warn_of_nothing(cloud, None, DepthOptions())

    assert "of 50 confident pixels 20 lie at a jump in depth and 30 before what another photo" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "ply", "--full-size"], "ply has no depth"),
        (["--to", "nerfstudio", "--metres"], "only views can be in metres"),
        (["--to", "3dgs", "--frame", "first-camera"], "3dgs has no scene.glb\nhint: take views or dense"),
        (["--to", "views", "--camera-size", "inf"], "camera_size must be finite"),
        (["--to", "txt", "elsewhere"], "unexpected argument 'elsewhere'"),
        (["--to", "views", "mast3r.size=3"], "mast3r.size"),
        (["--to", "views", "--pairs-per-view", "0"], "pairs-per-view"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    scene: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    workspace(scene, tmp_path / "out")

    done = CliRunner().invoke(main, ["export", str(tmp_path / "out"), *arguments])

    assert done.exit_code == 2
    assert words in done.stderr


def test_numbers_out_of_range_are_refused() -> None:
    for options in ({"max_points": 0}, {"pairs_per_view": 0}, {"min_confidence": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            DepthOptions(**options)


def record(typical: float, far: float) -> ViewRecord:
    return ViewRecord(1, "a", (), Fit(1.0, 0.0, True, 20, 0.0), typical, far)


@given(st.floats(1e-9, 1e9), st.floats(1.0, 50.0))
def test_png_steps_reach_far_enough_and_are_fine_enough(typical: float, ratio: float) -> None:
    far = typical * ratio

    unit = png_unit([record(typical, far)])

    assert far <= unit * 65535 * (1 + 1e-9)
    assert unit <= max(typical / 1000, far / 65535 * 5) * (1 + 1e-9)


def test_png_steps_are_millimetres_where_they_serve() -> None:
    assert png_unit([record(3.0, 12.0), record(1.5, 64.0)]) == 0.001
    assert png_unit([record(3.0, 70.0)]) == pytest.approx(0.002)
    assert png_unit([record(0.01, 0.06)]) == pytest.approx(1e-6)
    assert png_unit([record(float("nan"), float("nan"))]) == 0.001
    assert png_unit([]) == 0.001


def test_nerfstudio_gets_depth_of_every_photo(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out", orientations={"right.jpg": 6})

    folder = export(tmp_path / "out", to="nerfstudio", depth=DepthOptions())

    transforms = json.loads((folder / "transforms.json").read_text())
    assert transforms["depth_unit_scale_factor"] == 0.001
    assert len(transforms["frames"]) == 6
    for frame in transforms["frames"]:
        with Image.open(folder / frame["depth_file_path"]) as image:
            steps = np.array(image)
        assert steps.shape == (frame["h"], frame["w"])
        truth = np.load(scene / "depth" / f"{Path(frame['file_path']).stem}.jpg.npy")
        truth = np.rot90(truth) if frame["file_path"] == "images/right.jpg" else truth
        good = (steps > 0) & (truth > 0)
        if "away" not in frame["file_path"]:
            assert good.mean() > 0.4
            assert np.median(np.abs(steps[good] * 0.001 * UNIT_M / truth[good] - 1)) < 0.02


def test_nerfstudio_gets_depth_of_undistorted_photos(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out", camera_model="FULL_OPENCV")

    folder = export(tmp_path / "out", to="nerfstudio", depth=DepthOptions())

    transforms = json.loads((folder / "transforms.json").read_text())
    frame = next(f for f in transforms["frames"] if "left" in f["file_path"])
    with Image.open(folder / frame["depth_file_path"]) as image:
        depth = np.array(image) * transforms["depth_unit_scale_factor"]
    assert depth.shape == (frame["h"], frame["w"]) != (120, 160)
    rows, columns = np.nonzero(depth)
    rays = np.column_stack(
        [
            (columns + 0.5 - frame["cx"]) / frame["fl_x"],
            -(rows + 0.5 - frame["cy"]) / frame["fl_y"],
            -np.ones(len(rows)),
        ]
    )
    pose = np.array(frame["transform_matrix"])
    turned = (rays * depth[rows, columns, None]) @ pose[:3, :3].T + pose[:3, 3]
    points = turned @ np.array(transforms["applied_transform"])[:, :3]
    assert len(points) > 0.4 * depth.size
    assert np.median(off_surfaces(world(points))) < 0.05
    assert np.quantile(off_surfaces(world(points)), 0.9) < 0.25
