"""Scenes of the Map-free benchmark as its site ships them: one reference photo each, and queries.

`{val,test}/sNNNNN/` holds `intrinsics.txt`, `poses.txt`, `seq0/frame_00000.jpg` (the reference) and
`seq1/frame_*.jpg`. Every fifth query is scored. The truth of test is not public; without `poses.txt` the
queries are the files of `seq1`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from photo_sets.texts import Line, lines_of, numbers
from sfm.errors import InputError
from sfm.ingest.photo_intrinsics import PhotoIntrinsics, read_photo_intrinsics

EVERY = 5
REFERENCE = "seq0/frame_00000.jpg"
SPLITS = ("val", "test")
_UNIT = 1e-3
"""Quaternions and the reference's pose may be off by this: files have five or six digits."""


@dataclass(frozen=True, slots=True)
class Query:
    """A photo that is scored."""

    name: str
    """Below the scene, as in its files: seq1/frame_00005.jpg."""
    cam_from_world: pycolmap.Rigid3d | None
    """Metres; None where the truth is not public."""
    calibration: NDArray[np.float64]
    """(3, 3), px."""
    size: tuple[int, int]
    """Width and height, px."""


@dataclass(frozen=True, slots=True)
class MapFreeScene:
    """One place."""

    name: str
    folder: Path
    queries: tuple[Query, ...]

    @property
    def reference(self) -> Path:
        """The photo that the queries are localised by."""
        return self.folder / REFERENCE

    @property
    def intrinsics(self) -> Path:
        """A line a photo: path fx fy cx cy width height."""
        return self.folder / "intrinsics.txt"

    @property
    def has_truth(self) -> bool:
        """Whether the queries can be scored here."""
        return all(query.cam_from_world is not None for query in self.queries)


def scene_folders(root: Path, split: str, names: tuple[str, ...] = ()) -> list[Path]:
    """Folders of the scenes of a split, by name; all, or those that are named.

    Raises:
        InputError: there is no such folder, or no scene in it.
    """
    place = root / split
    if not place.is_dir():
        raise InputError(f"{place} does not exist", hint="give the folder that holds val/ and test/")
    there = {path.name: path for path in sorted(place.glob("s[0-9]*")) if path.is_dir()}
    missing = [name for name in names if name not in there]
    if missing or not there:
        raise InputError(f"{place} holds no scene {missing[0] if missing else 'sNNNNN'}")
    return [there[name] for name in names or there]


def load_mapfree(folder: Path) -> MapFreeScene:
    """The scored queries of a scene.

    Raises:
        InputError: a file is missing or malformed, or a photo is not there; with file and line.
    """
    cameras = read_photo_intrinsics(folder / "intrinsics.txt")
    path = folder / "poses.txt"
    named = _poses(path) if path.exists() else _listed(folder)
    queries = tuple(
        Query(name, pose, *_calibration(cameras, name)) for name, pose in list(named.items())[::EVERY]
    )
    _calibration(cameras, REFERENCE)
    for name in (REFERENCE, *(query.name for query in queries)):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing", hint=f"{path} or the layout names it")
    return MapFreeScene(folder.name, folder, queries)


def pose_of(line: Line, values: NDArray[np.float64]) -> pycolmap.Rigid3d:
    """A pose from its quaternion w x y z and translation (7,).

    Raises:
        InputError: the quaternion is not of unit length.
    """
    if abs(float(np.linalg.norm(values[:4])) - 1) > _UNIT:
        raise InputError(f"{line.where}: the quaternion w x y z is not of unit length")
    w, x, y, z = values[:4] / np.linalg.norm(values[:4])
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([x, y, z, w])), values[4:7])


def _poses(path: Path) -> dict[str, pycolmap.Rigid3d]:
    """Poses of the queries by name, in the order of the file."""
    found: dict[str, pycolmap.Rigid3d] = {}
    has_reference = False
    for line in lines_of(path):
        if line.text.lstrip().startswith("#"):
            continue
        name, _, rest = line.text.strip().partition(" ")
        pose = pose_of(line, numbers(Line(line.where, rest), 7, "a path, then qw qx qy qz tx ty tz"))
        if name == REFERENCE:
            identity = np.hstack((np.eye(3), np.zeros((3, 1))))
            if np.abs(pose.matrix() - identity).max() > _UNIT:
                raise InputError(f"{line.where}: the pose of the reference is not the identity")
            has_reference = True
        elif name in found or not name.startswith("seq1/"):
            raise InputError(f"{line.where}: {name!r} occurs twice or is no photo of seq1")
        else:
            found[name] = pose
    if not found or not has_reference:
        raise InputError(f"{path} has no line of {'seq1' if has_reference else REFERENCE}")
    return found


def _listed(folder: Path) -> dict[str, None]:
    names = sorted(f"seq1/{path.name}" for path in (folder / "seq1").glob("frame_*.jpg"))
    if not names:
        raise InputError(f"{folder / 'seq1'} holds no frame_*.jpg, and there is no poses.txt")
    return dict.fromkeys(names)


def _calibration(cameras: PhotoIntrinsics, name: str) -> tuple[NDArray[np.float64], tuple[int, int]]:
    camera = cameras.of(Path(name))
    if camera.model != "PINHOLE":
        raise InputError(f"{cameras.path}: {name} has a {camera.model}; Map-free's cameras are pinholes")
    fx, fy, cx, cy = camera.params
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), camera.size
