"""One view of a photo from all the pairs that it was in: canonical points, relative depth, focal length.

MASt3R-SfM (Duisterhof et al., 3DV 2025) §4.2: every pair gives its own points of a photo. They are averaged
to a canonical pointmap, whose depth is kept on a coarse grid of anchors; between the anchors only the depth
relative to the anchor counts, which all pairs agree about best. The focal length that explains a pointmap is
found as in DUSt3R (Wang et al., CVPR 2024) §3.3. Points that are not finite are left out everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_CONFIDENCE_FLOOR = 0.999
"""Subtracted from confidences, whose smallest value is 1, to give weights."""
_ITERATIONS = 10
_WIDEST_RAY = 10.0
"""Points farther off the axis than this many times their depth come from no lens; one of them near the image
plane would outweigh all others in the first estimate."""
_BASE_VIEW_DEG = 60.0
"""Field of view along the longer side of the camera whose focal length bounds are relative to."""


@dataclass(frozen=True, slots=True)
class CanonicalView:
    """What all pairs together say of one photo, in its own camera frame."""

    points: Float32
    """(H, W, 3), the unit of the pointmaps; NaN where no pair gives a point."""
    confidence: Float32
    """(H, W), > 0; 0 where there is no point."""
    relative_depth: Float32
    """(H, W), depth relative to that of the anchor of a pixel's block, about 1; NaN where unknown."""
    stride: int
    """Side of the blocks, px; anchors are their centre pixels, at `stride // 2`."""

    @property
    def anchor_depth(self) -> Float32:
        """Depth of the anchors, (H / stride, W / stride)."""
        return self.points[self.stride // 2 :: self.stride, self.stride // 2 :: self.stride, 2]

    def anchors(self, pixels: NDArray[np.integer]) -> tuple[NDArray[np.int64], Float32]:
        """The anchors of pixels (M, 2), x and y.

        Returns:
            index: (M,) into the flattened anchor depth.
            offset: (M,) depth of the pixel relative to the anchor's; NaN where unknown.
        """
        x, y = np.asarray(pixels, np.int64).T
        column, row = x // self.stride, y // self.stride
        middle = self.stride // 2
        at_anchor = self.relative_depth[row * self.stride + middle, column * self.stride + middle]
        index = row * (self.points.shape[1] // self.stride) + column
        return index, np.asarray(self.relative_depth[y, x] / at_anchor, np.float32)


def canonical_view(
    pointmaps: NDArray[np.floating],
    confidences: NDArray[np.floating],
    *,
    stride: int = 8,
    mode: Literal["avg-angle", "avg-reldepth"] = "avg-angle",
) -> CanonicalView:
    """Average K pointmaps of one photo.

    Args:
        pointmaps: (K, H, W, 3) in the photo's camera frame, one from each pair.
        confidences: (K, H, W), > 1.
        stride: side of the blocks that share an anchor; it divides H and W.
        mode: what is averaged between a pixel and its anchor: the angle of slope, which does not depend on
            the distance between them, or the ratio of their depths.

    Raises:
        ValueError: shapes that do not fit, or no pointmap.
    """
    points, weights = _checked(pointmaps, confidences, stride)
    total = weights.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        canon = (weights[..., None] * points).sum(axis=0) / total[..., None]
        confidence = np.where(total > 0, (weights**2).sum(axis=0) / total, 0.0)
        average = _by_angle if mode == "avg-angle" else _by_ratio
        relative = average(points, weights, canon, stride)
    return CanonicalView(
        canon.astype(np.float32), confidence.astype(np.float32), relative.astype(np.float32), stride
    )


def estimate_focal(
    points: NDArray[np.floating],
    *,
    mode: Literal["weiszfeld", "median"] = "weiszfeld",
    min_ratio: float = 0.0,
    max_ratio: float = float("inf"),
) -> float:
    """The focal length that best explains a pointmap in its own camera frame.

    Args:
        points: (H, W, 3); the principal point is taken to be the middle.
        mode: weiszfeld minimises the mean distance in the image (DUSt3R §3.3) with Weiszfeld's algorithm;
            median takes the median over the focal lengths that each coordinate asks for.
        min_ratio: lower bound relative to the focal length of a camera that sees 60 degrees along its longer
            side.
        max_ratio: upper bound, likewise.

    Returns:
        Focal length, px; NaN where the points say nothing about it.

    Raises:
        ValueError: not (H, W, 3).
    """
    if points.ndim != 3 or points.shape[2] != 3:
        raise ValueError(f"points (H, W, 3) wanted, not {points.shape}")
    height, width = points.shape[:2]
    u, v = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
    pixels = np.stack([u, v], axis=-1).reshape(-1, 2)
    flat = np.asarray(points, np.float64).reshape(-1, 3)
    flat = np.where(np.isfinite(flat).all(axis=1, keepdims=True), flat, np.nan)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        focal = _weiszfeld(pixels, flat) if mode == "weiszfeld" else _median(pixels, flat)
    base = max(height, width) / (2 * np.tan(np.radians(_BASE_VIEW_DEG / 2)))
    return float(np.clip(focal, min_ratio * base, max_ratio * base))


def _checked(
    pointmaps: NDArray[np.floating], confidences: NDArray[np.floating], stride: int
) -> tuple[Float64, Float64]:
    """Points with zeros for those that are not finite, and their weights, 0 there."""
    if pointmaps.ndim != 4 or pointmaps.shape[3] != 3 or pointmaps.shape[:3] != confidences.shape:
        raise ValueError(f"pointmaps {pointmaps.shape} and confidences {confidences.shape} do not fit")
    count, height, width = confidences.shape
    if count == 0 or stride < 1 or height % stride or width % stride:
        raise ValueError(f"{count} pointmaps of {width} x {height} px have no blocks of {stride} px")
    finite = np.isfinite(pointmaps).all(axis=3) & np.isfinite(confidences)
    points = np.where(finite[..., None], pointmaps, 0.0).astype(np.float64)
    weights = np.where(finite, np.maximum(confidences - _CONFIDENCE_FLOOR, 0.0), 0.0).astype(np.float64)
    return points, weights


def _at_centres(values: Float64, stride: int) -> Float64:
    """Each pixel's block's centre value; the last two axes are rows and columns."""
    centres = values[..., stride // 2 :: stride, stride // 2 :: stride]
    return np.repeat(np.repeat(centres, stride, axis=-2), stride, axis=-1)


def _by_angle(points: Float64, weights: Float64, canon: Float64, stride: int) -> Float64:
    x, y, z = np.moveaxis(points, -1, 0)
    centre_z = np.maximum(_at_centres(z, stride), np.finfo(np.float32).eps)
    across = np.hypot(x - _at_centres(x, stride), y - _at_centres(y, stride)).clip(min=1e-8)
    usable = weights * (_at_centres(weights, stride) > 0)
    angle = (usable * np.arctan((z - centre_z) / across)).sum(axis=0) / usable.sum(axis=0)
    mean_across = (across * (usable > 0)).sum(axis=0) / (usable > 0).sum(axis=0)
    return np.asarray(1 + mean_across * np.tan(angle) / _at_centres(canon[..., 2], stride), np.float64)


def _by_ratio(points: Float64, weights: Float64, canon: Float64, stride: int) -> Float64:
    centre_z = np.maximum(_at_centres(points[..., 2], stride), np.finfo(np.float32).eps)
    usable = weights * (_at_centres(weights, stride) > 0)
    return np.asarray((usable * points[..., 2] / centre_z).sum(axis=0) / usable.sum(axis=0), np.float64)


def _weiszfeld(pixels: Float64, points: Float64) -> float:
    rays = points[:, :2] / points[:, 2:]
    rays = np.where(np.abs(rays).max(axis=1, keepdims=True) < _WIDEST_RAY, rays, 0.0)
    along, squared = (rays * pixels).sum(axis=1), (rays * rays).sum(axis=1)
    focal = float(along.mean() / squared.mean())
    for _ in range(_ITERATIONS):
        weights = 1 / np.linalg.norm(pixels - focal * rays, axis=1).clip(min=1e-8)
        focal = float((weights * along).mean() / (weights * squared).mean())
    return focal


def _median(pixels: Float64, points: Float64) -> float:
    votes = (pixels * points[:, 2:] / points[:, :2]).ravel()
    votes = votes[~np.isnan(votes)]
    return float(np.median(votes)) if len(votes) else float("nan")
