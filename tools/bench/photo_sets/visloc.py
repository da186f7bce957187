"""Benchmarks of visual localisation as their sites ship them: queries, and where they are given their truth.

    kapture    DIR/query, DIR/mapping: sensors/*.txt, photos in sensors/records_data; or DIR/sensors alone
    aachen     Aachen Day-Night v1.1: DIR/queries/*_time_queries_with_intrinsics.txt, DIR/images_upright
    inloc      DIR/query/iphone7/*.JPG
    cambridge  a scene of Cambridge Landmarks: DIR/dataset_{train,test}.txt, photos below DIR
    7scenes    DIR/{Train,Test}Split.txt, DIR/seq-01/frame-000000.{color.png,pose.txt}
    rendered   a scene of tools/render_scene.py: every third photo is a query

visuallocalization.net keeps the truth of Aachen and InLoc. Their maps, a COLMAP model and scans, are not read
here; kapture has poses of the photos of both.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image

from photo_sets.kapture import Record, camera_of, load_kapture
from photo_sets.mapfree import pose_of
from photo_sets.scene import photos_in
from photo_sets.texts import Line, lines_of, matrix, numbers, pose
from sfm.errors import InputError
from sfm.evaluation import load_ground_truth

_SEVEN_SCENES = ["SIMPLE_PINHOLE", "640", "480", "525", "320", "240"]
"""The sensor's default for colour; none is published with the photos."""
_IPHONE_7_FOCAL = 28 / 36
"""Of the longer side: 28 mm on film 36 mm wide."""
_NO_NUMBER = re.compile(r"[-+]?(nan|inf|\d+\.#\w+)(\(\w+\))?", re.IGNORECASE)
"""What is written in an invalid pose: nan, -inf, -1.#IND."""


@dataclass(frozen=True, slots=True)
class Photos:
    """Photos and the folder that their names are relative to."""

    folder: Path
    records: Mapping[str, Record]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a benchmark gives."""

    queries: Photos
    mapping: Photos | None = None
    """Photos of the map that have poses; None where the layout has none."""


def load_visloc(layout: str, root: Path) -> Benchmark:
    """A benchmark by the name of its layout, from `LAYOUTS`.

    Raises:
        InputError: a file is missing or malformed; with its name, and its line where it has any.
    """
    if not root.is_dir():
        raise InputError(f"{root} does not exist", hint=f"give the folder of {layout}")
    return LAYOUTS[layout](root)


def _kapture(root: Path) -> Benchmark:
    parts = [root / name for name in ("query", "mapping")]
    if not parts[0].is_dir():
        return Benchmark(_kapture_photos(root))
    if not parts[1].is_dir():
        return Benchmark(_kapture_photos(parts[0]))
    mapping = _posed(_kapture_photos(parts[1]))
    if not mapping.records:
        raise InputError(
            f"{parts[1] / 'sensors' / 'trajectories.txt'} has no pose of a photo of the map",
            hint="kapture's mapping has one of each photo",
        )
    return Benchmark(_kapture_photos(parts[0]), mapping)


def _kapture_photos(folder: Path) -> Photos:
    return Photos(folder / "sensors" / "records_data", load_kapture(folder))


def _aachen(root: Path) -> Benchmark:
    files = sorted((root / "queries").glob("*_queries_with_intrinsics.txt"))
    if not files:
        raise InputError(
            f"{root / 'queries'} holds no *_time_queries_with_intrinsics.txt",
            hint="give the folder of Aachen Day-Night v1.1 that holds queries/ and images_upright/",
        )
    records: dict[str, Record] = {}
    lines = {file: lines_of(file) for file in files}
    if empty := next((file for file in files if not lines[file]), None):
        raise InputError(f"{empty} names no query")
    for line in chain(*lines.values()):
        name, *values = line.text.split()
        if name in records:
            raise InputError(f"{line.where}: query {name!r} occurs twice")
        records[name] = Record(camera_of(line, values), None)
    return Benchmark(Photos(root / "images_upright", records))


def _inloc(root: Path) -> Benchmark:
    folder = root / "query" / "iphone7"
    records = {}
    for name in photos_in(folder):
        try:
            with Image.open(folder / name) as image:
                width, height = image.size
        except OSError as error:
            raise InputError(f"{folder / name} is no readable photo: {error}") from error
        focal = _IPHONE_7_FOCAL * max(width, height)
        camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", focal, width, height)
        records[name] = Record(camera, None)
    return Benchmark(Photos(folder, records))


def _cambridge(root: Path) -> Benchmark:
    test, train = (_cambridge_photos(root, f"dataset_{part}.txt") for part in ("test", "train"))
    return Benchmark(test, train)


def _cambridge_photos(root: Path, file: str) -> Photos:
    """A heading, then `PHOTO X Y Z W P Q R`: the camera's centre, and its rotation from world to camera."""
    heading, lines = lines_of(root / file)[:2], lines_of(root / file)[2:]
    if len(heading) < 2 or not heading[0].text.startswith("Visual Landmark Dataset") or not lines:
        raise InputError(
            f"{root / file} is no list of Cambridge Landmarks, or an empty one",
            hint="two lines of heading, then `PHOTO X Y Z W P Q R` for each photo",
        )
    records: dict[str, Record] = {}
    for line in lines:
        name, _, rest = line.text.strip().partition(" ")
        values = numbers(Line(line.where, rest), 7, "a photo, then X Y Z W P Q R")
        if name in records:
            raise InputError(f"{line.where}: photo {name!r} occurs twice")
        turn = pose_of(line, np.concatenate((values[3:], np.zeros(3)))).rotation
        records[name] = Record(None, pycolmap.Rigid3d(turn, -(turn.matrix() @ values[:3])))
    return Photos(root, records)


def _seven_scenes(root: Path) -> Benchmark:
    test, train = (_seven_scenes_photos(root, f"{part}Split.txt") for part in ("Test", "Train"))
    return Benchmark(test, _posed(train))


def _seven_scenes_photos(root: Path, split: str) -> Photos:
    records: dict[str, Record] = {}
    for line in lines_of(root / split):
        number = line.text.strip().removeprefix("sequence")
        if not (number.isascii() and number.isdigit()):
            raise InputError(f"{line.where}: {line.text.strip()!r} is no sequence, as sequence1")
        folder = root / f"seq-{int(number):02d}"
        for name in photos_in(folder, root):
            if name.endswith(".color.png"):
                camera = camera_of(Line(name, ""), _SEVEN_SCENES)
                records[name] = Record(camera, _tracked(root / name.replace(".color.png", ".pose.txt")))
    if not records:
        raise InputError(f"{root / split} names no sequence with frame-*.color.png")
    return Photos(root, records)


def _tracked(file: Path) -> pycolmap.Rigid3d | None:
    """cam_from_world from a 4 x 4 matrix, camera to world; None where tracking had failed."""
    lines = lines_of(file)
    if len(lines) != 4:
        raise InputError(f"{file}: expected the 4 rows of a 4x4 matrix, found {len(lines)} lines")
    rows = [line.text.split() for line in lines]
    if any(map(_NO_NUMBER.fullmatch, chain(*rows))) and all(len(row) == 4 for row in rows):
        return None
    found = matrix(lines, 4, "a 4x4 matrix")
    if np.any(found[3] != (0, 0, 0, 1)):
        raise InputError(f"{lines[3].where}: the last row of a pose is 0 0 0 1")
    return pose(found[:3, :3], found[:3, 3], str(file)).inverse()


def _rendered(root: Path) -> Benchmark:
    truth = load_ground_truth(root / "gt.json")
    cameras = truth.cameras or {}
    records = {name: Record(cameras.get(name), pose) for name, pose in sorted(truth.poses.items())}
    queries = dict(list(records.items())[1::3])
    mapping = {name: one for name, one in records.items() if name not in queries}
    return Benchmark(Photos(root / "images", queries), Photos(root / "images", mapping))


def _posed(photos: Photos) -> Photos:
    """Those that have a pose."""
    there = {name: one for name, one in photos.records.items() if one.cam_from_world is not None}
    return Photos(photos.folder, there)


LAYOUTS: Mapping[str, Callable[[Path], Benchmark]] = {
    "kapture": _kapture,
    "aachen": _aachen,
    "inloc": _inloc,
    "cambridge": _cambridge,
    "7scenes": _seven_scenes,
    "rendered": _rendered,
}
