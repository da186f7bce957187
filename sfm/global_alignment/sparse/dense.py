"""Depth of every pixel of an aligned view, and points that another view contradicts (MASt3R-SfM's demo)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canonical import CanonicalView
from .optimise import Aligned
from .problem import Anchored
from .variables import pixel_depth

Float64 = NDArray[np.float64]

_CLEANING_TOLERANCE = 0.001
"""Relative, in depth: how far a point may lie before the surface that another view sees."""


def aligned_depth(aligned: Aligned, number: int, canonical: CanonicalView, *, stride: int = 1) -> Float64:
    """Depth (H / stride, W / stride) of a view in the unit of the alignment.

    Each pixel follows its block: its depth relative to the block's centre, at the focal length found, times
    the aligned depth of the block.
    """
    height, width = canonical.size
    x, y = np.meshgrid(np.arange(0, width, stride), np.arange(0, height, stride))
    anchored = Anchored.of(canonical, np.column_stack((x.reshape(-1), y.reshape(-1))))
    pixels = aligned.variables.pixels(np.full(x.size, number), anchored)
    depth: Float64 = pixel_depth(aligned.cameras, pixels).double().cpu().numpy()
    return depth.reshape(x.shape)


@dataclass(frozen=True, slots=True)
class DenseView:
    """Every pixel of one aligned view."""

    depth: Float64
    """(H, W)."""
    confidence: Float64
    """(H, W)."""
    focal_px: float
    principal_point: tuple[float, float]
    rotation: Float64
    """(3, 3) from the camera to the world."""
    centre: Float64
    """(3,)."""

    @classmethod
    def of(cls, aligned: Aligned, number: int, canonical: CanonicalView) -> DenseView:
        """A view of an alignment."""
        cameras = aligned.cameras
        x, y = cameras.principal_point[number].tolist()
        return cls(
            aligned_depth(aligned, number, canonical),
            canonical.confidence,
            float(cameras.focal[number]),
            (x, y),
            cameras.rotation[number].double().cpu().numpy(),
            cameras.centre[number].double().cpu().numpy(),
        )

    def points(self) -> Float64:
        """World points (H, W, 3)."""
        height, width = self.depth.shape
        x, y = np.meshgrid(
            np.arange(width) - self.principal_point[0], np.arange(height) - self.principal_point[1]
        )
        rays = np.stack([x / self.focal_px, y / self.focal_px, np.ones_like(x)], axis=2)
        return np.asarray((rays * self.depth[..., None]) @ self.rotation.T + self.centre)

    def pixels_of(self, points: Float64) -> tuple[NDArray[np.int64], NDArray[np.int64], Float64]:
        """Column and row (rounded; -1 outside of the image) and depth of world points (N, 3), each (N,)."""
        seen = (points - self.centre) @ self.rotation
        with np.errstate(divide="ignore", invalid="ignore"):
            xy = np.rint(self.focal_px * seen[:, :2] / seen[:, 2:] + self.principal_point)
        height, width = self.depth.shape
        inside = (seen[:, 2] > 0) & (xy >= 0).all(axis=1) & (xy < (width, height)).all(axis=1)
        column, row = np.where(inside[:, None], np.nan_to_num(xy, posinf=0, neginf=0), -1).astype(np.int64).T
        return column, row, seen[:, 2]


def cleaned_confidence(views: Sequence[DenseView]) -> Iterator[Float64]:
    """Confidences (H, W) of one view after the other, 0 where a point lies before the surface of another view
    that is more confident there."""
    for number in range(len(views)):
        view = views[number]
        points, cleaned = view.points().reshape(-1, 3), view.confidence.copy()
        own = cleaned.reshape(-1)
        for other in (views[index] for index in range(len(views)) if index != number):
            column, row, depth = other.pixels_of(points)
            rows = np.flatnonzero(column >= 0)
            at = row[rows], column[rows]
            before = depth[rows] < (1 - _CLEANING_TOLERANCE) * other.depth[at]
            rejected = rows[before & (view.confidence.reshape(-1)[rows] < other.confidence[at])]
            own[rejected] = 0.0
        yield cleaned
