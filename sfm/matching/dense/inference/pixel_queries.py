"""Where another photo shows given positions of one, such as those of its points in a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sfm.mast3r.network.correspondences import DescriptorMap, match_pixels
from sfm.mast3r.network.predictor import PairPredictor

from .decoded_direction import least_confidence, matched_maps
from .photos import EncodedPhotos
from .refinement import refine_by_descriptors

_ROUND_TRIP_PX = 5.0
"""A match and its match must end closer than this to the start, px of the network's image."""
_MAX_STEP_PX = 1.0
"""Half a pixel for the start, and half a pixel for its match."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Where a query shows positions of another photo.

    Attributes:
        rows: (M,), of the positions that were asked for; none twice.
        xy: (M, 2), in the query's stored pixels.
        confidence: (M,), the lesser of both photos'.
    """

    rows: NDArray[np.int64]
    xy: NDArray[np.float64]
    confidence: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PixelQueries:
    """Asks the network about given pixels."""

    predictor: PairPredictor
    photos: EncodedPhotos
    min_confidence: float

    def shown(self, query: str, other: str, xy: NDArray[np.float64]) -> Shown | str:
        """Where `query` shows positions (N, 2) in the stored pixels of `other`; text: why that is not known.

        Of several positions in one pixel of the network's image, the one nearest to its centre counts.
        """
        encoded = [self.photos.find(name) for name in (query, other)]
        for photo in encoded:
            if isinstance(photo, str):
                return photo
        pixels, rows = self._pixels(other, xy)
        if not len(rows):
            return Shown(rows, np.zeros((0, 2)), np.zeros(0))
        with torch.inference_mode():
            decoded = self.predictor.decode([encoded[1]], [encoded[0]])  # type: ignore[list-item]
            theirs, ours = (
                DescriptorMap(*(part[0] for part in matched_maps(decoded, view))) for view in (1, 2)
            )
            found = match_pixels(
                theirs,
                ours,
                torch.from_numpy(pixels),
                pixel_tol=_ROUND_TRIP_PX,
                metric="dot" if decoded.has_descriptors else "euclidean",
            )
        least = least_confidence(self.min_confidence, has_descriptors=decoded.has_descriptors)
        confidence = torch.minimum(found.confidence_a, found.confidence_b).double().cpu().numpy()
        sizes = theirs.descriptors.shape[1], ours.descriptors.shape[1]
        starts, ends = (
            np.column_stack((pixel % width, pixel // width)).astype(np.float64)
            for pixel, width in zip(
                (found.pixels_a.cpu().numpy(), found.pixels_b.cpu().numpy()), sizes, strict=True
            )
        )
        by_pixel = dict(zip(map(tuple, pixels.tolist()), rows.tolist(), strict=True))
        started = np.array([by_pixel[x, y] for x, y in starts.astype(np.int64).tolist()], np.int64)
        kept = confidence >= least
        ends = ends[kept]
        exact = self.photos.maps[other].to_network(xy[started[kept]]).astype(np.float64)
        if decoded.has_descriptors:
            # Whole pixels err by half of one in either photo.
            device = theirs.descriptors.device
            sides = (torch.from_numpy(side.astype(np.float32)).to(device) for side in (exact, ends))
            moved = refine_by_descriptors(theirs.descriptors, ours.descriptors, *sides, max_step=_MAX_STEP_PX)
            ends = moved.double().cpu().numpy()
        where = self.photos.maps[query].to_photo(ends)
        return Shown(started[kept], where.astype(np.float64), confidence[kept])

    def _pixels(self, name: str, xy: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Network pixels (K, 2) of positions, no pixel twice, and which position each is of (K,)."""
        grid = self.photos.maps[name]
        exact = grid.to_network(xy).astype(np.float64)
        pixels = np.rint(exact).astype(np.int64)
        inside = np.flatnonzero(((pixels >= 0) & (pixels < np.array(grid.size[::-1]))).all(axis=1))
        off = np.linalg.norm(exact[inside] - pixels[inside], axis=1)
        inside = inside[np.argsort(off, kind="stable")]
        _, first = np.unique(pixels[inside], axis=0, return_index=True)
        return pixels[inside][first], inside[first]
