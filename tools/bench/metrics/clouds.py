"""Point clouds in PLY files, and the volume in which Tanks and Temples compares them.

PLY is read by trimesh, which is a dependency already and reads text and binary files.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray

from sfm.errors import InputError

Array = NDArray[np.float64]


def read_cloud(file: Path) -> Array:
    """Points (N, 3) of a PLY file, or the corners of a mesh.

    Raises:
        InputError: the file is missing, no PLY file, or has no points or ones that are not finite.
    """
    if not file.is_file():
        raise InputError(f"{file} is missing")
    try:
        loaded = trimesh.load(file, file_type="ply", process=False)
    except Exception as error:  # whatever its parser trips over in a damaged file
        raise InputError(f"{file} is not a readable PLY file: {error!r}") from error
    points = np.array(getattr(loaded, "vertices", ()), dtype=np.float64).reshape(-1, 3)
    if not len(points) or not np.all(np.isfinite(points)):
        raise InputError(f"{file} has no points, or some that are not finite")
    return points


@dataclass(frozen=True, slots=True, eq=False)
class CropVolume:
    """A polygon along an axis of the scan's frame."""

    axis: int
    low: float
    high: float
    polygon: Array
    """Corners (K, 2) over the other two axes, in their order."""

    def holds(self, points: Array) -> NDArray[np.bool_]:
        """Whether each of (N, 3) points is between the ends and within the polygon (even-odd rule), (N,)."""
        along = points[:, self.axis]
        u, v = np.delete(points, self.axis, axis=1).T
        inside = np.zeros(len(points), dtype=bool)
        for (u0, v0), (u1, v1) in zip(self.polygon, np.roll(self.polygon, -1, axis=0), strict=True):
            if v0 == v1:
                continue
            crossing = (v0 > v) != (v1 > v)
            inside ^= crossing & (u < u0 + (v - v0) / (v1 - v0) * (u1 - u0))
        return inside & (along >= self.low) & (along <= self.high)


def read_crop(file: Path) -> CropVolume:
    """The SCENE.json of Tanks and Temples (`SelectionPolygonVolume` of Open3D).

    Raises:
        InputError: the file is missing or has another form.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        axis = "XYZ".index(content["orthogonal_axis"].upper())
        corners = np.array(content["bounding_polygon"], dtype=np.float64)
        low, high = float(content["axis_min"]), float(content["axis_max"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is not a crop volume: {error!r}") from error
    if corners.ndim != 2 or corners.shape[1] != 3 or len(corners) < 3 or not np.all(np.isfinite(corners)):
        raise InputError(f"{file}: bounding_polygon must be three or more points of three numbers")
    return CropVolume(axis, low, high, np.delete(corners, axis, axis=1))
