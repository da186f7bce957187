"""Figures of the Map-free benchmark (Arnold et al., ECCV 2022): what poses by one photo are worth for AR."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

Array = NDArray[np.float64]

_COUNT, _STEP_M, _NEAREST_M = (7, 4, 7), 0.3, 1.8
"""Virtual points before the query's camera, along x, y and z."""
VCRE_PX = (90.0, 45.0)
MAX_M, MAX_DEG = 0.25, 5.0
_MIN_DEPTH_M = 1e-6


@dataclass(frozen=True, slots=True)
class Scored:
    """The errors of a query's pose; all infinite where there is none."""

    scene: str
    vcre_px: float = np.inf
    error_m: float = np.inf
    error_deg: float = np.inf
    confidence: float | None = None
    """None: there is no pose."""


def scored(
    scene: str,
    truth: pycolmap.Rigid3d,
    estimate: pycolmap.Rigid3d,
    confidence: float,
    calibration: Array,
    size: tuple[int, int],
) -> Scored:
    """Errors of a pose; both are cam_from_world."""
    relative = estimate * truth.inverse()
    centres = estimate.inverse().translation - truth.inverse().translation
    return Scored(
        scene,
        vcre(truth, estimate, calibration, size),
        float(np.linalg.norm(centres)),
        float(np.degrees(relative.rotation.angle())),
        confidence,
    )


def vcre(
    truth: pycolmap.Rigid3d, estimate: pycolmap.Rigid3d, calibration: Array, size: tuple[int, int]
) -> float:
    """Virtual correspondence reprojection error, px.

    The mean distance between the projections of a grid of points that stands before the true camera, with
    the true and with the estimated pose, each clamped to the picture.

    Args:
        truth: cam_from_world of the query, metres.
        estimate: likewise.
        calibration: (3, 3) of the query, px.
        size: width and height of the query, px.
    """
    grid = virtual_points()
    there = np.asarray((estimate * truth.inverse()) * grid)
    return float(
        np.mean(
            np.linalg.norm(_clamped(grid, calibration, size) - _clamped(there, calibration, size), axis=1)
        )
    )


def virtual_points() -> Array:
    """(196, 3), metres in the camera: 0.3 m apart, centred in x and y, from 1.8 m in z."""
    x, y, z = (np.arange(count) * _STEP_M for count in _COUNT)
    axes = (x - x.mean(), y - y.mean(), z + _NEAREST_M)
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _clamped(points: Array, calibration: Array, size: tuple[int, int]) -> Array:
    """(N, 2), px. Points behind the camera go where their direction leaves the picture."""
    depth = np.maximum(points[:, 2:], _MIN_DEPTH_M)
    projected = np.column_stack((points[:, :2] / depth, np.ones(len(points)))) @ calibration[:2].T
    return np.clip(projected, 0.0, np.array(size, np.float64))


def precision(good: Sequence[bool]) -> float:
    """Share of all scored queries, those without a pose included."""
    return float(np.mean(good)) if len(good) else 0.0


def average_precision(confidence: Sequence[float | None], good: Sequence[bool]) -> float:
    """Area under precision over recall, as the threshold on the confidence falls.

    Recall is the share of good poses above the threshold among all good poses and all queries that have
    none, so that a pose that is left out costs recall, and one that is given and wrong costs precision.
    Poses of equal confidence pass together.

    Args:
        confidence: of each query; None where it has no pose.
        good: whether its pose is within the limits; ignored where there is none.
    """
    given = [(c, g) for c, g in zip(confidence, good, strict=True) if c is not None]
    wanted = sum(g for _, g in given) + len(confidence) - len(given)
    area, right = 0.0, 0
    ranked = sorted(given, key=lambda one: -one[0])
    start = 0
    while start < len(ranked):
        end = next((i for i in range(start, len(ranked)) if ranked[i][0] < ranked[start][0]), len(ranked))
        more = sum(g for _, g in ranked[start:end])
        right += more
        area += (more / wanted if wanted else 0.0) * right / end
        start = end
    return area


def figures(queries: Sequence[Scored]) -> dict[str, float | int | None]:
    """All figures of the benchmark; medians are of the poses there are, by scene, then averaged."""
    confidence = [query.confidence for query in queries]
    found: dict[str, float | int | None] = {
        "queries": len(queries),
        "missing": sum(c is None for c in confidence),
        "scenes": len({query.scene for query in queries}),
    }
    limits = {f"vcre_{limit:g}px": [query.vcre_px < limit for query in queries] for limit in VCRE_PX}
    limits["pose"] = [query.error_m < MAX_M and query.error_deg < MAX_DEG for query in queries]
    for name, good in limits.items():
        found[f"{name}_precision"] = precision(good)
        found[f"{name}_auc"] = average_precision(confidence, good)
    for name in ("vcre_px", "error_m", "error_deg"):
        found[f"median_{name}"] = _median_by_scene(queries, name)
    return found


def _median_by_scene(queries: Sequence[Scored], name: str) -> float | None:
    scenes: dict[str, list[float]] = {}
    for query in queries:
        if query.confidence is not None:
            scenes.setdefault(query.scene, []).append(getattr(query, name))
    return float(np.mean([np.median(values) for values in scenes.values()])) if scenes else None
