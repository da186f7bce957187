"""Where another photo shows given positions of one, such as those of its points in a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kernels.reciprocal import Metric
from sfm.mast3r.network.correspondences import DescriptorMap, match_pixels
from sfm.mast3r.network.predictor import DecodedPairs, PairPredictor

from .decoded_direction import least_confidence, matched_maps
from .memory import memory_errors_halve
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
        rows: (M,), of the positions that were asked for; at most once for each direction of the network.
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

        Of several positions in one pixel of the network's image, the one nearest to its centre counts. Too
        little memory is a reason, too.
        """
        reasons: list[str] = []

        def give_up(_: Sequence[object], why: str) -> None:
            reasons.append(why)

        for found in memory_errors_halve([xy], lambda _: self._shown(query, other, xy), give_up):
            return found
        return reasons[0]

    def _shown(self, query: str, other: str, xy: NDArray[np.float64]) -> Shown | str:
        asked, shown = self.photos.find(other), self.photos.find(query)
        if isinstance(asked, str):
            return asked
        if isinstance(shown, str):
            return shown
        pixels, rows = self._pixels(other, xy)
        exact = self.photos.maps[other].to_network(xy[rows]).astype(np.float64)
        if not len(rows):
            return Shown(rows, np.zeros((0, 2)), np.zeros(0))
        with torch.inference_mode():
            ways = [
                self._one_way(self.predictor.decode([asked], [shown]), (1, 2), pixels, exact),
                self._one_way(self.predictor.decode([shown], [asked]), (2, 1), pixels, exact),
            ]
        index, ends, confidence = (np.concatenate(part) for part in zip(*ways, strict=True))
        return Shown(rows[index], self.photos.maps[query].to_photo(ends).astype(np.float64), confidence)

    def _one_way(
        self,
        decoded: DecodedPairs,
        views: tuple[int, int],
        pixels: NDArray[np.int64],
        exact: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Which pixels (K, 2) are matched confidently, where (M, 2) in the query's network image, how surely.

        `views` are the other photo and the query; `exact` (K, 2) are the positions that the pixels stand for.
        """
        theirs, ours = (DescriptorMap(*(part[0] for part in matched_maps(decoded, view))) for view in views)
        by_descriptors = decoded.has_descriptors
        metric: Metric = "dot" if by_descriptors else "euclidean"
        start = torch.from_numpy(pixels)
        found = match_pixels(theirs, ours, start, pixel_tol=_ROUND_TRIP_PX, metric=metric)
        least = least_confidence(self.min_confidence, has_descriptors=by_descriptors)
        confidence = torch.minimum(found.confidence_a, found.confidence_b).double().cpu().numpy()
        kept = confidence >= least
        width = theirs.descriptors.shape[1]
        order = {pixel: row for row, pixel in enumerate((pixels[:, 0] + width * pixels[:, 1]).tolist())}
        index = np.array([order[pixel] for pixel in found.pixels_a.tolist()], np.int64)[kept]
        reached, width = found.pixels_b.cpu().numpy()[kept], ours.descriptors.shape[1]
        ends = np.column_stack((reached % width, reached // width)).astype(np.float64)
        if by_descriptors:
            # Whole pixels err by half of one in either photo.
            device = theirs.descriptors.device
            sides = (torch.from_numpy(side.astype(np.float32)).to(device) for side in (exact[index], ends))
            moved = refine_by_descriptors(theirs.descriptors, ours.descriptors, *sides, max_step=_MAX_STEP_PX)
            ends = moved.double().cpu().numpy()
        return index, ends, confidence[kept]

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
