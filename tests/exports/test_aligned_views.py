"""Depth that an alignment found: its scale, its cleaning, and what happens where it is gone."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.exports.exporting import export
from sfm.exports.source import DepthOptions
from sfm.global_alignment.sparse.dense import DenseView, cleaned_confidence
from sfm.mast3r.oracle.oracle import OraclePredictor
from sfm.mast3r.oracle.oracle_scene import TrueView, depth_at, load_scene
from sfm.matching.dense.depth.aligned_depth import FOLDER, AlignedDepthFiles, DepthOrigin
from tests.exports.rendered import MODEL_FROM_WORLD, UNIT_M, maps, workspace

PHOTOS = ("above.jpg", "close.jpg", "left.jpg", "right.jpg")
STEP = 160 / 128
"""Photo pixels per pixel of the network."""
ALIGNED_UNIT_M = 0.8
"""Metres per unit of the alignment, which has the axes of the world."""


def true_view(view: TrueView) -> DenseView:
    """A photo as a perfect alignment would have it, its confidence 10."""
    x, y = np.meshgrid(np.arange(128), np.arange(96))
    where = (np.stack((x, y), axis=-1).reshape(-1, 2) + 0.5) * STEP
    depth = np.nan_to_num(depth_at(view.depth(), where)).reshape(96, 128) / ALIGNED_UNIT_M
    centre = -view.rotation.T @ view.translation / ALIGNED_UNIT_M
    focal = float(view.camera.params[0]) / STEP
    return DenseView(depth, np.full(depth.shape, 10.0), focal, (63.5, 47.5), view.rotation.T, centre)


def aligned_workspace(scene: Path, out: Path, views: dict[str, DenseView] | None = None) -> Path:
    """A finished run over `PHOTOS` that kept these views, or the true ones; the folder of its depth."""
    model = workspace(scene, out)
    for image in list(model.images.values()):
        if image.name not in PHOTOS:
            model.deregister_frame(image.frame_id)
    model.write(out / "sparse" / "0")
    views = views or {name: true_view(load_scene(scene)[name]) for name in PHOTOS}
    files = AlignedDepthFiles(out / "cache" / FOLDER)
    by_content = {
        hashlib.sha256((out / "images" / name).read_bytes()).hexdigest(): view for name, view in views.items()
    }
    key = files.put(by_content, DepthOrigin("net", "licence of net"))
    event = {"t": 0, "stage": "register", "event": "aligned", "model": 0, "losses": [], "depth": key}
    (out / "events.jsonl").write_text(json.dumps(event) + "\n")
    return files.folder / key


def summary(folder: Path) -> dict:
    return json.loads((folder / "views.json").read_text())


def test_all_photos_have_the_exact_scale_without_asking_the_network(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aligned_workspace(scene, tmp_path / "out")
    monkeypatch.delattr(OraclePredictor, "decode")

    folder = export(tmp_path / "out", to="views")

    told = summary(folder)
    assert (told["depth_from"], told["network"], told["notice"]) == ("alignment", "net", "licence of net")
    assert sorted(told["views"]) == sorted(PHOTOS)
    for name, view in told["views"].items():
        assert view["scale"] == pytest.approx(ALIGNED_UNIT_M / UNIT_M, rel=1e-6)
        assert view["shift"] == 0
        depth, confidence = maps(folder, Path(name).stem)
        truth = true_view(load_scene(scene)[name]).depth * ALIGNED_UNIT_M / UNIT_M
        np.testing.assert_allclose(depth, truth, rtol=1e-5, atol=1e-6)
        assert (confidence == 10).all()


def test_depth_in_metres_is_that_of_the_alignment(scene: Path, tmp_path: Path) -> None:
    aligned_workspace(scene, tmp_path / "out")

    folder = export(tmp_path / "out", to="views", depth=DepthOptions(metres=True))

    depth, _ = maps(folder, "left")
    np.testing.assert_allclose(depth, true_view(load_scene(scene)["left.jpg"]).depth, rtol=1e-5, atol=1e-6)


def test_photos_of_an_adjusted_model_are_fitted_one_by_one(scene: Path, tmp_path: Path) -> None:
    views = {name: true_view(load_scene(scene)[name]) for name in PHOTOS}
    views["left.jpg"] = replace(
        views["left.jpg"], depth=1.1 * views["left.jpg"].depth, centre=views["left.jpg"].centre + 0.1
    )
    aligned_workspace(scene, tmp_path / "out", views)

    told = summary(export(tmp_path / "out", to="views"))

    assert told["depth_from"] == "alignment"
    usual = ALIGNED_UNIT_M / UNIT_M
    assert told["views"]["right.jpg"]["scale"] == pytest.approx(usual, rel=0.01)
    assert told["views"]["left.jpg"]["scale"] == pytest.approx(usual / 1.1, rel=0.01)


def test_confidence_has_to_exceed_the_threshold(scene: Path, tmp_path: Path) -> None:
    aligned_workspace(scene, tmp_path / "out")

    at, below = (
        summary(export(tmp_path / "out", to="views", depth=DepthOptions(min_confidence=least)))["points"]
        for least in (10.0, 9.99)
    )

    assert (at["confident_pixels"], at["written"]) == (0, 0)
    assert below["confident_pixels"] > 20_000


def test_points_a_hundredth_before_what_another_photo_sees_are_removed(scene: Path, tmp_path: Path) -> None:
    views = {name: true_view(load_scene(scene)[name]) for name in PHOTOS}
    close = views["close.jpg"]
    # Less than the tolerance of depth that is not aligned; only pixels that are less confident go.
    close.depth[:, :64] *= 0.99
    close.confidence[:, :64] = 5
    aligned_workspace(scene, tmp_path / "out", views)

    told = summary(export(tmp_path / "out", to="views"))["points"]

    exact = {name: true_view(load_scene(scene)[name]) for name in PHOTOS}
    aligned_workspace(scene, tmp_path / "exact", exact)
    without = summary(export(tmp_path / "exact", to="views"))["points"]["left_out_as_conflicting"]
    assert told["left_out_as_conflicting"] > without + 1000


def test_cleaning_rejects_by_depth_and_confidence() -> None:
    def wall(depth: float, confidence: float) -> DenseView:
        flat = np.full((8, 8), depth)
        return DenseView(flat, np.full((8, 8), confidence), 8.0, (4.0, 4.0), np.eye(3), np.zeros(3))

    def rejected(near: float, of_near: float) -> list[bool]:
        views = [wall(near, of_near), wall(2.0, 3.0)]
        return [bool((found == 0).all()) for found in cleaned_confidence(views)]

    assert rejected(1.99, 2.0) == [True, False]
    assert rejected(1.99, 3.0) == [False, False]  # not less confident
    assert rejected(1.999, 2.0) == [False, False]  # within a thousandth
    assert rejected(2.5, 2.0) == [False, False]  # behind it, and more confident views are not behind


@pytest.mark.parametrize("loss", ["gone", "damaged", "of another size"])
def test_without_its_files_the_network_is_asked(
    scene: Path, tmp_path: Path, loss: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = aligned_workspace(scene, tmp_path / "out")
    one = sorted(folder.rglob("*.safetensors"))[0]
    options = DepthOptions()
    if loss == "gone":
        one.unlink()
    elif loss == "damaged":
        one.write_bytes(one.read_bytes()[:-100])
    else:
        options = DepthOptions(overrides=("mast3r.image_size=96",))

    told = summary(export(tmp_path / "out", to="views", depth=options))

    assert told["depth_from"] == "network"
    assert told["views"]["left.jpg"]["scale"] == pytest.approx(1 / UNIT_M, rel=0.05)
    assert "is not in" in caplog.text
    assert one.is_file() == (loss == "of another size")


def test_a_model_turned_and_scaled_keeps_the_exact_scale(scene: Path, tmp_path: Path) -> None:
    aligned_workspace(scene, tmp_path / "out")
    model = pycolmap.Reconstruction(tmp_path / "out" / "sparse" / "0")
    model.transform(MODEL_FROM_WORLD)
    model.write(tmp_path / "out" / "sparse" / "0")

    told = summary(export(tmp_path / "out", to="views"))

    (scale,) = {view["scale"] for view in told["views"].values()}
    assert scale == pytest.approx(ALIGNED_UNIT_M / UNIT_M**2, rel=1e-6)
