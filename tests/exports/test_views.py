"""Depth, confidence and cloud are those of the scene, in the unit and at the pixels that the files say."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest
from PIL import Image

import sfm
from sfm.exports.exporting import export
from sfm.exports.source import DepthOptions
from sfm.mast3r.network.predictor import DecodedPairs
from sfm.mast3r.oracle.oracle import OraclePredictor
from sfm.mast3r.oracle.oracle_scene import load_scene
from tests.exports.rendered import (
    BOX,
    GROUND,
    UNIT_M,
    WALL,
    description,
    maps,
    off_surfaces,
    workspace,
    world,
)

SEEN = ("above", "close", "left", "right", "upright")


@pytest.fixture(scope="module")
def exported(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with defaults; `right` is stored turned by a quarter."""
    out = tmp_path_factory.mktemp("run") / "out"
    workspace(scene, out, orientations={"right.jpg": 6})
    return export(out, to="views")


def model_points(folder: Path, name: str) -> np.ndarray:
    """Points (H, W, 3) of the model, from a view's files alone."""
    about, (depth, _) = description(folder, name), maps(folder, name)
    assert depth.shape == (about["height"], about["width"])
    x, y = np.meshgrid(np.arange(about["width"]) + 0.5, np.arange(about["height"]) + 0.5)
    pixels = np.stack([x, y], axis=-1).reshape(-1, 2)
    positions = pixels * about["photo_from_pixel"]["scale"] + about["photo_from_pixel"]["offset"]
    camera = pycolmap.Camera(about["photo_camera"])
    rays = np.column_stack([camera.cam_from_img(positions), np.ones(len(positions))])
    pose = np.array(about["cam_from_world"])
    return ((rays * depth.reshape(-1, 1) - pose[:, 3]) @ pose[:, :3]).reshape(*depth.shape, 3)


def cloud(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    header, body = (folder / "points.ply").read_bytes().split(b"end_header\n", 1)
    vertices = np.frombuffer(body, np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]))
    assert f"element vertex {len(vertices)}\n".encode() in header
    return vertices["xyz"].astype(float), vertices["rgb"]


@pytest.mark.parametrize("name", SEEN)
def test_depth_is_that_of_the_scene_in_the_models_unit(exported: Path, scene: Path, name: str) -> None:
    points, (depth, confidence) = model_points(exported, name), maps(exported, name)
    good = (depth > 0) & (confidence >= 1.5)
    eye = -load_scene(scene)[f"{name}.jpg"].rotation.T @ load_scene(scene)[f"{name}.jpg"].translation

    found = world(points[good])
    off = off_surfaces(found) / np.linalg.norm(found - eye, axis=1)

    assert depth.dtype == confidence.dtype == np.float32
    assert 0.5 < good.mean() < 1
    assert np.median(off) < 0.01
    assert np.quantile(off, 0.9) < 0.03


def test_a_photo_stored_turned_has_its_depth_turned_too(exported: Path) -> None:
    about = description(exported, "right")

    assert (about["width"], about["height"]) == (96, 128)
    assert (about["photo_camera"]["width"], about["photo_camera"]["height"]) == (120, 160)
    assert (description(exported, "left")["width"], description(exported, "left")["height"]) == (128, 96)


def test_intrinsics_are_those_of_the_maps_pixels(exported: Path) -> None:
    about = description(exported, "left")

    assert about["intrinsics"] == pytest.approx({"fl_x": 104, "fl_y": 104, "cx": 64, "cy": 48})
    assert about["partners"][0] in {"above.jpg", "right.jpg", "upright.jpg"}
    assert about["fit"]["own"]
    assert about["fit"]["median_error"] < 0.02


def test_the_summary_says_what_unit_and_how_many_metres(exported: Path) -> None:
    summary = json.loads((exported / "views.json").read_text())

    assert summary["unit"] == "unit of the model"
    assert summary["metres_per_model_unit"] == pytest.approx(UNIT_M, rel=0.03)
    assert set(summary["views"]) | set(summary["without_depth"]) == {f"{n}.jpg" for n in (*SEEN, "away")}
    marker = json.loads((exported / "loopsfm_export.json").read_text())
    assert marker["photos"]["left"] == "left.jpg"
    assert not [path for path in exported.iterdir() if path.name.startswith("tmp")]


@pytest.mark.parametrize("name", SEEN)
def test_png_files_hold_the_confident_depth_to_half_a_step(exported: Path, name: str) -> None:
    depth, confidence = maps(exported, name)
    unit = description(exported, name)["png_unit"]
    with Image.open(exported / "depth" / f"{name}.png") as image:
        steps = np.array(image)
    with Image.open(exported / "confidence" / f"{name}.png") as image:
        preview = np.array(image).astype(float)

    wanted = (depth > 0) & (confidence >= 1.5)
    assert steps.dtype == np.uint16
    assert unit == 0.001
    assert not steps[~wanted].any()
    kept = wanted & (steps > 0)
    np.testing.assert_allclose(steps[kept] * unit, depth[kept], atol=unit / 2 * 1.001)
    assert (wanted & ~kept).sum() == description(exported, name)["num_too_far_for_png"] == 0
    np.testing.assert_allclose(preview, 255 * (1 - 1 / confidence), atol=0.51)


def test_the_cloud_lies_on_the_surfaces_in_their_colours(exported: Path) -> None:
    xyz, rgb = cloud(exported)
    found = world(xyz)
    x, y, z = found.T

    assert len(xyz) > 20_000
    assert np.quantile(off_surfaces(found), 0.95) < 0.12
    assert off_surfaces(found).max() < 0.5
    for where, colour in (
        ((np.abs(z) < 0.05) & (y < 1), GROUND),
        ((np.abs(y - 5) < 0.1) & (z > 1.4), WALL),
        ((np.abs(y - 1.5) < 0.05) & (z > 0.2) & (z < 1.0) & (np.abs(x) < 0.6), BOX),
    ):
        assert where.sum() > 300
        # Light falls on surfaces differently; the hue stays.
        shown = rgb[where].astype(float).mean(axis=0)
        assert np.argmax(shown) == np.argmax(colour)


def test_the_cloud_keeps_to_its_bound(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")

    folder = export(tmp_path / "out", to="views", depth=DepthOptions(max_points=3000))

    xyz, _ = cloud(folder)
    assert 1500 < len(xyz) <= 3000
    assert json.loads((folder / "views.json").read_text())["points"]["voxel"] > 0
    assert np.quantile(off_surfaces(world(xyz)), 0.95) < 0.12


def test_min_confidence_leaves_out_what_is_below(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")
    sizes = {}
    for least in (1.0, 3.0, 8.0):
        folder = export(tmp_path / "out", to="views", depth=DepthOptions(min_confidence=least))
        sizes[least] = len(cloud(folder)[0])
        depth, confidence = maps(folder, "left")
        with Image.open(folder / "depth" / "left.png") as image:
            np.testing.assert_array_equal(np.array(image) > 0, (depth > 0) & (confidence >= least))

    assert sizes[1.0] > sizes[3.0] > sizes[8.0] > 0


def test_full_size_overlays_the_photo(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out", orientations={"right.jpg": 6})

    folder = export(tmp_path / "out", to="views", depth=DepthOptions(full_size=True))

    for name in SEEN:
        truth = np.load(scene / "depth" / f"{name}.jpg.npy")
        if name == "right":
            truth = np.rot90(truth)
        depth, confidence = maps(folder, name)
        assert depth.shape == truth.shape
        assert description(folder, name)["photo_from_pixel"] == {"scale": [1, 1], "offset": [0, 0]}
        good = (depth > 0) & (confidence >= 1.5) & (truth > 0)
        assert good.mean() > 0.5
        error = np.abs(depth[good] * UNIT_M / truth[good] - 1)
        assert np.median(error) < 0.02
        assert np.quantile(error, 0.9) < 0.05


def test_depth_in_metres_has_poses_in_metres(scene: Path, tmp_path: Path) -> None:
    model = workspace(scene, tmp_path / "out")

    folder = export(tmp_path / "out", to="views", depth=DepthOptions(metres=True, full_size=True))

    truth = np.load(scene / "depth" / "left.jpg.npy")
    depth, confidence = maps(folder, "left")
    good = (depth > 0) & (confidence >= 1.5) & (truth > 0)
    assert np.median(np.abs(depth[good] / truth[good] - 1)) < 0.03
    about = description(folder, "left")
    summary = json.loads((folder / "views.json").read_text())
    left = next(image for image in model.images.values() if image.name == "left.jpg")
    expected = left.cam_from_world().matrix()[:, 3] * summary["metres_per_model_unit"]
    assert summary["unit"] == "m"
    np.testing.assert_allclose(np.array(about["cam_from_world"])[:, 3], expected)


def test_a_model_that_the_run_has_scaled_to_metres_is_said_to_be(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")
    events = [{"stage": "register", "event": "metric_scale", "model": model} for model in (1, 0)]
    lines = "\n".join(json.dumps(event) for event in events[:1])
    for content, unit in ((lines, "unit of the model"), (lines + "\n" + json.dumps(events[1]), "m")):
        (tmp_path / "out" / "events.jsonl").write_text(content)
        folder = export(tmp_path / "out", to="views")
        assert json.loads((folder / "views.json").read_text())["unit"] == unit


def test_a_photo_with_too_few_points_takes_the_scale_of_the_others(scene: Path, tmp_path: Path) -> None:
    model = workspace(scene, tmp_path / "out")
    close = next(image for image in model.images.values() if image.name == "close.jpg")
    for index in [i for i, p in enumerate(close.points2D) if p.has_point3D()][5:]:
        model.delete_observation(close.image_id, index)
    model.write(tmp_path / "out" / "sparse" / "0")

    folder = export(tmp_path / "out", to="views")

    fit = description(folder, "close")["fit"]
    assert (fit["own"], fit["num_points"]) == (False, 5)
    depth, confidence = maps(folder, "close")
    found = world(model_points(folder, "close")[(depth > 0) & (confidence >= 1.5)])
    assert np.median(off_surfaces(found)) < 0.15


def test_points_that_others_see_past_are_removed(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(scene, tmp_path / "out")
    real = OraclePredictor.decode

    def with_blob(self: OraclePredictor, first: list, second: list) -> DecodedPairs:
        pairs = real(self, first, second)
        if first[0].name != "left.jpg":
            return pairs
        points, confidence = pairs.points(1)
        points[:, 30:60, 40:80] *= 0.5
        confidence[:, 30:60, 40:80] = 1.6
        return SimpleNamespace(points=lambda view: (points, confidence))

    monkeypatch.setattr(OraclePredictor, "decode", with_blob)
    folder = export(tmp_path / "out", to="views")

    counts = json.loads((folder / "views.json").read_text())["points"]
    assert counts["left_out_as_conflicting"] > 600
    assert (off_surfaces(world(cloud(folder)[0])) > 0.6).sum() < 60


def test_nothing_is_said_about_what_is_masked(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    workspace(scene, out, images={"masks": str(tmp_path / "masks")})
    mask = np.full((120, 160), 255, np.uint8)
    mask[:, :80] = 0
    (out / "cache" / "masks").mkdir(parents=True)
    Image.fromarray(mask).save(out / "cache" / "masks" / "left.jpg.png")

    folder = export(out, to="views")

    depth, _ = maps(folder, "left")
    assert not depth[:, :63].any()
    assert (depth[50:, 65:] > 0).all()


@pytest.mark.slow
def test_depth_of_a_whole_run_is_in_metres(scene: Path, tmp_path: Path) -> None:
    options = ["backend=mast3r", f"internal.mast3r.oracle={scene}", "mast3r.image_size=128"]
    config = sfm.load_config(overrides=options)

    result = sfm.run(scene / "images", output=tmp_path / "out", config=config)
    folder = export(tmp_path / "out", to="views", depth=DepthOptions(full_size=True))

    assert result.models[0].num_reg_images() >= 5
    summary = json.loads((folder / "views.json").read_text())
    assert summary["unit"] == "m"
    for name in SEEN:
        truth, (depth, confidence) = np.load(scene / "depth" / f"{name}.jpg.npy"), maps(folder, name)
        good = (depth > 0) & (confidence >= 1.5) & (truth > 0)
        error = np.abs(depth[good] / truth[good] - 1)
        assert np.median(error) < 0.03
        assert np.quantile(error, 0.9) < 0.06
