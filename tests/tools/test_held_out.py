"""Held-out photos: where they are put, what is seen there, and what Gaussians would start from."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean

import novel_views
import numpy as np
import pycolmap
import pytest
import torch
from engines.runs import Facts, Job, Run
from metrics import gaussians
from metrics.held_out import Placed, colour_difference, linked, place_errors, split
from novel_views import ViewRow, medians, render, with_common_psnr
from PIL import Image

WIDTH, HEIGHT, FOCAL = 160, 120, 150.0
DISTANCE = 4.0
SHIFTS = (0.0, 0.4, 0.8)


def camera() -> pycolmap.Camera:
    return pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", FOCAL, WIDTH, HEIGHT)


def pose(shift: float) -> pycolmap.Rigid3d:
    """Looking straight at a wall, moved to the right."""
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-shift, 0.0, 0.0]))


def wall(points: np.ndarray) -> np.ndarray:
    """Grey of the wall at (N, 2) places on it."""
    return 128 + 60 * np.sin(2.5 * points[:, 0]) * np.cos(2.0 * points[:, 1])


def picture(shift: float, gain: float = 1.0) -> Image.Image:
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5 - WIDTH / 2, np.arange(HEIGHT) + 0.5 - HEIGHT / 2)
    places = np.stack([x.ravel(), y.ravel()], axis=1) * DISTANCE / FOCAL + [shift, 0.0]
    return Image.fromarray((gain * wall(places)).reshape(HEIGHT, WIDTH).clip(0, 255).astype(np.uint8))


@pytest.fixture
def scene(tmp_path: Path) -> pycolmap.Reconstruction:
    """Two photos of a wall as a model, and a third beside them; the photos in tmp_path."""
    for i, shift in enumerate(SHIFTS):
        picture(shift).convert("RGB").save(tmp_path / f"{i}.png")
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-1.2, 1.6, 400), rng.uniform(-1, 1, 400), np.full(400, DISTANCE)])
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(camera())
    for i, shift in enumerate(SHIFTS[:2], start=1):
        pixels = camera().img_from_cam(points - [shift, 0, 0])
        image = pycolmap.Image(name=f"{i - 1}.png", keypoints=pixels, camera_id=1, image_id=i)
        model.add_image_with_trivial_frame(image, pose(shift))
    for i, point in enumerate(points):
        track = pycolmap.Track()
        track.add_element(1, i)
        track.add_element(2, i)
        model.add_point3D(point, track)
    return model


def placed(shift: float = SHIFTS[2]) -> Placed:
    return Placed("2.png", pose(shift), camera(), ("0.png", "1.png"))


def test_every_eighth_photo_is_held_out_in_order() -> None:
    train, held = split([f"{i:02d}" for i in reversed(range(17))])

    assert held == ["00", "08", "16"]
    assert len(train) == 14
    assert not set(train) & set(held)


def test_a_photo_in_its_place_sees_what_the_others_see(
    scene: pycolmap.Reconstruction, tmp_path: Path
) -> None:
    right = colour_difference(scene, placed(), tmp_path, tmp_path)
    wrong = colour_difference(scene, placed(SHIFTS[2] + 0.2), tmp_path, tmp_path)

    assert right is not None
    assert wrong is not None
    assert right < 1
    assert wrong > 5 * right


def test_another_exposure_is_no_difference(scene: pycolmap.Reconstruction, tmp_path: Path) -> None:
    picture(SHIFTS[2], gain=0.6).convert("RGB").save(tmp_path / "2.png")

    found = colour_difference(scene, placed(), tmp_path, tmp_path)

    assert found is not None
    assert found < 2


def test_a_photo_of_another_size_or_without_points_is_not_judged(
    scene: pycolmap.Reconstruction, tmp_path: Path
) -> None:
    assert colour_difference(scene, replace(placed(), partners=()), tmp_path, tmp_path) is None
    picture(0.0).resize((80, 60)).convert("RGB").save(tmp_path / "2.png")
    assert colour_difference(scene, placed(), tmp_path, tmp_path) is None


def test_errors_are_those_after_a_similarity() -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(6, 3))
    reference = {str(i): pycolmap.Rigid3d(pycolmap.Rotation3d(), -c) for i, c in enumerate(centres)}
    model = {name: pycolmap.Rigid3d(p.rotation, 3 * p.translation) for name, p in reference.items()}
    size = np.sqrt(np.mean(np.sum((centres[:4] - centres[:4].mean(0)) ** 2, axis=1)))
    off = pycolmap.Rigid3d(pycolmap.Rotation3d(), model["4"].translation + np.array([0.3 * size, 0, 0]))
    known = {name: model[name] for name in "0123"}

    one = place_errors(known, [Placed("4", off, camera(), ())], reference, ["4"])
    lost = place_errors(known, [Placed("4", off, camera(), ())], reference, ["4", "5", "3"])

    assert one.centre_percent == pytest.approx(10, rel=1e-6)
    assert one.rotation_deg == pytest.approx(0, abs=1e-5)
    assert lost.centre_percent is None


def test_links_follow_the_photos_that_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "a" / name).touch()

    linked(["1.jpg"], tmp_path / "a", tmp_path / "b")
    linked(["2.jpg"], tmp_path / "a", tmp_path / "b")

    assert [p.name for p in (tmp_path / "b").iterdir()] == ["2.jpg"]
    assert (tmp_path / "a" / "1.jpg").exists()


def test_a_failed_seed_is_told_and_localised_nothing() -> None:
    rows = [ViewRow(set="s", engine="ours", seed=i, held=3, localised=3, grey=1.0) for i in range(4)]
    failed = [replace(row, localised=0, grey=None, status="no model") for row in rows]

    (one,) = medians([*rows[:3], failed[3]])
    (most,) = medians([rows[0], *failed[1:]])
    (none,) = medians(failed)

    assert (one.status, one.localised, one.grey) == ("ok, 1 of 4 failed", 3, 1.0)
    assert (most.status, most.localised, most.grey) == ("ok, 3 of 4 failed", 0, 1.0)
    assert (none.status, none.held) == ("no model", 3)


def test_psnr_is_compared_over_the_photos_that_all_engines_hold() -> None:
    """An engine that loses the hard photo has the better mean of its own, and not of the common ones."""
    ours = {"1.jpg": 30.0, "2.jpg": 28.0, "hard.jpg": 14.0}
    theirs = {"1.jpg": 29.0, "2.jpg": 27.0}
    rows = [
        ViewRow(
            set="s",
            engine=name,
            seed=0,
            held=3,
            psnr=mean(values.values()),
            psnr_photos=len(values),
            psnr_of=values,
        )
        for name, values in (("ours", ours), ("global", theirs))
    ]
    lost = ViewRow(set="s", engine="incremental", seed=0, held=3, psnr_note="no model")
    other = replace(rows[1], seed=1)

    found = with_common_psnr([*rows, lost, other])

    assert rows[0].psnr < rows[1].psnr
    assert [row.common_psnr for row in found] == [29.0, 28.0, None, 28.0]
    assert [row.common_photos for row in found] == [2, 2, 0, 2]
    assert "24.00 (3)" in render(found)
    assert medians(found[1:2] + found[3:])[0].common_photos == 2


def test_afresh_runs_each_job_again_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our model of all photos is asked for by every engine's row."""
    (tmp_path / "set").mkdir()
    for i in range(9):
        (tmp_path / "set" / f"{i}.jpg").touch()
    asked: list[tuple[str, bool]] = []

    def run(job: Job, settings: object, *, fresh: bool) -> Run:
        asked.append((job.stem, fresh))
        return Run(job, Facts(status="exit 1"), tmp_path)

    monkeypatch.setattr(novel_views, "run_job", run)
    monkeypatch.setattr(gaussians, "missing", lambda: "")
    arguments = ["novel_views.py", str(tmp_path / "set"), "--mappers", "ours,incremental", "--seeds", "1"]
    arguments += ["--option", "backend=mast3r", "--out", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", [*arguments, "--fresh", "--cache", str(tmp_path / "cache")])

    novel_views.main()

    assert len(asked) == len(set(asked)) == 4  # of both engines on the others and on all photos
    assert all(fresh for _, fresh in asked)
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [(row["engine"], row["variant"]) for row in rows] == [("ours", "mast3r"), ("incremental", "")]


def test_gaussians_begin_at_the_points_of_normalised_cameras(
    scene: pycolmap.Reconstruction, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    scene.write(tmp_path / "model")

    views = gaussians.load_views(tmp_path / "model", tmp_path, tmp_path / "scratch")
    start = gaussians.initial_parameters(views)

    places = torch.stack([torch.linalg.inv(view.camera_from_world)[:3, 3] for view in views.views])
    assert torch.allclose(places.norm(dim=1), torch.ones(2), atol=1e-5)
    local = (
        views.points @ views.views[0].camera_from_world[:3, :3].T + views.views[0].camera_from_world[:3, 3]
    )
    pixels = local @ views.views[0].intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    wanted = np.array([point.xy for point in scene.image(1).points2D])
    height, width, _ = views.views[0].pixels.shape
    assert (height, width) == (HEIGHT, WIDTH)
    assert np.abs(pixels.numpy() - wanted).max() < 1e-2
    assert {len(value) for value in start.values()} == {400}
    assert all(torch.isfinite(value).all() for value in start.values())


def test_likeness_of_images() -> None:
    image = torch.rand(40, 50, 3, generator=torch.Generator().manual_seed(0))

    assert float(gaussians.ssim(image, image)) == pytest.approx(1)
    assert float(gaussians.ssim(image, 1 - image)) < 0
    assert gaussians.psnr(image, image + 0.1) == pytest.approx(20, abs=1e-3)
