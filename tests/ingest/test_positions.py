"""Positions of cameras that the user knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfm.errors import InputError
from sfm.ingest.positions import Sigmas, read_positions_file, with_heights

SIGMAS = Sigmas(5.0, 10.0)
NAMES = ("a.jpg", "b.jpg", "with blank.jpg", "sub/d.jpg")


def read(tmp_path: Path, text: str, unused: tuple[str, ...] = ()) -> dict[str, tuple[object, ...]]:
    path = tmp_path / "positions.txt"
    path.write_text(text, encoding="utf-8")
    found = read_positions_file(path, NAMES, SIGMAS, unused=unused)
    return {
        name: (p.xyz, p.is_geodetic, p.sigma_horizontal_m, p.sigma_vertical_m) for name, p in found.items()
    }


def test_metres_parted_by_blanks_with_and_without_sigmas(tmp_path: Path) -> None:
    found = read(tmp_path, "# mine\n\na.jpg 1 2 3\nwith blank.jpg 4 5 6 0.5\nsub/d.jpg\t7\t8\t9\t0.5\t0.75\n")

    assert found == {
        "a.jpg": ((1, 2, 3), False, 5.0, 10.0),
        "with blank.jpg": ((4, 5, 6), False, 0.5, 0.5),
        "sub/d.jpg": ((7, 8, 9), False, 0.5, 0.75),
    }


@pytest.mark.parametrize("header", ["name,lat,lon,alt,roll", "# Image,Latitude,Longitude,Elevation,x"])
def test_a_header_gives_latitude_and_longitude_and_a_height_may_be_missing(
    tmp_path: Path, header: str
) -> None:
    found = read(tmp_path, f"{header}\na.jpg,47.1,8.2,400,1\nb.jpg,47.2,8.3,,2\nsub/d.jpg,47.3,8.4,410\n")

    assert found["a.jpg"] == ((47.1, 8.2, 400), True, 5.0, 10.0)
    assert found["sub/d.jpg"][0] == (47.3, 8.4, 410)
    assert str(found["b.jpg"][0]) == "(47.2, 8.3, nan)"


def test_a_missing_height_is_that_of_the_others_and_less_sure(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("name,lat,lon,alt\na.jpg,47.1,8.2,400\nb.jpg,47.2,8.3,\nsub/d.jpg,47.3,8.4,400\n")

    filled = with_heights(read_positions_file(path, NAMES, SIGMAS))

    assert filled["b.jpg"].xyz[2] == 400
    assert filled["b.jpg"].sigma_vertical_m == 100
    assert filled["a.jpg"].sigma_vertical_m == 10


def test_photos_that_were_left_out_are_passed_over(tmp_path: Path) -> None:
    text = "a.jpg 1 2 3\nbroken.jpg 1 2 3\nb.jpg 2 2 3\nsub/d.jpg 1 5 3\n"

    assert sorted(read(tmp_path, text, unused=("broken.jpg",))) == ["a.jpg", "b.jpg", "sub/d.jpg"]


THREE = "a.jpg 1 2 3\nb.jpg 2 2 3\nsub/d.jpg 1 5 3\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (THREE + "c.jpg 1 2 3\n", r":4: no photo is called 'c.jpg'"),
        (THREE + "a.jpg 1 2 3\n", r":4: a.jpg occurs twice, first on line 1"),
        (THREE + "with blank.jpg 1 nan 3\n", r":4: y: 'nan' is not a number"),
        (THREE + "with blank.jpg 1 2\n", r":4: z is missing"),
        (THREE + "with blank.jpg 1 2 3 0\n", r":4: a standard deviation of 0"),
        (THREE + "with blank.jpg 1 2 3 4 5 6\n", r":4: 6 values after the name, but 5 columns"),
        ("a.jpg 1 2 3\nb.jpg 1 2 3\n", r"positions of 2 photos .* at least 3"),
        ("", r"positions of 0 photos"),
        ("a.jpg 1 2 3\nb.jpg 1 2 3\nsub/d.jpg 1 2 3\n", r"all 3 positions are the same place"),
        ("name,lat,lon,alt\na.jpg,151.2,-33.8,3\n", r":2: latitude 151.2 is impossible"),
        ("name,lat,lon\na.jpg,33.8,500151\n", r":2: longitude 500151 is impossible"),
        ("name,lat,lon,lat\na.jpg,1,2,3\n", r":1: two columns for latitude"),
        ("lat,lon,name\n1,2,a.jpg\n", r":1: the first column should be the photo's name"),
        ("name,x,y,alt\na.jpg,1,2,3\n", r":1: the columns name, x, y, altitude give no position"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"positions_file: cannot read .*none.txt"):
        read_positions_file(tmp_path / "none.txt", NAMES, SIGMAS)
    binary = tmp_path / "b.bin"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not a text file"):
        read_positions_file(binary, NAMES, SIGMAS)
