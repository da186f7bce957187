"""Sequences of CO3D (v2), as its repository's script unpacks them.

    CATEGORY/frame_annotations.jgz            gzipped JSON: a list of frames of all sequences
    CATEGORY/SEQUENCE/images/frame000001.jpg  (paths in the annotations are relative to the dataset's folder)

A frame has `sequence_name`, `image: {path, size: [height, width]}` and `viewpoint: {R, T, focal_length,
principal_point, intrinsics_format}` in PyTorch3D's convention: row vectors, x_cam = x_world R + T, with x to
the left and y up. Poses are COLMAP's.
"""

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from photo_sets.scene import BenchmarkScene, need_photos, need_truth, photos_in
from photo_sets.texts import pose
from sfm.colmap.model_cameras import checked_camera
from sfm.errors import InputError
from sfm.evaluation import GroundTruth

ANNOTATIONS = "frame_annotations.jgz"
Annotation = dict[str, Any]
_FLIP = np.diag([-1.0, -1.0, 1.0])


def co3d_sequences(root: Path) -> list[str]:
    """`CATEGORY/SEQUENCE` of all sequences whose photos are there."""
    files = sorted(root.glob(f"*/{ANNOTATIONS}"))
    folders = (path for file in files for path in sorted(file.parent.iterdir()))
    return [path.relative_to(root).as_posix() for path in folders if (path / "images").is_dir()]


def load_co3d(root: Path, scene: str) -> BenchmarkScene:
    """All frames of one sequence below the dataset's folder; `scene` is `CATEGORY/SEQUENCE`.

    Raises:
        InputError: a file is missing or malformed, or photos and annotations do not fit; names it.
    """
    folder = root / scene
    file = folder.parent / ANNOTATIONS
    poses, cameras = {}, {}
    for frame in _frames(file, folder.name):
        where = f"{file}: frame {frame.get('frame_number')} of {folder.name}"
        try:
            name = Path(frame["image"]["path"]).relative_to(Path(scene)).as_posix()
            poses[name], cameras[name] = _pose_and_camera(frame, where)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where} is malformed: {error!r}") from error
    if not poses:
        raise InputError(f"{file} has no frames of {folder.name}")
    poses = dict(sorted(poses.items()))
    need_photos(folder, poses, file)
    need_truth(photos_in(folder / "images", folder), poses, folder, file)
    return BenchmarkScene(
        dataset="co3d",
        scene=scene,
        photos=folder,
        names=tuple(poses),
        truth=GroundTruth(poses, None, None, cameras),
        kind="pseudo",
        origin="COLMAP",
    )


def read_annotations(file: Path) -> list[Annotation]:
    """The entries of an annotation file, of frames or of sequences.

    Raises:
        InputError: the file is missing, or is no gzipped JSON list of objects.
    """
    try:
        content = json.loads(gzip.decompress(file.read_bytes()))
    except FileNotFoundError as error:
        raise InputError(f"{file} is missing", hint="it comes with the photos of its category") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{file} is not a readable gzipped JSON file: {error}") from error
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise InputError(f"{file}: expected a list of frames or sequences")
    return content


def _frames(file: Path, sequence: str) -> Sequence[Annotation]:
    modified_ns = file.stat().st_mtime_ns if file.is_file() else 0
    return _frames_by_sequence(file, modified_ns).get(sequence, ())


# A category has thousands of sequences in one file of gigabytes; scenes come category by category.
@lru_cache(maxsize=1)
def _frames_by_sequence(file: Path, modified_ns: int) -> Mapping[str, Sequence[Annotation]]:
    found: dict[str, list[Annotation]] = {}
    for frame in read_annotations(file):
        found.setdefault(str(frame.get("sequence_name")), []).append(frame)
    return found


def _pose_and_camera(frame: Annotation, where: str) -> tuple[pycolmap.Rigid3d, pycolmap.Camera]:
    view = frame["viewpoint"]
    rotation = np.array(view["R"], dtype=np.float64).reshape(3, 3)
    translation = np.array(view["T"], dtype=np.float64).reshape(3)
    if not np.all(np.isfinite(translation)):
        raise InputError(f"{where}: its T is not finite")
    height, width = (int(n) for n in frame["image"]["size"])
    half = np.array([width, height]) / 2
    # NDC: [-1, 1] spans the shorter side, or, in the older format, each side; both with x left and y up.
    unit = half if view.get("intrinsics_format") == "ndc_norm_image_bounds" else np.full(2, half.min())
    focal = np.array(view["focal_length"], dtype=np.float64) * unit
    centre = half - np.array(view["principal_point"], dtype=np.float64) * unit
    camera = checked_camera("PINHOLE", width, height, [*focal, *centre], where)
    return pose(_FLIP @ rotation.T, _FLIP @ translation, where), camera
