"""Depth of each photo, merged from the pairs that it was inferred from, and looked up at any position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfm.mast3r.values import ViewDepth

from ..inference.photo_map import PhotoMap

_MAX_RATIO = 1.1
"""Between neighbouring depths across which no depth is interpolated: an edge of an object lies there."""


@dataclass(frozen=True, slots=True)
class DepthMaps:
    """Depth of photos in their own camera frames; see `sfm.mapping.scene.depth_source.DepthSource`."""

    views: Mapping[str, ViewDepth]
    maps: Mapping[str, PhotoMap]
    metric: bool

    def at(
        self, name: str, xy: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Depth (N,) and confidence (N,) at positions (N, 2), px of the photo; NaN where unknown."""
        view = self.views.get(name)
        if view is None:
            return None
        grid = self.maps[name].to_network(xy) / view.stride
        return _bilinear(view, np.asarray(grid, np.float64))


def merged_depth(views: Sequence[ViewDepth]) -> ViewDepth:
    """One depth from several of the same photo: scaled to the first by the median ratio, then averaged.

    The mean is taken of the logarithms, weighted with confidence - 1, which is zero where the network is
    certain of nothing. All views must have the same grid.
    """
    first = views[0]
    weights, logs = [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        reference = np.log(first.depth)
        for view in views:
            log = np.log(view.depth)
            shift = np.nanmedian(log - reference) if view is not first else 0.0
            logs.append(log - (shift if np.isfinite(shift) else 0.0))
            weights.append(np.where(np.isfinite(log), np.maximum(view.confidence - 1.0, 1e-6), 0.0))
        total = np.sum(weights, axis=0)
        mean = np.sum(
            [w * np.nan_to_num(log, nan=0.0, neginf=0.0) for w, log in zip(weights, logs, strict=True)],
            axis=0,
        )
        depth = np.where(total > 0, np.exp(mean / total), np.nan)
        confidence = np.max([np.nan_to_num(view.confidence, nan=1.0) for view in views], axis=0)
    focals = [view.focal_px for view in views if np.isfinite(view.focal_px)]
    focal_px = float(np.median(focals)) if focals else float("nan")
    return ViewDepth(
        np.asarray(depth, np.float32), np.asarray(confidence, np.float32), first.stride, focal_px
    )


def _bilinear(view: ViewDepth, grid: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depth and confidence at grid positions (N, 2); at depth edges those of the nearest grid point."""
    height, width = view.depth.shape
    inside = (grid > -0.5).all(axis=1) & (grid[:, 0] < width + 0.5) & (grid[:, 1] < height + 0.5)
    clipped = np.clip(grid, 0, [width - 1, height - 1])
    low = np.minimum(clipped.astype(np.int64), [max(width - 2, 0), max(height - 2, 0)])
    part = clipped - low
    x0, y0 = low[:, 0], low[:, 1]
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    corners = np.stack([view.depth[y, x] for y in (y0, y1) for x in (x0, x1)])
    certain = np.stack([view.confidence[y, x] for y in (y0, y1) for x in (x0, x1)])
    fx, fy = part[:, 0], part[:, 1]
    weights = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
    smooth = corners.max(axis=0) < _MAX_RATIO * corners.min(axis=0)  # False with a NaN among them
    nearest = np.argmax(weights, axis=0)
    rows = np.arange(len(grid))
    depth = np.where(smooth, (weights * np.nan_to_num(corners)).sum(axis=0), corners[nearest, rows])
    confidence = np.where(smooth, (weights * certain).sum(axis=0), certain[nearest, rows])
    return (
        np.where(inside & (depth > 0), depth, np.nan).astype(np.float64),
        np.where(inside, confidence, 1.0).astype(np.float64),
    )
