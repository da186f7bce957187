"""The `sfm` command as a user runs it, in a process of its own, on the rendered scene."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--threads", "1", "sift.max_num_features=1500", "export.report=false")
"""Enough features for the rendered scene; one thread, so that runs can be compared number by number."""


def arguments(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "sfm", *map(str, words)]


@pytest.fixture(scope="session")
def sfm_command() -> Command:
    """Run `sfm` with these arguments; never raises, whatever the exit code."""

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
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photos of 320 x 240 px with their true depth."""
    folder = tmp_path_factory.mktemp("oracle") / "scene"
    words = ["--views", "10", "--width", "320", "--height", "240", "--depth"]
    subprocess.run(
        [sys.executable, str(ROOT / "tools" / "render_scene.py"), str(folder), *words],
        check=True,
        timeout=200,
    )
    return folder


@pytest.fixture
def few_photos(demo_data: Path, tmp_path: Path) -> Path:
    """Eight neighbouring photos of the rendered scene, in a folder of their own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in sorted((demo_data / "images").iterdir())[:8]:
        shutil.copy(path, folder)
    return folder
