"""Preset mast3r-sfm, all of it as published, on rendered photos that show sky."""

import json
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from tests.conftest import MakeOnce
from tests.e2e.conftest import ROOT, Command

SMALL = ("mast3r.image_size=128", "mast3r.device=cpu", "export.report=false", "--threads", "1")
PUBLISHED = ("--preset", "mast3r-sfm")
NEAR, FAR = ("internal.mast3r.oracle_sky=1.5",), ("internal.mast3r.oracle_sky=100",)
"""Sky as a backdrop behind the scene, and a hundred times as far; the network is unsure of both."""


@pytest.fixture(scope="module")
def open_square(make_once: MakeOnce) -> Path:
    """Six photos of 160 x 120 px from around a square, of each of which a part is sky; no distortion."""

    def render(folder: Path) -> None:
        sys.path[:0] = [] if str(ROOT / "tools") in sys.path else [str(ROOT / "tools")]
        from render_scene import Shoot, plan
        from synthetic import write_dataset

        shoot = Shoot(views=10, width=160, height=120, k1=0.0)
        write_dataset(plan(shoot)[:6], folder, supersample=1, with_depth=True)

    return make_once("open square", render)


def auc_at_5(command: Command, scene: Path, out: Path, *options: str) -> float:
    """Of the one model of a run by the preset."""
    words = ("run", scene / "images", "-o", out, *PUBLISHED, *SMALL, f"internal.mast3r.oracle={scene}")
    done = command(*words, *options)
    assert done.returncode == 0, done.stderr
    assert not (out / "sparse" / "1").exists()
    return float(json.loads(command("eval", out, scene / "gt.json", "--json").stdout)["auc"]["5"])


def test_the_preset_as_published_aligns_photos_with_sky(
    open_square: Path, tmp_path: Path, sfm_command: Command
) -> None:
    sky = [(np.load(file) == 0).mean() for file in sorted((open_square / "depth").iterdir())]
    assert max(sky) > 0.1

    auc = auc_at_5(sfm_command, open_square, tmp_path / "out", *NEAR)

    assert auc > 85
    model = pycolmap.Reconstruction(tmp_path / "out" / "sparse" / "0")
    assert model.num_reg_images() == 6
    assert {camera.model.name for camera in model.cameras.values()} == {"PINHOLE"}


@pytest.mark.slow  # what docs/mast3r.md says of the published way
def test_sky_far_behind_the_scene_misleads_the_published_way(
    open_square: Path, tmp_path: Path, sfm_command: Command
) -> None:
    assert auc_at_5(sfm_command, open_square, tmp_path / "out", *FAR) < 40
