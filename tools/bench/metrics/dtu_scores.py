"""Clouds of DTU scans against their structured-light scans, as the dataset's own program compares them.

Aanaes et al. 2016, "Large-Scale Data for Multiple-View Stereopsis". All lengths are millimetres.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.spatial import cKDTree

from metrics.clouds import Array, read_cloud
from sfm.errors import InputError

SCANS = (1, 4, 9, 10, 11, 12, 13, 15, 23, 24, 29, 32, 33, 34, 48, 49, 62, 75, 77, 110, 114, 118)
"""The evaluation set."""
PUBLISHED_MM = {"accuracy": 0.403, "completeness": 0.344, "overall": 0.374}
"""MASt3R's (Leroy et al. 2024), which was not trained on DTU."""
SPACING_MM = 0.2
"""Points of a cloud are thinned to this distance."""
MAX_DISTANCE_MM = 20.0
"""Distances from here on are left out."""
MARGIN_MM = 60.0
"""Around the scan's box, of the points that completeness is measured to; twice as much at the far ends."""
_CHUNK = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class DtuScan:
    """The truth of one scan.

    Attributes:
        surface: (S, 3) scanned points.
        is_observed: (X, Y, Z) whether a cell of the box can be judged.
        box: (2, 3) its first and last corner.
        cell: side of a cell.
        plane: (4,) of the table; scanned points are judged where `plane @ (x, y, z, 1) > 0`.
    """

    surface: Array
    is_observed: NDArray[np.bool_]
    box: Array
    cell: float
    plane: Array

    @classmethod
    def read(cls, root: Path, scan: int) -> "DtuScan":
        """Read `ObsMask/ObsMask{N}_10.mat`, `ObsMask/Plane{N}.mat` and `Points/stl/stl{N:03}_total.ply`.

        Raises:
            InputError: a file is missing, damaged, or has other content.
        """
        mask_file, plane_file = (
            root / "ObsMask" / name for name in (f"ObsMask{scan}_10.mat", f"Plane{scan}.mat")
        )
        is_observed, box, cell = _matrices(mask_file, ("ObsMask", "BB", "Res"))
        (plane,) = _matrices(plane_file, ("P",))
        if is_observed.ndim != 3 or box.shape != (2, 3) or cell.size != 1 or not cell.item() > 0:
            raise InputError(f"{mask_file}: ObsMask must be (X, Y, Z), BB (2, 3) and Res one positive number")
        if not (np.all(np.isfinite(box)) and np.all(box[0] < box[1])):
            raise InputError(f"{mask_file}: BB must hold the first corner of a box, then the last")
        if plane.size != 4 or not np.all(np.isfinite(plane)) or not np.any(plane.ravel()[:3]):
            raise InputError(f"{plane_file}: P must be the four numbers of a plane")
        surface = read_cloud(root / "Points" / "stl" / f"stl{scan:03}_total.ply")
        return cls(surface, is_observed.astype(bool), box, float(cell.item()), plane.ravel())

    def can_judge(self, points: Array) -> NDArray[np.bool_]:
        """Whether each of (N, 3) points is in an observed cell, (N,)."""
        cells = np.rint((points - self.box[0]) / self.cell).astype(np.int64)
        inside = np.all((cells >= 0) & (cells < self.is_observed.shape), axis=1)
        found = np.zeros(len(points), dtype=bool)
        found[inside] = self.is_observed[tuple(cells[inside].T)]
        return found


@dataclass(frozen=True, slots=True)
class DtuScore:
    """Mean distances of one cloud; NaN where nothing is near enough to be counted."""

    scan: int
    num_points: int
    """After thinning."""
    accuracy: float
    """Of the cloud's observed points to the scan."""
    completeness: float
    """Of the scan's points above the table to the cloud."""

    @property
    def overall(self) -> float:
        """The mean of both."""
        return (self.accuracy + self.completeness) / 2


def dtu_score(scan: int, cloud: Array, truth: DtuScan) -> DtuScore:
    """Accuracy and completeness of a cloud (N, 3) in the frame of its scan."""
    points = evenly_spaced(cloud, SPACING_MM)
    near = np.all((points >= truth.box[0] - MARGIN_MM) & (points < truth.box[1] + 2 * MARGIN_MM), axis=1)
    points = points[near]
    above = truth.surface @ truth.plane[:3] + truth.plane[3] > 0
    return DtuScore(
        scan,
        len(points),
        _mean_distance(points[truth.can_judge(points)], truth.surface),
        _mean_distance(truth.surface[above], points),
    )


def mean_scores(scores: Iterable[DtuScore]) -> dict[str, float]:
    """Means over scans, by name of the figure."""
    rows = list(scores)
    return {
        name: float(np.mean([getattr(row, name) for row in rows]))
        for name in ("accuracy", "completeness", "overall")
    }


def evenly_spaced(points: Array, spacing: float, *, seed: int = 0) -> Array:
    """Points of which none has another within `spacing`; in random order, each removes those around it."""
    points = np.random.default_rng(seed).permutation(points)
    tree, stays = cKDTree(points), np.ones(len(points), dtype=bool)
    for start in range(0, len(points), _CHUNK):
        around = tree.query_ball_point(points[start : start + _CHUNK], spacing)
        for index, others in enumerate(around, start=start):
            if stays[index]:
                stays[others] = False
                stays[index] = True
    return points[stays]


def _mean_distance(points: Array, others: Array) -> float:
    if not len(points) or not len(others):
        return float("nan")
    distances = cKDTree(others).query(points, distance_upper_bound=MAX_DISTANCE_MM)[0]
    counted = distances[distances < MAX_DISTANCE_MM]
    return float(counted.mean()) if len(counted) else float("nan")


def _matrices(file: Path, names: tuple[str, ...]) -> list[Array]:
    if not file.is_file():
        raise InputError(f"{file} is missing", hint="get DTU's SampleSet, which has the evaluation's files")
    try:
        content = loadmat(file, variable_names=names)
        return [np.asarray(content[name], dtype=np.float64) for name in names]
    except Exception as error:  # whatever scipy's parser trips over in a damaged file
        raise InputError(f"{file} has no matrices {', '.join(names)}: {error!r}") from error
