"""nerfstudio itself reads our exports.

nerfstudio's pins conflict with ours, so it runs in an environment of its own: the interpreter named by
LOOPSFM_NERFSTUDIO, or one that the test makes with the parts of nerfstudio that parsing needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sfm.exports import export

READER = Path(__file__).parent / "nerfstudio_reader.py"
# What its dataparsers import; the full dependencies bring Open3D, pymeshlab and a Jupyter server.
NEEDS = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "matplotlib",
    "rich",
    "tyro",
    "jaxtyping",
    "wadler_lindig",
    "typeguard",
    "docstring-parser",
    "shtab",
    "torchmetrics",
    "requests",
    "viser",
    "msgspec",
    "websockets",
    "zstandard",
    "tensorboard",
    "protobuf",
    "appdirs",
    "imageio",
    "rawpy",
    "opencv-python-headless",
)


@pytest.fixture(scope="module")
def nerfstudio_python(tmp_path_factory) -> Path:
    if named := os.environ.get("LOOPSFM_NERFSTUDIO"):
        return Path(named)
    folder = tmp_path_factory.mktemp("nerfstudio")
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, *NEEDS],
        [*pip, "--no-deps", "nerfstudio==1.1.5"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
        if done.returncode:
            pytest.skip(f"cannot install nerfstudio here: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_nerfstudio_parses_the_3dgs_and_the_nerfstudio_export(tmp_path, make_scene, nerfstudio_python):
    params = (400.0, 405.0, 153.4, 127.2, 0.05, -0.02, 0.001, -0.002)
    make_scene(tmp_path, camera_model="OPENCV", params=params, num_images=12)
    folders = [export(tmp_path, to=to) for to in ("3dgs", "nerfstudio")]

    done = subprocess.run(
        [nerfstudio_python, READER, *folders], capture_output=True, text=True, timeout=600, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for name in ("3dgs", "nerfstudio"):
        assert found[name]["num_images"] == 12
        assert found[name]["files_exist"]
        assert found[name]["num_points"] == 60
        assert found[name]["mean_offset"] < 0.5
