"""Positions of photos: metres from degrees, and neighbours."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.config.schema import GeoreferenceConfig
from sfm.geometry.wgs84 import Place, enu_origin, enu_positions
from sfm.ingest.photo_positions import positions_m, tell_neighbours, with_positions
from sfm.types import CameraSpec, Collection, Exif, Photo
from tests.places import geodetic_places

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


latitudes, longitudes = st.floats(-89, 89), st.floats(-180, 180)


def test_a_degree_is_as_long_as_on_the_ellipsoid() -> None:
    places = {"a": Place(47.0, 8.0, 400.0), "b": Place(47.001, 8.0, 410.0), "c": Place(47.0, 8.001, 400.0)}

    enu = enu_positions(places, places["a"])

    # A degree of latitude is 111.2 km at 47 degrees, one of longitude 76.1 km (WGS84).
    np.testing.assert_allclose(enu["a"], 0, atol=1e-6)
    np.testing.assert_allclose(enu["b"], [0, 111.2, 10], atol=0.1)
    np.testing.assert_allclose(enu["c"], [76.1, 0, 0], atol=0.1)


def test_a_place_without_altitude_has_no_up_and_does_not_pull_the_origin() -> None:
    places = {"a": Place(47.0, 8.0, 400.0), "b": Place(47.0001, 8.0), "c": Place(47.0002, 8.0, 402.0)}

    enu = enu_positions(places)

    assert enu_origin(places).altitude_m == 401.0
    assert np.isnan(enu["b"][2])
    np.testing.assert_allclose(enu["b"][:2], 0, atol=0.1)


def test_the_origin_is_among_the_places_where_east_meets_west_and_despite_a_stray() -> None:
    places = {str(i): Place(-37.0, s * 179.9999, 5.0) for i, s in enumerate((1, -1, 1, -1, 1))}

    enu = enu_positions({**places, "stray": Place(51.0, 0.0, 0.0)})

    assert all(np.linalg.norm(enu[name]) < 50 for name in places)


def test_no_place_no_origin() -> None:
    assert enu_positions({}) == {}
    with pytest.raises(ValueError, match="no place"):
        enu_origin({})


@given(latitudes, longitudes, st.lists(st.floats(-2000, 2000), min_size=3, max_size=3))
def test_metres_and_degrees_round_trip(latitude: float, longitude: float, offset: list[float]) -> None:
    origin = Place(latitude, longitude, 100.0)

    places = geodetic_places(np.array([offset]), origin)
    back = enu_positions({"a": places[0]}, origin)["a"]

    np.testing.assert_allclose(back, offset, atol=1e-3)
