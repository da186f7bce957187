"""Altered photos: what they show lies where their true poses say, and a run of them is measured."""

import json
import sys
from pathlib import Path

import alter_photos
import numpy as np
import pycolmap
import pytest
from engines import settings
from harness.measured import Measured
from photo_sets.altered import KINDS, Photo, altered, upright
from PIL import Image, ImageDraw

from tests.tools import fabricate

SIZE, FOCAL = (160, 120), 150.0
POINT = np.array([0.7, -0.4, 5.0])


def turned(x: float, y: float, z: float) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([x, y, z])), np.array([0.1, -0.2, 0.3]))


def seen(pose: pycolmap.Rigid3d, size: tuple[int, int]) -> np.ndarray:
    """Where a camera of this pose has the point, px."""
    x, y, z = pose * POINT
    return np.array([FOCAL * x / z, FOCAL * y / z]) + np.array(size) / 2


def shot(pose: pycolmap.Rigid3d) -> Image.Image:
    """A dark photo with a bright dot at the point."""
    image = Image.new("RGB", SIZE, (20, 20, 20))
    x, y = seen(pose, SIZE) - 0.5
    ImageDraw.Draw(image).ellipse((x - 3, y - 3, x + 3, y + 3), fill=(255, 255, 255))
    return image


def brightest(image: Image.Image) -> np.ndarray:
    y, x = np.nonzero(np.asarray(image.convert("L")) > 128)
    return np.array([x.mean(), y.mean()]) + 0.5


@pytest.fixture
def photos() -> list[Photo]:
    poses = [turned(0.02 * i, -0.01 * i, 0.05 * i) for i in range(10)]
    return [Photo(f"a/{i}.jpg", shot(pose), pose) for i, pose in enumerate(poses)]


@pytest.mark.parametrize("kind", ["plain", "rotated", "portrait", "poor", "duplicates", "thinned"])
def test_the_point_is_where_the_altered_pose_has_it(kind: str, photos: list[Photo]) -> None:
    for photo in altered(photos, kind):
        assert photo.pose is not None
        assert np.abs(brightest(photo.image) - seen(photo.pose, photo.image.size)).max() < 1


@pytest.mark.parametrize(("orientation", "turn"), [(3, 180), (6, 90), (8, 270)])
def test_orientation_is_applied_to_photo_and_pose(orientation: int, turn: int, tmp_path: Path) -> None:
    pose = turned(0.1, -0.05, 0.2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    shot(pose).save(tmp_path / "stored.png", exif=exif)
    with Image.open(tmp_path / "stored.png") as stored:
        found = upright("b/stored.png", stored, pose)

    assert found.name == "b/stored.jpg"
    assert found.image.size == (SIZE if turn == 180 else SIZE[::-1])
    assert found.pose is not None
    assert np.abs(brightest(found.image) - seen(found.pose, found.image.size)).max() < 1


def test_zoomed_photos_have_a_longer_focal_length(photos: list[Photo]) -> None:
    zoomed = altered(photos, "zoom-two")

    assert [one.image.size for one in zoomed] == [SIZE] * 10
    assert zoomed[2].image is photos[2].image
    middle = np.array(SIZE) / 2
    far = brightest(zoomed[3].image) - middle
    assert far == pytest.approx(2 * (brightest(photos[3].image) - middle), abs=1.5)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_what_it_says_and_is_the_same_each_time(kind: str, photos: list[Photo]) -> None:
    other = Photo("other.jpg", Image.new("RGB", SIZE), None)
    found, again = (altered(photos, kind, [other]) for _ in range(2))

    assert [one.image.tobytes() for one in found] == [one.image.tobytes() for one in again]
    assert len({one.name for one in found}) == len(found)
    numbers = {"duplicates": 14, "burst": 40, "thumbnails": 20, "foreign": 11, "thinned": 5}
    assert len(found) == numbers.get(kind, 10)
    same = [one.image.tobytes() for one in found] == [one.image.tobytes() for one in photos]
    assert same == (kind == "plain")
    unknown = [one.name for one in found if one.pose is None]
    assert unknown == {"foreign": ["other.jpg"], "mirrored": ["a/4.jpg"]}.get(kind, [])


def test_a_run_is_measured_against_the_altered_truth(tmp_path: Path, monkeypatch, capsys) -> None:
    names = [f"{i}.jpg" for i in range(9)]
    poses = fabricate.poses_for(names)
    fabricate.write_photos(tmp_path / "set" / "images", names)
    fabricate.write_photos(tmp_path / "else" / "images", ["x.jpg"])
    entries = {
        name: {"R_cw": pose.rotation.matrix().tolist(), "t_cw": pose.translation.tolist()}
        for name, pose in poses.items()
    }
    (tmp_path / "set" / "gt.json").write_text(json.dumps({"images": entries, "unit": "m"}))

    def run_python(command: list[str], given: object, log: Path) -> Measured:
        images, out = Path(command[3]), Path(command[5])
        assert (images / "else.jpg").is_file() == ("foreign" in str(images))
        truth = alter_photos.load_ground_truth(images.parent / "gt.json").poses
        fabricate.colmap_text(out / "sparse" / "0", truth, ["PINHOLE 64 48 50 50 32 24"])
        return Measured(9.0, 4.0, 1.0, 7, False, "")

    monkeypatch.setattr(settings, "run_python", run_python)
    words = ["set", "--data", tmp_path, "--cache", tmp_path / "cache", "--kinds", "mirrored,foreign"]
    monkeypatch.setattr(sys, "argv", ["alter_photos.py", *map(str, words), "--out", str(tmp_path / "r.json")])
    alter_photos.main()

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [tuple(row[key] for key in ("kind", "photos", "registered", "cpu_s", "exit_code")) for row in rows]
    assert told == [("mirrored", 9, 8, 4.0, 7), ("foreign", 10, 9, 4.0, 7)]
    assert [row["auc1"] for row in rows] == pytest.approx([100, 100])
    assert json.loads((tmp_path / "r.json").read_text())["rows"] == rows
