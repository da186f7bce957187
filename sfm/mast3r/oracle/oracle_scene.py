"""Ground truth of a rendered scene: where every pixel's point lies, and which photos see it.

The folder is one that `tools/render_scene.py --depth` writes: `gt.json` with poses and cameras, and
`depth/NAME.npy` with the z-depth of each photo. It comes from a user's configuration and may be damaged.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.errors import InputError
from sfm.untrusted.names import path_below

from ..values import WindowMap

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_CAMERA_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
_SAME_SURFACE = 0.05
"""Relative difference of neighbouring depths up to which they are taken for one surface."""
_DEPTH_TOLERANCE = 0.02
"""Relative difference of depths up to which a photo sees a point rather than something before it."""
_SAME_RAY = 1e-3
_HINT = "give the folder that `tools/render_scene.py OUT --depth` wrote"


@dataclass(frozen=True, slots=True, eq=False)
class TrueView:
    """One rendered photo."""

    name: str
    camera: pycolmap.Camera
    rotation: Float64
    """(3, 3), camera from world."""
    translation: Float64
    """(3,), camera from world, metres."""
    component: str
    """Photos of different components show different places, though their coordinates may coincide."""
    depth_file: Path

    @property
    def photo_size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.camera.width, self.camera.height

    def depth(self) -> Float32:
        """z-depth at the photo's pixel centres, (H, W) float32, metres; 0 where nothing is.

        Raises:
            InputError: the file is missing, no such array, or of another size than the photo.
        """
        width, height = self.photo_size
        try:
            stored = np.load(self.depth_file, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise InputError(f"{self.depth_file}: no depth of photo {self.name}", hint=_HINT) from error
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{self.depth_file} is not a readable depth map: {error}", hint=_HINT) from error
        if (
            not isinstance(stored, np.ndarray)
            or stored.shape != (height, width)
            or stored.dtype != np.float32
        ):
            raise InputError(
                f"{self.depth_file}: expected ({height}, {width}) float32 for photo {self.name}", hint=_HINT
            )
        depth = np.array(stored)
        if not (np.isfinite(depth).all() and (depth >= 0).all()):
            raise InputError(f"{self.depth_file}: depth must be finite and not negative", hint=_HINT)
        return depth

    def world_points(self, grid: WindowMap) -> Float64:
        """The world point behind each network pixel, (H, W, 3), metres; NaN where nothing is."""
        where = _photo_pixels(grid)
        depth = depth_at(self.depth(), where)
        points = (self._rays(where) * depth[:, None] - self.translation) @ self.rotation
        points[depth == 0] = np.nan
        return np.asarray(points.reshape(*grid.size, 3), np.float64)

    def directions(self, grid: WindowMap) -> Float64:
        """Of the rays of network pixels, (H, W, 3) in world axes, each at z-depth 1."""
        turned = self._rays(_photo_pixels(grid)) @ self.rotation
        return np.asarray(turned.reshape(*grid.size, 3), np.float64)

    def _rays(self, where: Float64) -> Float64:
        flat = np.asarray(self.camera.cam_from_img(where), np.float64)
        return np.column_stack([flat, np.ones(len(flat))])

    def sees(self, points: Float64, grid: WindowMap) -> NDArray[np.bool_]:
        """Which world points (N, 3) this photo shows within its network image; none that are NaN."""
        local = points @ self.rotation.T + self.translation
        local[~(local[:, 2] > 0)] = [0.0, 0.0, -1.0]
        where = np.asarray(self.camera.img_from_cam(local), np.float64)
        seen = np.asarray(np.isfinite(where).all(axis=1), np.bool_)
        pixels = grid.to_network(np.where(seen[:, None], where, -1e6))
        seen &= (pixels >= -0.5).all(axis=1) & (pixels < np.array(grid.size[::-1]) - 0.5).all(axis=1)
        # far outside the picture radial distortion turns back, and would bring points in that no ray meets
        back = np.asarray(self.camera.cam_from_img(where[seen]), np.float64)
        straight = local[seen, :2] / local[seen, 2:]
        seen[seen] = np.abs(back - straight).max(axis=1) < _SAME_RAY
        there = depth_at(self.depth(), where[seen])
        seen[seen] = np.abs(there - local[seen, 2]) < _DEPTH_TOLERANCE * local[seen, 2]
        return seen


def _photo_pixels(grid: WindowMap) -> Float64:
    """Where the centres of network pixels lie in the photo, (H * W, 2)."""
    rows, columns = grid.size
    x, y = np.meshgrid(np.arange(columns, dtype=np.float64), np.arange(rows, dtype=np.float64))
    return np.asarray(grid.to_photo(np.stack([x, y], axis=-1).reshape(-1, 2)), np.float64)


def depth_at(depth: Float32, where: Float64) -> Float64:
    """z-depth at photo positions (N, 2) in COLMAP's convention; 0 where nothing is.

    Between pixels of one surface the inverse depth is interpolated, which is exact on planes; elsewhere the
    nearest pixel's depth holds.
    """
    height, width = depth.shape
    at = np.clip(where - 0.5, 0, [width - 1, height - 1])
    low = np.minimum(at.astype(np.int64), [max(width - 2, 0), max(height - 2, 0)])
    fx, fy = (at - low).T
    x, y = low.T
    x1, y1 = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    corners = np.stack([depth[y, x], depth[y, x1], depth[y1, x], depth[y1, x1]]).astype(np.float64)
    weights = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
    nearest = corners[np.argmax(weights, axis=0), np.arange(len(at))]
    smooth = (corners.min(axis=0) > 0) & (corners.max(axis=0) < (1 + _SAME_SURFACE) * corners.min(axis=0))
    inverse = (weights / np.where(corners > 0, corners, 1.0)).sum(axis=0)
    return np.asarray(np.where(smooth, 1 / np.maximum(inverse, 1e-12), nearest), np.float64)


def load_scene(folder: Path) -> dict[str, TrueView]:
    """The rendered photos by name; depth is read when it is needed.

    Raises:
        InputError: no `gt.json`, or an entry that is missing or nonsense; the message names it.
    """
    path = folder / "gt.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not a readable JSON file: {error}", hint=_HINT) from error
    images, cameras = (_table(content, key, path) for key in ("images", "cameras"))
    components = _table(content, "components", path) if "components" in content else {}
    return {
        name: TrueView(
            name,
            _camera(cameras.get(name), f"{path}: camera of {name!r}"),
            *_pose(entry, f"{path}: image {name!r}"),
            str(components.get(name, "")),
            path_below(folder / "depth", f"{name}.npy", where=path),
        )
        for name, entry in images.items()
    }


def _table(content: object, key: str, path: Path) -> dict[str, object]:
    table = content.get(key) if isinstance(content, dict) else None
    if not isinstance(table, dict) or not table:
        raise InputError(f"{path}: {key!r} must map photo names to their entries", hint=_HINT)
    return cast(dict[str, object], table)


def _camera(entry: object, where: str) -> pycolmap.Camera:
    fields = entry if isinstance(entry, dict) else {}
    model = fields.get("model")
    if model not in _CAMERA_MODELS:
        raise InputError(f"{where}: model must be one of {', '.join(_CAMERA_MODELS)}, not {model!r}")
    try:
        width, height = (int(fields[side]) for side in ("width", "height"))
        params = [float(value) for value in fields["params"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: width, height and params must be numbers") from error
    camera = pycolmap.Camera(model=model, width=max(width, 0), height=max(height, 0), params=params)
    if width < 1 or height < 1 or not camera.verify_params() or not np.isfinite(params).all():
        raise InputError(f"{where}: {width} x {height} px with params {params} is no camera of model {model}")
    return camera


def _pose(entry: object, where: str) -> tuple[Float64, Float64]:
    fields = entry if isinstance(entry, Mapping) else {}
    try:
        rotation = np.array(fields["R_cw"], np.float64)
        translation = np.array(fields["t_cw"], np.float64)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{where}: R_cw (3x3) and t_cw (3) must be given as numbers") from error
    proper = rotation.shape == (3, 3) and translation.shape == (3,)
    if not proper or not np.isfinite(translation).all() or not _is_rotation(rotation):
        raise InputError(f"{where}: R_cw must be a 3x3 rotation and t_cw 3 finite numbers")
    return rotation, translation


def _is_rotation(matrix: Float64) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.abs(matrix @ matrix.T - np.eye(3)).max() < 1e-3 and np.linalg.det(matrix) > 0)


def typical_footprint(views: Iterable[TrueView], grids: Mapping[str, WindowMap]) -> float:
    """Size in metres of what a network pixel covers: the median over pixels of the median photo."""
    sizes = []
    for view in views:
        depth = view.depth()
        if (depth > 0).any():
            sizes.append(float(np.median(depth[depth > 0])) * pixel_angle(view, grids[view.name]))
    if not sizes:
        raise InputError("the depth maps of the rendered scene show nothing at all", hint=_HINT)
    return float(np.median(sizes))


def pixel_angle(view: TrueView, grid: WindowMap) -> float:
    """Width of a network pixel at depth 1."""
    return grid.photo_px / view.camera.mean_focal_length()
