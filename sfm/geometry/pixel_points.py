"""Points of an image's pixels by linear triangulation with its partners at known poses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(slots=True)
class PixelPoints:
    """One point for each pixel of an image, from the matches of all its partners at once.

    The least-squares solution of x p3 = p1 and y p3 = p2 for the rows p of the projection matrices (Hartley
    and Zisserman, Multiple View Geometry, §12.2, inhomogeneous), weighed with the matches' confidences. Of
    one partner it is the point of that pair. MASt3R (§4.5) takes the mean of the pairs' points instead, in
    which those of narrow baselines count too much.
    """

    num_pixels: int
    confidence: Float64 = field(init=False)
    """(num_pixels,), the sum over the partners that match; 0 where none does."""
    num_partners: NDArray[np.int64] = field(init=False)
    """(num_pixels,), partners that match."""
    _normal: Float64 = field(init=False, repr=False)
    _right: Float64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.confidence = np.zeros(self.num_pixels)
        self.num_partners = np.zeros(self.num_pixels, np.int64)
        self._normal = np.zeros((self.num_pixels, 3, 3))
        self._right = np.zeros((self.num_pixels, 3))

    def add(
        self,
        pixels: NDArray[np.int64],
        projections: tuple[Float64, Float64],
        positions: tuple[Float64, Float64],
        confidence: Float64,
    ) -> None:
        """Add the matches with one partner.

        Args:
            pixels: (M,) of the image, none twice.
            projections: (3, 4) of the image and of the partner, of world points to pixels without distortion.
            positions: (M, 2) in the image and in the partner, px; NaN for none.
            confidence: (M,), > 0.
        """
        known = np.isfinite(positions[0]).all(axis=1) & np.isfinite(positions[1]).all(axis=1)
        pixels, weights = pixels[known], confidence[known, None]
        equations = [
            xy[known, axis, None] * matrix[2] - matrix[axis]
            for xy, matrix in zip(positions, projections, strict=True)
            for axis in (0, 1)
        ]
        rows = np.stack(equations, axis=1)
        transposed = np.swapaxes(rows[..., :3], 1, 2)
        self._normal[pixels] += weights[..., None] * (transposed @ rows[..., :3])
        self._right[pixels] -= weights * (transposed @ rows[..., 3:])[..., 0]
        self.confidence[pixels] += weights[:, 0]
        self.num_partners[pixels] += 1

    def points(self) -> Float64:
        """(num_pixels, 3) in the world; NaN where no partner matches, or rays are parallel."""
        points = np.full((self.num_pixels, 3), np.nan)
        regular = np.abs(np.linalg.det(self._normal)) > 0
        points[regular] = np.linalg.solve(self._normal[regular], self._right[regular, :, None])[..., 0]
        return points
