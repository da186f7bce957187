"""Which photos are taken for spherical panoramas."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfm.ingest.panoramas import is_panorama
from tests.panoramas import draw_panoramas


@pytest.fixture(scope="module")
def panoramas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("around") / "photos"
    draw_panoramas(folder, count=3, width=512)
    return folder


def test_photos_all_around_get_a_spherical_camera(output, panoramas: Path) -> None:
    (camera,) = output.ingest(panoramas).cameras.values()

    assert (camera.model, camera.params) == ("EQUIRECTANGULAR", (512.0, 256.0))
    assert camera.has_prior_focal_length


def test_a_model_that_the_user_names_stays(output, panoramas: Path) -> None:
    (camera,) = output.ingest(panoramas, camera_model="SIMPLE_RADIAL").cameras.values()

    assert camera.model == "SIMPLE_RADIAL"


@pytest.mark.parametrize("box", [(0, 0, 256, 128), (100, 50, 356, 178), (0, 64, 256, 192)])
def test_a_part_of_a_panorama_is_flat(
    box: tuple[int, int, int, int], panoramas: Path, tmp_path: Path
) -> None:
    for path in panoramas.iterdir():
        with Image.open(path) as image:
            image.crop(box).save(tmp_path / path.name)

        assert not is_panorama(tmp_path / path.name, (256, 128))


def test_blank_edges_say_nothing(tmp_path: Path) -> None:
    pixels = np.full((128, 256), 255, np.uint8)
    pixels[30:90, 60:200] = np.random.default_rng(0).integers(0, 255, (60, 140))
    Image.fromarray(pixels).save(tmp_path / "object.png")

    assert not is_panorama(tmp_path / "object.png", (256, 128))
    assert not is_panorama(tmp_path / "missing.png", (256, 128))


def test_photos_of_other_shapes_are_not_looked_at(panoramas: Path) -> None:
    path = next(panoramas.iterdir())

    assert is_panorama(path, (512, 256))
    assert not is_panorama(path, (512, 257))


def test_panoramas_of_real_rooms_are_recognised(shared_data: Path) -> None:
    photos = sorted((shared_data / "zind32" / "images").iterdir())

    assert all(is_panorama(path, (2048, 1024)) for path in photos)
