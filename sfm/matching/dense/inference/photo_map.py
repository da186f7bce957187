"""Where the network's pixels lie in the stored photo, which may be stored rolled or mirrored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfm.mast3r.values import WindowMap


@dataclass(frozen=True, slots=True)
class PhotoMap:
    """From network pixels to the stored pixels that models refer to, by way of the upright photo.

    The network sees photos upright; COLMAP's models refer to pixels as stored, EXIF orientation not applied.
    """

    upright: WindowMap
    """Network pixels in the upright photo."""
    stored_size: tuple[int, int]
    """Width and height of the stored pixels, px."""
    orientation: int = 1
    """EXIF orientation of the stored pixels, 1..8."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the network's image, px."""
        return self.upright.size

    @property
    def photo_px(self) -> float:
        """Photo pixels per network pixel."""
        return self.upright.photo_px

    def to_photo(self, xy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Stored photo coordinates (N, 2), COLMAP's convention, of network pixels (N, 2)."""
        return _turned(self.upright.to_photo(xy), self.stored_size, self.orientation, to_stored=True)

    def to_network(self, xy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Network pixels (N, 2), not rounded, of stored photo coordinates (N, 2)."""
        return self.upright.to_network(self.to_upright(xy))

    def to_upright(self, xy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Positions (N, 2) in the upright photo of stored photo coordinates (N, 2)."""
        return _turned(np.asarray(xy, np.float64), self.stored_size, self.orientation, to_stored=False)


def _turned(
    xy: NDArray[np.floating], stored_size: tuple[int, int], orientation: int, *, to_stored: bool
) -> NDArray[np.float32]:
    """Coordinates turned from stored to upright by EXIF orientation (TIFF 6.0, tag 274), or back."""
    width, height = stored_size
    mirrored_x, mirrored_y = orientation in (2, 3, 7, 8), orientation in (3, 4, 6, 7)
    swapped = orientation >= 5
    result = np.array(xy, np.float64)
    if to_stored and swapped:
        result = result[:, ::-1].copy()
    if mirrored_x:
        result[:, 0] = width - result[:, 0]
    if mirrored_y:
        result[:, 1] = height - result[:, 1]
    if not to_stored and swapped:
        result = result[:, ::-1]
    return np.asarray(result, np.float32)
