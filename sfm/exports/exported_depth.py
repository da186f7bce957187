"""Depth that `sfm export --to views` or `--preset scene` wrote, read again beside the model that it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.errors import InputError
from sfm.exports.view_maps import Grid, ViewMap
from sfm.untrusted.documents import fits, read_json
from sfm.untrusted.names import path_below

_SAME_POSE = 1e-6
"""Relative difference of poses that went through files."""
_UNREADABLE = (OSError, ValueError, EOFError, MemoryError, OverflowError, SyntaxError, TypeError, TokenError)
"""What NumPy raises at damaged headers of its files, which are text of Python."""
_HINT = "make it again: sfm export MODEL --to views, without --metres"

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ExportedDepth:
    """Depth of photos in a folder with `views.json`, `depth/` and `confidence/`."""

    folder: Path
    files: Mapping[str, str]
    """Stem of each photo's files."""
    min_confidence: float
    is_aligned: bool

    def points(self, image: pycolmap.Image, camera: pycolmap.Camera, limit: int) -> tuple[Float64, Float64]:
        """Pixels (N, 2) of a photo with confident depth and no edge, and their points in the world (N, 3).

        Of more than about `limit`, those of a regular grid. No pixels for a photo without depth.

        Raises:
            InputError: a file is missing or damaged, or the depth is of another model.
        """
        if image.name not in self.files:
            return np.zeros((0, 2)), np.zeros((0, 3))
        view = self._view(image, camera)
        usable = view.usable(self.min_confidence) & ~view.edges()
        step = max(1, round(float(np.sqrt(np.count_nonzero(usable) / limit))))
        chosen = np.zeros(usable.shape, np.bool_)
        chosen[step // 2 :: step, step // 2 :: step] = usable[step // 2 :: step, step // 2 :: step]
        xyz = view.world_points(chosen)
        known = np.isfinite(xyz).all(axis=1)
        return view.grid.centres()[chosen.ravel()][known], xyz[known]

    def _view(self, image: pycolmap.Image, camera: pycolmap.Camera) -> ViewMap:
        stem = self.files[image.name]
        about = path_below(self.folder / "depth", f"{stem}.json", where=self.folder / "views.json")
        content = read_json(about)
        wanted = {"photo_from_pixel": {"scale": [float], "offset": [float]}, "cam_from_world": [[float]]}
        if not fits(content, wanted):
            raise InputError(f"{about} is not what sfm export wrote", hint=_HINT)
        place, pose = content["photo_from_pixel"], content["cam_from_world"]
        if len(place["scale"]) != 2 or len(place["offset"]) != 2 or min(place["scale"]) <= 0:
            raise InputError(f"{about}: photo_from_pixel is not of two axes", hint=_HINT)
        here = image.cam_from_world().matrix()
        far = _SAME_POSE * (1 + float(np.abs(here).max()))
        if [len(row) for row in pose] != [4] * 3 or not np.abs(np.array(pose) - here).max() <= far:
            raise InputError(f"{about}: {image.name} has another pose in the model", hint=_HINT)
        depth = _array(self.folder / "depth" / f"{stem}.npy")
        confidence = _array(self.folder / "confidence" / f"{stem}.npy")
        if depth.shape != confidence.shape:
            raise InputError(f"{about.with_suffix('.npy')}: not of the size of its confidence", hint=_HINT)
        grid = Grid(tuple(place["scale"]), tuple(place["offset"]), (depth.shape[1], depth.shape[0]))
        return ViewMap(image, camera, grid, depth, confidence, self.is_aligned)


def read_exported_depth(folder: Path) -> ExportedDepth:
    """What a folder of `sfm export --to views`, or OUT of `--preset scene`, has of depth.

    Raises:
        InputError: it has none, or a damaged `views.json`.
    """
    path = folder / "views.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no views.json", hint="sfm export MODEL --to views writes depth")
    content = read_json(path, errors="surrogateescape")
    if not fits(content, {"views": {str: {"file": str}}, "min_confidence": float}):
        raise InputError(f"{path} is not what sfm export wrote", hint=_HINT)
    files = {name: view["file"] for name, view in content["views"].items()}
    return ExportedDepth(folder, files, content["min_confidence"], content.get("depth_from") == "alignment")


def _array(path: Path) -> NDArray[np.float32]:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except _UNREADABLE as error:
        raise InputError(f"{path} is not a readable array: {error}", hint=_HINT) from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype != np.float32 or not found.size:
        raise InputError(f"{path}: expected (H, W) float32", hint=_HINT)
    return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
