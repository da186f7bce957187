"""Which photos have a position."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sfm.config.schema import GeoreferenceConfig
from sfm.ingest.photo_positions import positions_m, tell_neighbours, with_positions
from sfm.types import CameraSpec, Collection, Exif, Photo

CAMERA = CameraSpec(1, "SIMPLE_RADIAL", 640, 480, (700.0, 320.0, 240.0, 0.0), True)


def located(**exif: Exif) -> Collection:
    photos = [
        Photo(f"{n}.jpg", Path(f"{n}.jpg"), Path(f"{n}.jpg"), "x", 640, 480, 1, 1, e) for n, e in exif.items()
    ]
    return Collection(tuple(photos), {1: CAMERA})


PHOTOS = located(
    a=Exif(latitude_deg=47.0, longitude_deg=8.0, altitude_m=400.0),
    b=Exif(latitude_deg=47.001, longitude_deg=8.0, altitude_m=410.0),
    c=Exif(latitude_deg=47.0, longitude_deg=8.001, altitude_m=None),
    d=Exif(),
)


def test_gps_becomes_metres_east_and_north() -> None:
    positions = positions_m(with_positions(PHOTOS, GeoreferenceConfig()))

    # A degree of latitude is 111.2 km at 47 degrees, one of longitude 76.1 km (WGS84).
    assert set(positions) == {"a.jpg", "b.jpg", "c.jpg"}
    np.testing.assert_allclose(positions["b.jpg"] - positions["a.jpg"], [0, 111.2, 0], atol=0.1)
    np.testing.assert_allclose(positions["c.jpg"] - positions["a.jpg"], [76.1, 0, 0], atol=0.1)


def test_a_file_takes_the_place_of_gps(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("a.jpg 1 2 3\nc.jpg 4 5 6\nd.jpg 7 8 9 0.5\n")

    config = GeoreferenceConfig(positions_file=str(path), sigma_horizontal_m=1, sigma_vertical_m=2)
    placed = with_positions(PHOTOS, config)

    assert {n: p.tolist() for n, p in positions_m(placed).items()} == {
        "a.jpg": [1, 2, 3],
        "c.jpg": [4, 5, 6],
        "d.jpg": [7, 8, 9],
    }
    sigmas = {p.name: p.position and p.position.sigma_vertical_m for p in placed.photos}
    assert sigmas == {"a.jpg": 2, "b.jpg": None, "c.jpg": 2, "d.jpg": 0.5}
    across = {p.name: p.position and p.position.sigma_horizontal_m for p in placed.photos}
    assert across == {"a.jpg": 1, "b.jpg": None, "c.jpg": 1, "d.jpg": 0.5}


def test_no_gps_no_positions() -> None:
    assert positions_m(with_positions(located(a=Exif()), GeoreferenceConfig())) == {}


def spread(step_deg: float, num: int = 12, without: int = 0) -> Collection:
    exifs = {
        f"p{i:02d}": Exif(latitude_deg=47 + step_deg * (i % 4), longitude_deg=8 + step_deg * (i // 4))
        if i >= without
        else Exif()
        for i in range(num)
    }
    return with_positions(located(**exifs), GeoreferenceConfig())


def test_positions_tell_neighbours_when_nearly_all_photos_have_one_and_they_lie_apart() -> None:
    assert tell_neighbours(spread(3e-4))  # 33 m a step, sigma 5 m
    assert tell_neighbours(spread(3e-4, without=1))
    assert not tell_neighbours(spread(3e-4, without=3))
    assert not tell_neighbours(spread(3e-5))
    assert not tell_neighbours(located(a=Exif(), b=Exif()))
