"""Focal length, position and time from metadata; nothing from nonsense."""

import math

import pycolmap
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from sfm.ingest.decode import open_photo, stored_size
from sfm.ingest.exif import parse_metadata, read_metadata
from sfm.types import Exif

FOCAL, FOCAL_35MM, PLANE_X, PLANE_UNIT, WIDTH, HEIGHT = 0x920A, 0xA405, 0xA20E, 0xA210, 0xA002, 0xA003
NIKON = {0x010F: "NIKON CORPORATION", 0x0110: "NIKON D90"}
SIZE = (400, 300)


def parse(main=None, detail=None, gps=None, size=SIZE) -> Exif:
    return parse_metadata(main or {}, detail or {}, gps or {}, size=size).exif


@pytest.mark.parametrize(
    ("main", "detail", "expected_px"),
    [
        ({}, {FOCAL_35MM: 28}, 28 / math.hypot(36, 24) * 500),
        ({}, {FOCAL: IFDRational(50), PLANE_X: IFDRational(400), PLANE_UNIT: 2}, 50 * 400 / 25.4),
        ({}, {FOCAL: IFDRational(50), PLANE_X: IFDRational(100), PLANE_UNIT: 3}, 500),
        (NIKON, {FOCAL: IFDRational(30)}, 30 / 23.6 * 400),
        (NIKON, {FOCAL: IFDRational(30), FOCAL_35MM: 28}, 28 / math.hypot(36, 24) * 500),
        (NIKON, {FOCAL: IFDRational(30), FOCAL_35MM: 0}, 30 / 23.6 * 400),
        ({}, {FOCAL: IFDRational(50)}, None),
        ({}, {FOCAL: IFDRational(50), PLANE_X: IFDRational(400)}, None),
        ({0x010F: "Nobody", 0x0110: "Nothing"}, {FOCAL: IFDRational(30)}, None),
        ({}, {}, None),
    ],
)
def test_focal_length_by_each_rule(main, detail, expected_px) -> None:
    assert parse(main, detail).focal_px == (
        None if expected_px is None else pytest.approx(expected_px, rel=1e-3)
    )


@pytest.mark.parametrize("size", [SIZE, SIZE[::-1]])
@pytest.mark.parametrize(
    ("main", "detail"),
    [
        ({}, {FOCAL_35MM: 28}),
        ({}, {FOCAL: IFDRational(50), PLANE_X: IFDRational(400), PLANE_UNIT: 2}),
        (NIKON, {FOCAL: IFDRational(30)}),
    ],
)
def test_focal_length_is_colmaps(photos, make_photo, main, detail, size) -> None:
    path = make_photo("a.jpg", size=size, exif={**main, **detail})

    assert focal_of(path) == pytest.approx(pycolmap.Bitmap.read(path, True).exif_focal_length(), rel=1e-3)


@pytest.mark.parametrize(
    "value", [0, -3, IFDRational(0, 1), IFDRational(1, 0), math.inf, math.nan, "x", 10**9]
)
@pytest.mark.parametrize("tag", [FOCAL_35MM, FOCAL])
def test_absurd_focal_lengths_are_none(tag, value) -> None:
    assert parse(NIKON, {tag: value}).focal_px is None


def test_plane_resolution_follows_a_photo_that_was_reduced() -> None:
    detail = {FOCAL: IFDRational(50), PLANE_X: IFDRational(4000), PLANE_UNIT: 2, WIDTH: 4000, HEIGHT: 3000}

    assert parse(detail=detail).focal_px == pytest.approx(50 * 400 / 25.4)
    assert parse(detail=detail, size=(300, 400)).focal_px == pytest.approx(50 * 400 / 25.4)


def test_a_cropped_photo_has_no_focal_length_by_metadata() -> None:
    assert parse(detail={FOCAL_35MM: 28, WIDTH: 4000, HEIGHT: 3000}, size=(300, 300)).focal_px is None


def test_text_ends_at_its_first_zero_byte() -> None:
    exif = parse({0x010F: "DJI\0\0junk", 0x0110: "  FC300S \0"})

    assert (exif.make, exif.model) == ("DJI", "FC300S")


@pytest.mark.parametrize(
    ("gps", "expected"),
    [
        ({1: "N", 2: (46.0, 30.0, 36.0), 3: "E", 4: (7.0, 15.0, 0.0)}, (46.51, 7.25, None)),
        ({1: "S", 2: (46.0, 30.6, 0.0), 3: "W", 4: (7.25, 0.0, 0.0), 6: 12.5}, (-46.51, -7.25, 12.5)),
        ({1: "N\0", 2: (46.51,), 3: "E", 4: (7.25,), 5: b"\x01", 6: 3}, (46.51, 7.25, -3)),
        ({1: "N", 2: (IFDRational(1, 0), 0, 0), 3: "E", 4: (7, 0, 0), 6: 1}, (None, None, None)),
        ({1: "N", 2: (91, 0, 0), 3: "E", 4: (7, 0, 0)}, (None, None, None)),
        ({1: "N", 2: (0, 0, 0), 3: "E", 4: (0, 0, 0)}, (None, None, None)),
        ({1: "N", 2: (46, 0, 0)}, (None, None, None)),
        ({1: "N", 2: "46", 3: "E", 4: (7, 0, 0)}, (None, None, None)),
        ({1: "N", 2: (46, 0, 0), 3: "E", 4: (7, 0, 0), 6: IFDRational(0, 0)}, (46, 7, None)),
    ],
)
def test_position(gps, expected) -> None:
    exif = parse(gps=gps)

    got = (exif.latitude_deg, exif.longitude_deg, exif.altitude_m)
    assert got == tuple(None if value is None else pytest.approx(value) for value in expected)


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ({0x9003: "1970:01:02 00:00:10"}, 86410.0),
        ({0x9003: "1970:01:02 00:00:10", 0x9291: "25"}, 86410.25),
        ({0x9003: "1970:01:02 00:00:10", 0x9291: "x"}, 86410.0),
        ({0x9003: "0000:00:00 00:00:00", 0x9004: "1970:01:01 00:01:00"}, 60.0),
        ({0x9003: "    :  :     :  :  "}, None),
        ({0x9003: 3}, None),
        ({}, None),
    ],
)
def test_time(detail, expected) -> None:
    assert parse(detail=detail).timestamp_s == expected


def test_devices_differ_by_lens_serial_and_zoom() -> None:
    def device(**changes) -> str:
        tags = {"lens": "L", "serial": "1", "zoom": 5.1} | changes
        detail = {0xA434: tags["lens"], 0xA431: tags["serial"], FOCAL: tags["zoom"], FOCAL_35MM: 24}
        return parse_metadata(NIKON, detail, {}, size=SIZE).device

    assert len({device(), device(lens="M"), device(serial="2"), device(zoom=5.2)}) == 4
    assert parse_metadata({}, {FOCAL_35MM: 24}, {}, size=SIZE).device == ""


@pytest.mark.shared
@pytest.mark.parametrize(
    "scene",
    [
        "brighton_beach",
        "caliterra",
        "cyprus_rotated",
        "dup_cereal",
        "lund_street",
        "monstree",
        "sceaux_castle",
    ],
)
def test_real_photos_have_colmaps_focal_length(shared_data, scene) -> None:
    for path in sorted((shared_data / scene / "images").iterdir())[::8]:
        expected = pycolmap.Bitmap.read(path, True).exif_focal_length()
        # COLMAP takes the vertical plane resolution, which in caliterra differs by 0.6 %.
        assert focal_of(path) == pytest.approx(expected, rel=0.01)


@pytest.mark.shared
def test_stale_dimensions_are_seen_where_colmap_is_misled(shared_data) -> None:
    path = min((shared_data / "saharov32" / "images").iterdir())

    # A Canon EOS 5D has a sensor 35.8 mm wide.
    assert focal_of(path) == pytest.approx(50 / 35.8 * 1092, rel=0.01)
    assert pycolmap.Bitmap.read(path, True).exif_focal_length() > 4000


def focal_of(path) -> float | None:
    with open_photo(path) as image:
        assert isinstance(image, Image.Image)
        return read_metadata(image, size=stored_size(image)).exif.focal_px
