"""Internet photos with Bundler's result as their truth, as 1DSfM (Wilson and Snavely, ECCV 2014) ships them.

    SCENE/list.txt         a photo a line: NAME, or NAME 0 FOCAL
    SCENE/gt_bundle.out    Bundler v0.3: `# Bundle file v0.3`, `CAMERAS POINTS`, five lines a camera
    SCENE/cc.txt           indices of the photos that hang together (optional)
    photos as list.txt names them, below SCENE/ or SCENE/images/

A camera is `f k1 k2`, R in three rows, t: cam_from_world with y up and z backwards; it stands at its photo's
place in list.txt, and f = 0 is a photo that Bundler left out. Format: Bundler's manual, "Output format".
"""

from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image

from photo_sets.places import scene_folder
from photo_sets.scene import BenchmarkScene, need_photos
from photo_sets.texts import lines_of, matrix, numbers, pose
from sfm.errors import InputError
from sfm.evaluation import GroundTruth

_BLOCK = 5
_FLIP = np.diag([1.0, -1.0, -1.0])


def load_internet(root: Path, scene: str) -> BenchmarkScene:
    """The scene below the dataset's folder.

    Asked for are the photos of cc.txt (or else all of list.txt) and of the truth.

    Raises:
        InputError: a file is missing or malformed, or a photo asked for is not there; names it.
    """
    folder = scene_folder(root, scene)
    listed = [line.text.split()[0] for line in lines_of(folder / "list.txt")]
    photos = _photos_folder(folder, listed)
    bundle = folder / "gt_bundle.out"
    cameras = read_bundle(bundle)
    if len(cameras) != len(listed):
        raise InputError(f"{bundle} has {len(cameras)} cameras and list.txt {len(listed)} photos")
    known = {name: camera for name, camera in zip(listed, cameras, strict=True) if camera is not None}
    if not known:
        raise InputError(f"{bundle} has no camera with a focal length", hint="it is not a finished result")
    need_photos(photos, sorted(known), bundle)
    names = tuple(sorted({*known, *_connected(folder, listed)}))
    need_photos(photos, names, folder / "list.txt")
    return BenchmarkScene(
        dataset="1dsfm",
        scene=scene,
        photos=photos,
        names=names,
        truth=GroundTruth(
            {name: known[name][0] for name in sorted(known)},
            None,
            None,
            {name: _camera(photos / name, *known[name][1]) for name in sorted(known)},
        ),
        kind="pseudo",
        origin="Bundler",
    )


_Intrinsics = tuple[float, float, float]


def read_bundle(file: Path) -> list[tuple[pycolmap.Rigid3d, _Intrinsics] | None]:
    """cam_from_world (z forward, y down) and f, k1, k2 in the order of list.txt; None for photos left out.

    Raises:
        InputError: the file is missing, short, or a camera's numbers are no pose; names the line.
    """
    lines = lines_of(file)
    if len(lines) < 2 or not lines[0].text.startswith("# Bundle file"):
        raise InputError(f"{file} is no Bundler file: it does not begin with '# Bundle file'")
    count = int(numbers(lines[1], 2, "CAMERAS POINTS")[0])
    if len(lines) < 2 + _BLOCK * count:
        raise InputError(f"{file} is truncated: it announces {count} cameras and ends before the last")
    found: list[tuple[pycolmap.Rigid3d, _Intrinsics] | None] = []
    for start in range(2, 2 + _BLOCK * count, _BLOCK):
        f, k1, k2 = numbers(lines[start], 3, "F K1 K2")
        if f == 0:
            found.append(None)
            continue
        rotation = _FLIP @ matrix(lines[start + 1 : start + 4], 3, "a rotation")
        translation = _FLIP @ numbers(lines[start + 4], 3, "a translation")
        found.append((pose(rotation, translation, lines[start].where), (f, k1, k2)))
    return found


def _photos_folder(folder: Path, listed: list[str]) -> Path:
    below = folder / "images"
    return (
        below if listed and not (folder / listed[0]).is_file() and (below / listed[0]).is_file() else folder
    )


def _connected(folder: Path, listed: list[str]) -> list[str]:
    file = folder / "cc.txt"
    if not file.is_file():
        return listed
    names = []
    for line in lines_of(file):
        index = numbers(line, 1, "the index of a photo")[0]
        if index != int(index) or not 0 <= index < len(listed):
            raise InputError(f"{line.where}: list.txt has no photo {line.text.strip()}")
        names.append(listed[int(index)])
    return names


def _camera(photo: Path, f: float, k1: float, k2: float) -> pycolmap.Camera:
    """COLMAP's RADIAL; Bundler's origin is the middle of the photo, its y axis points up as its camera's."""
    try:
        with Image.open(photo) as picture:
            width, height = picture.size
    except OSError as error:
        raise InputError(f"{photo} is not a readable photo: {error}") from error
    params = [f, width / 2, height / 2, k1, k2]
    return pycolmap.Camera(model="RADIAL", width=width, height=height, params=params)
