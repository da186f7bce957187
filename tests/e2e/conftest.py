"""The `sfm` command as a user runs it, on the rendered scene."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from sfm.cli import main
from tests.conftest import MakeOnce

Command = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--threads", "1", "sift.max_num_features=1500", "export.report=false")
"""Enough features for the rendered scene; one thread, so that runs can be compared number by number."""

NUM_FEW = 6


def arguments(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "sfm", *map(str, words)]


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
            arguments(*words),
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture(scope="session")
def scene(make_once: MakeOnce) -> Path:
    """Ten photos of 320 x 240 px with their true depth."""
    program = [sys.executable, str(ROOT / "tools" / "render_scene.py")]
    words = ["--views", "10", "--width", "320", "--height", "240", "--depth"]

    def render(folder: Path) -> None:
        subprocess.run([*program, str(folder / "scene"), *words], check=True, timeout=200)

    return make_once("oracle", render) / "scene"


@pytest.fixture
def few_photos(demo_data: Path, tmp_path: Path) -> Path:
    """Six neighbouring photos of the rendered scene, in a folder of their own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in sorted((demo_data / "images").iterdir())[:NUM_FEW]:
        shutil.copy(path, folder)
    return folder
