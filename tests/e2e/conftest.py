"""The `sfm` command as a user runs it, on the rendered scene."""

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pycolmap
import pytest
from click.testing import CliRunner
from PIL import Image

from sfm.cli import main
from tests.conftest import MakeOnce
from tests.faults.killing import Killer
from tests.model_agreement import compare_models
from tests.rooms import Shot, speckled, write_room

Command = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--threads", "1", "sift.max_num_features=1500", "export.report=false")
"""Enough features for the rendered scene; one thread, so that runs can be compared number by number."""

NUM_FEW = 6


@pytest.fixture(scope="session")
def sfm_command() -> Command:
    """Run `sfm` with these arguments in this process; whoever calls it looks at the exit code."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        done = CliRunner().invoke(main, list(map(str, words)), prog_name="sfm")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def sfm_process() -> Command:
    """The same in a process of its own, where that is what a test is about."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sfm", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture(scope="session")
def scene(make_once: MakeOnce) -> Path:
    """Six photos of 192 x 144 px of a room, side by side, with their true depth."""
    places = [(x, -2.6 + 0.12 * abs(x) ** 1.5, 1.5) for x in (-2.2, -1.32, -0.44, 0.44, 1.32, 2.2)]
    shots = {
        f"photo_{i:02d}.jpg": Shot((x, y, z + 0.15 * (-1) ** i), size=(192, 144), focal_px=154)
        for i, (x, y, z) in enumerate(places)
    }
    textures = speckled(1, 720, 720), speckled(2, 160, 1080), speckled(3, 128, 512)
    return make_once(
        "room", lambda folder: write_room(folder, shots, height_m=3.5, textures=textures, supersample=2)
    )


@pytest.fixture(scope="session")
def small_photos(demo_data: Path, make_once: MakeOnce) -> Path:
    """Six neighbouring photos of the rendered scene at half of their size; not to be changed."""

    return make_once("small photos", lambda folder: halved(demo_data / "images", folder, NUM_FEW))


def halved(photos: Path, folder: Path, count: int | None = None) -> Path:
    """The first of these photos, or all, in half of their size."""
    folder.mkdir(exist_ok=True)
    for path in sorted(photos.iterdir())[:count]:
        with Image.open(path) as photo:
            photo.reduce(2).save(folder / path.name, quality=95)
    return folder


@pytest.fixture
def few_photos(small_photos: Path, tmp_path: Path) -> Path:
    """The same, in a folder of their own."""
    return shutil.copytree(small_photos, tmp_path / "photos")


def assert_same_model(first: Path, second: Path) -> None:
    """Photos and places of the models of two runs agree."""
    models = (pycolmap.Reconstruction(out / "sparse" / "0") for out in (first, second))
    agreement = compare_models(*models)
    assert agreement.only_in_a == agreement.only_in_b == ()
    assert agreement.max_centre_difference <= 1e-3


def assert_kills_change_nothing(
    kill: Killer, folder: Path, words: Sequence[str | Path], num_kills: int
) -> None:
    """`sfm run` with these words, killed at a random moment of each part of it, goes on to the same model."""
    rng = random.Random(0)

    def run(name: str, kill_at: int = 0) -> tuple[int, int]:
        (folder / name).mkdir(exist_ok=True)
        return kill.run(folder / name, "run", *words, "-o", folder / name / "out", kill_at=kill_at)

    def model(name: str) -> list[bytes]:
        files = ("cameras.bin", "images.bin", "points3D.bin")
        return [(folder / name / "out" / "sparse" / "0" / file).read_bytes() for file in files]

    code, count = run("whole")
    assert code == 0, (folder / "whole" / "said.txt").read_text()
    for part in range(num_kills):
        moment = 1 + rng.randrange(part * count // num_kills, (part + 1) * count // num_kills)
        name = f"killed{part}"
        assert run(name, moment)[0] == -9
        assert run(name)[0] == 0, (folder / name / "said.txt").read_text()
        assert model(name) == model("whole"), f"killed at change {moment} of {count}"
