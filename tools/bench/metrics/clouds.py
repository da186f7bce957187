"""Point clouds in PLY files, text or binary."""

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
