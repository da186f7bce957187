"""The values that pair inference hands on: correspondences and depth, in pixels of the original photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOISE_NETWORK_PX = 1.25
"""Three standard deviations of a match's position, in pixels of the network's image."""

_FAR = 1e6
"""Further than any photo reaches, px."""


@dataclass(frozen=True, slots=True)
class PixelMap:
    """Where the network's pixels lie in the original photo: x_photo = scale * (x + 0.5 + crop).

    Network pixels are counted in whole numbers from their centres (0, 0); photo coordinates are COLMAP's, the
    centre of the upper-left pixel at (0.5, 0.5).
    """

    scale: tuple[float, float]
    """Photo pixels per resized pixel, x and y."""
    crop: tuple[int, int]
    """Columns and rows that the centre crop removed at the left and at the top."""
    size: tuple[int, int]
    """(H, W) of the network's image, px."""

    def to_photo(self, xy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Photo coordinates (N, 2) of network pixels (N, 2)."""
        moved = np.asarray(xy, np.float64) + 0.5 + np.asarray(self.crop)
        return np.asarray(moved * self.scale, np.float32)

    def to_network(self, xy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Network pixels (N, 2), not rounded, of photo coordinates (N, 2)."""
        return np.asarray(np.asarray(xy, np.float64) / self.scale - 0.5 - np.asarray(self.crop), np.float32)

    @property
    def photo_px(self) -> float:
        """Photo pixels per network pixel, the mean of both axes."""
        return (self.scale[0] + self.scale[1]) / 2


@dataclass(frozen=True, slots=True)
class TurnedMap:
    """Where the pixels of a window lie whose camera is turned to look at its middle; as `PixelMap`."""

    homography: tuple[float, ...]
    """Photo coordinates, homogeneous, from those of the window, whose first corner is at (0, 0): 3x3, by
    rows."""
    size: tuple[int, int]
    """(H, W) of the window, px."""
    photo_px: float
    """Photo pixels per pixel in the middle."""

    def to_photo(self, xy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Photo coordinates (N, 2) of pixels (N, 2)."""
        return _mapped(self._matrix, np.asarray(xy, np.float64) + 0.5)

    def to_network(self, xy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Pixels (N, 2), not rounded, of photo coordinates (N, 2); far outside where it cannot look."""
        inverse = np.asarray(np.linalg.inv(self._matrix), np.float64)
        return _mapped(inverse, np.asarray(xy, np.float64)) - np.float32(0.5)

    @property
    def _matrix(self) -> NDArray[np.float64]:
        return np.array(self.homography, np.float64).reshape(3, 3)


WindowMap = PixelMap | TurnedMap


def _mapped(homography: NDArray[np.float64], xy: NDArray[np.float64]) -> NDArray[np.float32]:
    x, y, z = homography @ np.column_stack((xy, np.ones(len(xy)))).T
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.column_stack((x / z, y / z))
    return np.asarray(np.where(z[:, None] > 0, np.clip(found, -_FAR, _FAR), -_FAR), np.float32)


@dataclass(frozen=True, slots=True)
class DenseMatches:
    """Correspondences of one pair of photos a, b, in photo coordinates (COLMAP's convention)."""

    xy_a: NDArray[np.float32]
    """(M, 2), px."""
    xy_b: NDArray[np.float32]
    """(M, 2), px."""
    confidence: NDArray[np.float32]
    """(M,), > 0: geometric mean of both views' descriptor confidences."""

    def swapped(self) -> DenseMatches:
        """The same correspondences seen from b."""
        return DenseMatches(self.xy_b, self.xy_a, self.confidence)


@dataclass(frozen=True, slots=True)
class ViewDepth:
    """Depth of one photo in its own camera frame, on a regular grid of network pixels."""

    depth: NDArray[np.float32]
    """(h, w), in the network's unit (metres with metric weights); NaN where unknown."""
    confidence: NDArray[np.float32]
    """(h, w), > 1."""
    stride: int
    """Network pixels between grid points; the first grid point is network pixel (0, 0)."""
    focal_px: float
    """Focal length estimated from the points, px of the network's image; NaN where unknown."""
