"""Places on Earth and local frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.geometry.wgs84 import Place, enu_origin, enu_positions, geodetic_places

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
