"""Canonical pointmaps (MASt3R-SfM §3.3): what all pairs of an image say together of its shape.

Each direction of the network in which an image is view 1 gives one pointmap of it in its own camera frame.
The canonical pointmap is their mean, weighted with confidence. A block of `SUBSAMPLE_PX` squared pixels keeps
one depth, that of its centre; the other pixels keep their depth relative to it, as the mean angle of the
surface.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

SUBSAMPLE_PX = 8
"""Width of a block, px of the network's image, as published."""
_NO_CONFIDENCE = 0.999
"""Subtracted from confidences, whose least value is 1."""
_LEAST_DEPTH = float(np.finfo(np.float32).eps)
_LEAST_RADIUS = 1e-8


@dataclass(frozen=True, slots=True)
class CanonicalView:
    """The mean of an image's pointmaps."""

    points: Float64
    """(H, W, 3) in the image's camera frame, in the network's unit."""
    relative_depth: Float64
    """(H, W): depth of each pixel over that of its block's centre, as the mean angle gives it."""
    confidence: Float64
    """(H, W)."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), px of the network's image."""
        return self.confidence.shape[0], self.confidence.shape[1]

    @property
    def core_depth(self) -> Float64:
        """Depth (H / 8, W / 8) at the centres of the blocks."""
        return np.ascontiguousarray(_centres(self.points[..., 2]))

    def anchors(self, pixels: NDArray[np.int64]) -> tuple[NDArray[np.int64], Float64]:
        """Block (M,) of each pixel (M, 2; x, y), row by row, and its depth over that of the block's centre.

        Raises:
            ValueError: the relative depth of a centre is not above zero.
        """
        x, y = pixels[:, 0], pixels[:, 1]
        columns = self.size[1] // SUBSAMPLE_PX
        blocks = (y // SUBSAMPLE_PX) * columns + x // SUBSAMPLE_PX
        at_centre = _centres(self.relative_depth).reshape(-1)[blocks]
        if not (at_centre > 0).all():
            raise ValueError("canonical view: depth at the centre of a block is not above zero")
        return blocks, self.relative_depth[y, x] / at_centre


class CanonicalSums:
    """Running sums of an image's pointmaps, of the same size however many there are (56 bytes a pixel)."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Start with nothing, for an image of size (H, W), multiples of 8 px."""
        height, width = size
        if height % SUBSAMPLE_PX or width % SUBSAMPLE_PX or not height or not width:
            raise ValueError(f"canonical view: {width} x {height} px is no multiple of {SUBSAMPLE_PX} px")
        self.count = 0
        self._points = np.zeros((height, width, 3))
        self._weight, self._squared, self._angle, self._radius = np.zeros((4, height, width))

    def add(self, points: NDArray[np.floating], confidence: NDArray[np.floating]) -> None:
        """Count in one pointmap (H, W, 3) with its confidence (H, W) > 1.

        Raises:
            ValueError: other shapes.
        """
        xyz, weight = np.asarray(points, np.float64), np.asarray(confidence, np.float64) - _NO_CONFIDENCE
        if xyz.shape != self._points.shape or weight.shape != self._weight.shape:
            raise ValueError(
                f"canonical view: points {xyz.shape} and confidence {weight.shape} of another size"
            )
        centre = _spread(_centres(xyz))
        depth = np.maximum(centre[..., 2], _LEAST_DEPTH)
        radius = np.maximum(np.linalg.norm(xyz[..., :2] - centre[..., :2], axis=2), _LEAST_RADIUS)
        self.count += 1
        self._points += weight[..., None] * xyz
        self._weight += weight
        self._squared += weight**2
        self._angle += weight * np.arctan((xyz[..., 2] - depth) / radius)
        self._radius += radius

    def view(self) -> CanonicalView:
        """The mean of what was counted in.

        Raises:
            ValueError: nothing was.
        """
        if not self.count:
            raise ValueError("canonical view: no pointmap")
        points = self._points / self._weight[..., None]
        rise = self._radius / self.count * np.tan(self._angle / self._weight)
        relative = 1 + rise / _spread(_centres(points[..., 2]))
        return CanonicalView(points, relative, self._squared / self._weight)

    def arrays(self) -> dict[str, Float64]:
        """The sums by name, for a file."""
        return {
            "points": self._points,
            "weight": self._weight,
            "squared": self._squared,
            "angle": self._angle,
            "radius": self._radius,
        }

    def restore(self, count: int, arrays: Mapping[str, Float64]) -> None:
        """Take the sums of `count` pointmaps, as `arrays` gave them.

        Raises:
            ValueError: sums of another size or type.
        """
        for name, own in self.arrays().items():
            if arrays[name].shape != own.shape or arrays[name].dtype != np.float64 or count < 0:
                raise ValueError(f"canonical view: sums {name} of {arrays[name].shape}, {arrays[name].dtype}")
            own[...] = arrays[name]
        self.count = count


def _centres(values: Float64) -> Float64:
    """(H / 8, W / 8, ...) values at the centres of blocks."""
    start = slice(SUBSAMPLE_PX // 2, None, SUBSAMPLE_PX)
    return values[start, start]


def _spread(values: Float64) -> Float64:
    """(H, W, ...): each value of (H / 8, W / 8, ...) over its block."""
    return values.repeat(SUBSAMPLE_PX, axis=0).repeat(SUBSAMPLE_PX, axis=1)
