"""Reduced grey photos, as registration compares them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfm.ingest.grey_photos import GreyPhotos

RAMP = np.tile(np.linspace(0, 255, 800, dtype=np.uint8), (400, 1))


@pytest.fixture
def photos(tmp_path: Path) -> GreyPhotos:
    Image.fromarray(RAMP).save(tmp_path / "ramp.png")
    Image.fromarray(np.dstack([RAMP] * 3)).save(tmp_path / "colour.jpg")
    Image.fromarray(RAMP.astype(np.uint16) * 256).save(tmp_path / "deep.png")
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "colour.jpg").read_bytes()[:900])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RAMP).save(tmp_path / "turned.jpg", exif=exif)
    return GreyPhotos(tmp_path)


@pytest.mark.parametrize("name", ["ramp.png", "colour.jpg", "deep.png", "turned.jpg"])
def test_photos_are_reduced_and_stay_as_they_are_stored(photos: GreyPhotos, name: str) -> None:
    grey = photos.grey(name, (800, 400))

    assert grey is not None
    assert grey.shape == (320, 640)
    assert grey.dtype == np.uint8
    assert np.abs(grey[:, 10] - 255 * 10 / 640).max() < 4
    assert np.abs(grey[:, 600] - 255 * 600 / 640).max() < 4


def test_small_photos_keep_their_size(tmp_path: Path) -> None:
    Image.fromarray(RAMP[:30, :40]).save(tmp_path / "small.png")

    grey = GreyPhotos(tmp_path).grey("small.png", (40, 30))

    np.testing.assert_array_equal(grey, RAMP[:30, :40])


@pytest.mark.parametrize("name", ["broken.jpg", "missing.jpg", "../ramp.png", ""])
def test_photos_that_cannot_be_read_are_none(photos: GreyPhotos, name: str) -> None:
    assert photos.grey(name, (800, 400)) is None


def test_a_photo_of_another_size_than_its_camera_is_none(photos: GreyPhotos) -> None:
    assert photos.grey("ramp.png", (400, 800)) is None


def test_photos_are_read_once_and_by_each_process_anew(photos: GreyPhotos, tmp_path: Path) -> None:
    first = photos.grey("ramp.png", (800, 400))
    (tmp_path / "ramp.png").unlink()

    assert photos.grey("ramp.png", (800, 400)) is first
    assert pickle.loads(pickle.dumps(photos)).grey("ramp.png", (800, 400)) is None
