"""Rigs and positions that the user gives beside photos."""

import json
from pathlib import Path
from typing import Any

import pytest

from sfm.errors import InputError
from sfm.ingest.positions import Sigmas, read_positions_file, with_heights
from sfm.ingest.rigs import check_rig_photos, read_rig_config, sensors_of

from .conftest import MakePhoto, Output

LEFT = {"image_prefix": "left/", "ref_sensor": True}
RIGHT = {
    "image_prefix": "right/",
    "cam_from_rig_rotation": [1, 0, 0, 0],
    "cam_from_rig_translation": [-0.1, 0, 0],
}
NAMES = ("left/1.jpg", "left/2.jpg", "right/1.jpg", "right/2.jpg", "other.jpg")


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "rig_config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_rig_is_read_as_colmap_writes_it(tmp_path: Path) -> None:
    (rig,) = read_rig_config(written(tmp_path, [{"cameras": [LEFT, RIGHT]}]))

    assert [(s.prefix, s.is_reference, s.has_pose) for s in rig.sensors] == [
        ("left/", True, True),
        ("right/", False, True),
    ]
    assert rig.sensors[1].translation == (-0.1, 0, 0)


def test_photos_are_told_by_the_longest_prefix(tmp_path: Path) -> None:
    inner = {"image_prefix": "right/up/"}
    rigs = read_rig_config(written(tmp_path, [{"cameras": [LEFT, RIGHT, inner]}]))

    assert sensors_of(rigs, ("left/1.jpg", "right/1.jpg", "right/up/1.jpg", "x.jpg")) == {
        "left/1.jpg": "left/",
        "right/1.jpg": "right/",
        "right/up/1.jpg": "right/up/",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[\n{]", r"rig_config.json:2: not valid JSON"),
        ({}, "expected a list of rigs"),
        ([], "expected a list of rigs"),
        ([{"camera": []}], r"\[0\]: expected an object with a list `cameras`"),
        ([{"cameras": [RIGHT]}], r"\[0\]: 0 cameras have ref_sensor: true"),
        ([{"cameras": [LEFT, {**LEFT, "image_prefix": "x"}]}], r"\[0\]: 2 cameras have ref_sensor"),
        ([{"cameras": [LEFT, {**RIGHT, "image_prefix": "left/"}]}], "two cameras have image_prefix 'left/'"),
        ([{"cameras": [LEFT, {**RIGHT, "prefix": 1}]}], r"\[0\].cameras\[1\]: unknown key 'prefix'"),
        ([{"cameras": [LEFT, {"image_prefix": ""}]}], r"\[0\].cameras\[1\].image_prefix: expected"),
        ([{"cameras": [LEFT, {**RIGHT, "ref_sensor": 1}]}], r"cameras\[1\].ref_sensor: expected true"),
        ([{"cameras": [LEFT, {**RIGHT, "cam_from_rig_rotation": [1, 0, 0]}]}], "expected 4 numbers"),
        ([{"cameras": [LEFT, {**RIGHT, "cam_from_rig_rotation": [2, 0, 0, 0]}]}], "not a unit quaternion"),
        (
            '[{"cameras": [{"image_prefix": "a", "ref_sensor": true}, {"image_prefix": "b", '
            '"cam_from_rig_rotation": [1, 0, 0, 0], "cam_from_rig_translation": [NaN, 0, 0]}]}]',
            r"cam_from_rig_translation: expected 3 numbers",
        ),
        ([{"cameras": [LEFT, {"image_prefix": "b", "cam_from_rig_rotation": [1, 0, 0, 0]}]}], "go together"),
        ([{"cameras": [{**RIGHT, "ref_sensor": True}]}], "the rig's own frame"),
        ([{"cameras": [{**LEFT, "camera_model_name": "PINHOL"}]}], r"camera_model_name: 'PINHOL'"),
        ([{"cameras": [{**LEFT, "camera_model_name": "PINHOLE", "camera_params": [1]}]}], "expected 4 num"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_key(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_rig_config(written(tmp_path, content))


def test_cameras_without_photos_and_rigs_without_frames_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [{"cameras": [LEFT, RIGHT]}])
    rigs = read_rig_config(path)

    check_rig_photos(path, rigs, NAMES)
    with pytest.raises(InputError, match=r"cameras\[1\].image_prefix: no photo's name begins with 'right/'"):
        check_rig_photos(path, rigs, NAMES[:2])
    with pytest.raises(InputError, match="the same name after image_prefix"):
        check_rig_photos(path, rigs, ("left/1.jpg", "right/2.jpg"))


def test_each_camera_of_a_rig_is_one_camera_and_others_are_their_own(
    tmp_path: Path, output: Output, photos: Path, make_photo: MakePhoto
) -> None:
    for name in NAMES:
        make_photo(name)
    right = {**RIGHT, "camera_model_name": "PINHOLE", "camera_params": [90, 91, 48, 32]}
    path = written(tmp_path, [{"cameras": [LEFT, right]}])

    collection = output.ingest(photos, rig_config=str(path), camera_sharing="single")

    by_name = {photo.name: photo.camera_id for photo in collection.photos}
    assert by_name["left/1.jpg"] == by_name["left/2.jpg"]
    assert by_name["right/1.jpg"] == by_name["right/2.jpg"]
    assert len(set(by_name.values())) == 3
    known = collection.cameras[by_name["right/1.jpg"]]
    assert (known.model, known.params, known.has_prior_focal_length) == ("PINHOLE", (90, 91, 48, 32), True)
    assert len(collection.rigs) == 1


def test_a_camera_of_a_rig_with_photos_of_two_sizes_is_refused(
    tmp_path: Path, output: Output, photos: Path, make_photo: MakePhoto
) -> None:
    for name in NAMES[:-1]:
        make_photo(name, size=(128, 64) if name == "left/2.jpg" else (96, 64))

    with pytest.raises(InputError, match=r"the photos of 'left/' have 2 sizes"):
        output.ingest(photos, rig_config=str(written(tmp_path, [{"cameras": [LEFT, RIGHT]}])))


SIGMAS = Sigmas(5.0, 10.0)
PHOTOS = ("a.jpg", "b.jpg", "with blank.jpg", "sub/d.jpg")


def read(tmp_path: Path, text: str, unused: tuple[str, ...] = ()) -> dict[str, tuple[object, ...]]:
    path = tmp_path / "positions.txt"
    path.write_text(text, encoding="utf-8")
    found = read_positions_file(path, PHOTOS, SIGMAS, unused=unused)
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

    filled = with_heights(read_positions_file(path, PHOTOS, SIGMAS))

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
        read_positions_file(tmp_path / "none.txt", PHOTOS, SIGMAS)
    binary = tmp_path / "b.bin"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not a text file"):
        read_positions_file(binary, PHOTOS, SIGMAS)
