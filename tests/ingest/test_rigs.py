"""Rigs that the user describes, and the cameras of their photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sfm.errors import InputError
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
