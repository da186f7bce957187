"""A run that fails at its start leaves nothing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sfm
from sfm.config.schema import Config, Mast3rConfig
from sfm.errors import InputError, WeightsError


@pytest.mark.parametrize("was_there", [False, True])
def test_a_run_without_usable_photos_leaves_no_folder_that_it_made(tmp_path: Path, was_there: bool) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no photo")
    out = tmp_path / "out"
    if was_there:
        out.mkdir()

    with pytest.raises(InputError):
        sfm.run(tmp_path / "photos", output=out)

    assert out.exists() is was_there


def test_a_run_without_the_weights_that_it_needs_leaves_no_folder_that_it_made(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos/a.jpg")
    missing = Mast3rConfig(weights_dir=str(tmp_path / "none"))

    with pytest.raises(WeightsError):
        sfm.run(tmp_path / "photos", output=tmp_path / "out", config=Config(backend="mast3r", mast3r=missing))

    assert not (tmp_path / "out").exists()
