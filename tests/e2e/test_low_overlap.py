"""Little overlap, no parallax and several places, from photos to models: the oracle errs as a network may.

A share of the patches of each view exchange their descriptors, so that about twice that share of the matches
are confident and wrong.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Command

ROOT = Path(__file__).resolve().parents[2]
CAMERA = "images.camera_params=224,160,120,-0.04"
WRONG = "internal.mast3r.oracle_wrong_matches=0.08"
NO_MODEL = 6

pytestmark = pytest.mark.slow


def rendered(folder: Path, name: str, views: int) -> Path:
    """Photos of 320 x 240 px with their true depth."""
    words = ["--scene", name, "--views", str(views), "--width", "320", "--height", "240", "--depth"]
    subprocess.run(
        [sys.executable, str(ROOT / "tools" / "render_scene.py"), str(folder), *words],
        check=True,
        timeout=200,
    )
    return folder


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered(tmp_path_factory.mktemp("chain") / "scene", "chain", 8)


@pytest.fixture(scope="module")
def spin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered(tmp_path_factory.mktemp("spin") / "scene", "spin", 12)


def run(command: Command, scene: Path, out: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and `run.json` of a run with the oracle."""
    fixed = ("--threads", "1", "backend=mast3r", "mast3r.device=cpu", "export.report=false")
    done = command("run", scene / "images", "-o", out, *fixed, f"internal.mast3r.oracle={scene}", *options)
    return done.returncode, json.loads((out / "run.json").read_text())


def sizes(told: dict[str, Any]) -> list[int]:
    return [model["num_images"] for model in told["models"]]


def inlier_ratio(out: Path) -> float:
    """Inliers over matches, of all verified pairs."""
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    pairs = [event for event in events if event["event"] == "pair" and event.get("num_inliers")]
    return float(sum(pair["num_inliers"] for pair in pairs) / sum(pair["num_matches"] for pair in pairs))


def auc_at_5(command: Command, out: Path, scene: Path) -> float:
    done = command("eval", out, scene / "gt.json", "--json")
    assert done.returncode == 0, done.stderr
    return float(json.loads(done.stdout)["auc"]["5"])


def test_a_chain_of_neighbours_is_registered_by_depth(
    chain: Path, tmp_path: Path, sfm_command: Command
) -> None:
    code, told = run(sfm_command, chain, tmp_path, "mast3r.image_size=160", CAMERA, WRONG)

    assert code == 0
    assert sizes(told) == [8]
    assert 0.75 < inlier_ratio(tmp_path) < 0.95  # wrong matches there were
    assert auc_at_5(sfm_command, tmp_path, chain) > 65


def test_without_lifting_a_chain_of_neighbours_is_no_model(
    chain: Path, tmp_path: Path, sfm_command: Command
) -> None:
    lifting = "internal.mast3r.depth_lifting=false"
    code, told = run(sfm_command, chain, tmp_path, "mast3r.image_size=128", CAMERA, WRONG, lifting)

    assert code == NO_MODEL
    assert sizes(told) == []


def test_photos_from_one_spot_are_registered_by_depth(
    spin: Path, tmp_path: Path, sfm_command: Command
) -> None:
    code, told = run(sfm_command, spin, tmp_path, "mast3r.image_size=128", CAMERA, WRONG)

    assert code == 0
    assert sizes(told) == [12]
    assert 0.75 < inlier_ratio(tmp_path) < 0.97
    assert auc_at_5(sfm_command, tmp_path, spin) > 80


def test_parallax_that_noise_made_up_does_not_cost_the_model(
    spin: Path, tmp_path: Path, sfm_command: Command
) -> None:
    code, told = run(sfm_command, spin, tmp_path, "mast3r.image_size=128")

    assert code == 0
    assert sizes(told) == [12]  # not 0, with all points filtered at the end
    assert auc_at_5(sfm_command, tmp_path, spin) > 80


def test_two_places_are_two_models(tmp_path: Path, sfm_command: Command) -> None:
    scene = rendered(tmp_path / "scene", "two-squares", 12)

    code, told = run(sfm_command, scene, tmp_path / "out", "mast3r.image_size=128", WRONG)

    assert code == 0
    assert sizes(told) == [6, 6]
    assert 0.75 < inlier_ratio(tmp_path / "out") < 0.95
    assert auc_at_5(sfm_command, tmp_path / "out", scene) > 80
