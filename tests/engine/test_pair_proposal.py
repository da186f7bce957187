"""What the first scene graph is told of the photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from retrieval import RetrievalConfig
from sfm.pair_proposal import needs_index, positions_enu
from sfm.types import CameraSpec, Collection, Exif, Photo

CAMERA = CameraSpec(1, "SIMPLE_RADIAL", 640, 480, (700.0, 320.0, 240.0, 0.0), False)


def located(name: str, exif: Exif) -> Photo:
    return Photo(name, Path(name), Path(name), "x", 640, 480, 1, 1, exif)


def test_positions_are_metres_east_north_and_up_of_the_first_photo() -> None:
    photos = (
        located("a.jpg", Exif(latitude_deg=47.0, longitude_deg=8.0, altitude_m=400.0)),
        located("b.jpg", Exif(latitude_deg=47.001, longitude_deg=8.0, altitude_m=410.0)),
        located("c.jpg", Exif(latitude_deg=47.0, longitude_deg=8.001, altitude_m=None)),
        located("d.jpg", Exif()),
    )

    positions = positions_enu(Collection(photos, {1: CAMERA}))

    # A degree of latitude is 111.2 km at 47 degrees, one of longitude 76.1 km (WGS84).
    assert set(positions) == {"a.jpg", "b.jpg", "c.jpg"}
    np.testing.assert_allclose(positions["b.jpg"], [0, 111.2, 10], atol=0.1)
    np.testing.assert_allclose(positions["c.jpg"][:2], [76.1, 0], atol=0.1)


def test_no_gps_no_positions() -> None:
    assert positions_enu(Collection((located("a.jpg", Exif()),), {1: CAMERA})) == {}


def test_small_collections_need_no_index() -> None:
    assert not needs_index(30, RetrievalConfig())
    assert needs_index(31, RetrievalConfig())
    assert not needs_index(1000, RetrievalConfig(mode="exhaustive"))
    assert needs_index(10, RetrievalConfig(mode="sequential"))
