"""Headless Chromium, for pages that must work."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

# Software rendering, so that WebGL works without a GPU; containers often lack a sandbox and /dev/shm.
FLAGS = (
    "--headless=new --no-sandbox --disable-dev-shm-usage --use-angle=swiftshader --enable-unsafe-swiftshader "
    "--enable-logging=stderr --virtual-time-budget=4000 --window-size=1300,900"
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page after its scripts have run, and what they wrote to the console."""

    dom: str
    console: tuple[str, ...]


def open_page(path: Path, profile: Path) -> Page:
    """Open a local page; skips the test when there is no Chromium."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium to open the page with")
    done = subprocess.run(
        [chromium, *FLAGS.split(), f"--user-data-dir={profile}", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = tuple(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return Page(done.stdout, lines)
