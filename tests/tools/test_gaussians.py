"""Training of Gaussians: a small rasteriser on the CPU in gsplat's place, and gsplat where it is there."""

import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import torch
from metrics import gaussians
from PIL import Image

WIDTH, HEIGHT, FOCAL = 32, 24, 30.0
DISTANCE = 4.0
SHIFTS = {"0.png": 0.0, "1.png": 0.3, "2.png": 0.6, "held.png": 0.45, "lost.png": 0.2}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Four photos of a grey wall in `tmp_path` with a model of it; a fifth photo is not in the model."""
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-2, 2.6, 120), rng.uniform(-1.6, 1.6, 120), np.full(120, DISTANCE)])
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", FOCAL, WIDTH, HEIGHT)
    made = pycolmap.Reconstruction()
    made.add_camera_with_trivial_rig(camera)
    for i, (name, shift) in enumerate(SHIFTS.items(), start=1):
        columns = 120 + 60 * np.sin((np.arange(WIDTH) - WIDTH / 2) * DISTANCE / FOCAL + shift)
        grey = np.tile(columns.astype(np.uint8), (HEIGHT, 1))
        Image.fromarray(grey).convert("RGB").save(tmp_path / name)
        if name != "lost.png":
            pixels = camera.img_from_cam(points - [shift, 0, 0])
            image = pycolmap.Image(name=name, keypoints=pixels, camera_id=1, image_id=i)
            pose = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-shift, 0.0, 0.0]))
            made.add_image_with_trivial_frame(image, pose)
    for i, point in enumerate(points):
        track = pycolmap.Track()
        track.add_element(1, i)
        track.add_element(2, i)
        made.add_point3D(point, track, np.full(3, 120, dtype=np.uint8))
    folder = tmp_path / "model"
    folder.mkdir()
    made.write(folder)
    return folder


class Strategy:
    """Neither splits nor prunes; counts the steps that it is told of."""

    seen: list[tuple[str, int]]

    def __init__(self, *, refine_stop_iter: int, verbose: bool) -> None:
        Strategy.seen = []

    def check_sanity(self, params, optimisers) -> None:
        assert params.keys() == optimisers.keys()

    def initialize_state(self, *, scene_scale: float) -> dict[str, float]:
        return {"scale": scene_scale}

    def step_pre_backward(self, params, optimisers, state, step, info) -> None:
        Strategy.seen.append(("before", step))

    def step_post_backward(self, params, optimisers, state, step, info, *, packed: bool) -> None:
        Strategy.seen.append(("after", step))


def rasterization(*, means, quats, scales, opacities, colors, viewmats, Ks, width, height, packed):
    """Round blobs without any order of depth: enough for gradients to reach colours, places and widths."""
    local = means @ viewmats[0, :3, :3].T + viewmats[0, :3, 3]
    centres = (local @ Ks[0].T)[:, :2] / local[:, 2:]
    spread = Ks[0, 0, 0] * scales.mean(dim=1) / local[:, 2]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    offsets = torch.stack([x, y], dim=-1)[:, :, None] - centres
    weights = opacities * torch.exp(-(offsets**2).sum(dim=-1) / (2 * spread**2))
    image = (weights[..., None] * colors).sum(dim=2) / (weights.sum(dim=2, keepdim=True) + 1e-6)
    return image[None], None, {}


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small only wait for each other
    stand_in = types.ModuleType("gsplat")
    stand_in.rasterization, stand_in.DefaultStrategy = rasterization, Strategy
    monkeypatch.setitem(sys.modules, "gsplat", stand_in)
    yield
    torch.set_num_threads(threads)


def trained(model: Path, steps: int, **more) -> dict[str, float]:
    held = {"held.png", "lost.png"}
    scratch = model.parent / "scratch"
    return gaussians.held_out_psnr(model, model.parent, held, scratch, seed=3, steps=steps, **more)


def test_training_brings_held_out_photos_nearer_and_names_those_of_the_model(
    model: Path, on_cpu: None
) -> None:
    before, after = trained(model, 0, device="cpu"), trained(model, 60, device="cpu")

    assert set(before) == set(after) == {"held.png"}
    assert after["held.png"] > before["held.png"] + 0.5
    assert Strategy.seen == [(when, step) for step in range(60) for when in ("before", "after")]


def test_training_is_the_same_again_with_the_same_seed(model: Path, on_cpu: None) -> None:
    assert trained(model, 5, device="cpu") == trained(model, 5, device="cpu")


def test_a_model_without_held_out_photos_is_refused(model: Path, on_cpu: None) -> None:
    with pytest.raises(ValueError, match="0 held-out photos, 4 others, 120 points"):
        gaussians.held_out_psnr(model, model.parent, {"lost.png"}, model.parent / "s", 0, device="cpu")


def test_without_gsplat_it_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    assert "pip install '.[gaussians]'" in gaussians.missing()


@pytest.mark.gpu
@pytest.mark.skipif(bool(gaussians.missing()), reason=gaussians.missing() or "none")
def test_gsplat_itself_learns_the_wall(model: Path) -> None:
    before, after = trained(model, 0), trained(model, 500)

    assert after["held.png"] > before["held.png"] + 3
