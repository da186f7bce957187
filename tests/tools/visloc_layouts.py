"""Fabricated benchmarks of visual localisation, one of each layout, and the poses they were made from."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pycolmap

from tests.tools.fabricate import Poses, numbers, poses_for, write_photos


def kapture(root: Path) -> Poses:
    made: Poses = {}
    for part, photos in (("query", ("q/a.jpg", "q/b.jpg")), ("mapping", ("db/1.jpg", "db/2.jpg"))):
        sensors = root / part / "sensors"
        sensors.mkdir(parents=True)
        (sensors / "sensors.txt").write_text("cam0, , camera, PINHOLE, 64, 48, 50, 50, 32, 24\n")
        records = "".join(f"{i}, cam0, {name}\n" for i, name in enumerate(photos))
        (sensors / "records_camera.txt").write_text(records)
        made |= (poses := poses_for(photos))
        numbered = enumerate(poses.values())
        rows = (f"{i}, cam0, {', '.join(map(str, (*wxyz(p), *p.translation)))}\n" for i, p in numbered)
        (sensors / "trajectories.txt").write_text("".join(rows))
        write_photos(sensors / "records_data", photos)
    pairs = root / "pairsfile" / "query"
    pairs.mkdir(parents=True)
    lines = (
        "q/b.jpg, db/1.jpg, 0.5",
        "q/a.jpg, db/1.jpg, 0.2",
        "q/a.jpg, db/2.jpg, 0.9",
        "q/a.jpg, db/3.jpg, 1",
    )
    (pairs / "top2.txt").write_text("# query, map, score\n" + "\n".join(lines) + "\n")
    return made


def aachen(root: Path) -> Poses:
    (root / "queries").mkdir()
    for part, name in (("day", "query/day/a.jpg"), ("night", "query/night/b.jpg")):
        line = f"{name} SIMPLE_RADIAL 64 48 50.5 32 24 -0.03\n"
        (root / "queries" / f"{part}_time_queries_with_intrinsics.txt").write_text(line)
        write_photos(root / "images_upright", [name])
    return {}


def inloc(root: Path) -> Poses:
    write_photos(root / "query" / "iphone7", ["IMG_0731.JPG", "IMG_0732.JPG"])
    return {}


def cambridge(root: Path) -> Poses:
    made: Poses = {}
    for part, names in (("train", ["seq1/1.png", "seq1/2.png"]), ("test", ["seq2/3.png"])):
        made |= (poses := poses_for(names))
        rows = [
            f"{name} {numbers(pose.inverse().translation)} {numbers(wxyz(pose))}\n"
            for name, pose in poses.items()
        ]
        heading = "Visual Landmark Dataset V1\nImageFile, Camera Position [X Y Z W P Q R]\n\n"
        (root / f"dataset_{part}.txt").write_text(heading + "".join(rows))
        write_photos(root, names)
    return made


def seven_scenes(root: Path) -> Poses:
    made: Poses = {}
    for split, sequence in (("Train", "seq-01"), ("Test", "seq-02")):
        (root / f"{split}Split.txt").write_text(f"sequence{int(sequence[-2:])}\n")
        names = [f"{sequence}/frame-{i:06d}.color.png" for i in range(3)]
        write_photos(root, names)
        made |= (poses := poses_for(names))
        for name, pose in poses.items():
            rows = np.vstack((pose.inverse().matrix(), [0, 0, 0, 1]))
            file = root / name.replace(".color.png", ".pose.txt")
            file.write_text("\n".join(numbers(row) for row in rows) + "\n")
            write_photos(root, [name.replace("color", "depth")])
        file.write_text("-1.#IND nan inf 0\n" * 4)  # tracking has failed
        del made[names[-1]]
    return made


def rendered(root: Path) -> Poses:
    names = [f"{i}.jpg" for i in range(5)]
    write_photos(root / "images", names)
    made = poses_for(names)
    poses = {
        name: {"R_cw": pose.rotation.matrix().tolist(), "t_cw": pose.translation.tolist()}
        for name, pose in made.items()
    }
    camera = {"model": "PINHOLE", "width": 64, "height": 48, "params": [50, 50, 32, 24]}
    content = {"images": poses, "cameras": dict.fromkeys(names, camera)}
    (root / "gt.json").write_text(json.dumps(content))
    return made


def wxyz(pose: pycolmap.Rigid3d) -> np.ndarray:
    return pose.rotation.quat[[3, 0, 1, 2]]


MAKERS: dict[str, Callable[[Path], Poses]] = {
    "kapture": kapture,
    "aachen": aachen,
    "inloc": inloc,
    "cambridge": cambridge,
    "7scenes": seven_scenes,
    "rendered": rendered,
}
