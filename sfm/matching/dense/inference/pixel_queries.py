"""Where another photo shows given positions of one, such as those of its points in a model.

With windows, large photos are compared as a whole first, and then in the pairs of windows that cover most of
what was found (MASt3R §3.4, coarse to fine).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kernels.reciprocal import Metric
from sfm.mast3r.network.correspondences import DescriptorMap, match_pixels
from sfm.mast3r.network.predictor import DecodedPairs, EncodedPhoto, PairPredictor

from .decoded_direction import least_confidence, matched_maps
from .memory import memory_errors_halve
from .photo_map import PhotoMap
from .photos import EncodedPhotos
from .refinement import refine_by_descriptors
from .window_tokens import WindowTokens
from .windows import choose_pairs

log = logging.getLogger(__name__)

_ROUND_TRIP_PX = 5.0
"""A match and its match must end closer than this to the start, px of the network's image."""
_MAX_STEP_PX = 1.0
"""Half a pixel for the start, and half a pixel for its match."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Where a query shows positions of another photo.

    Attributes:
        rows: (M,), of the positions that were asked for; at most once for each direction of the network, and
            each pair of windows.
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
    windows: WindowTokens | None = None
    """With which photos larger than the network's images are asked again."""

    def matched_px(self, name: str) -> float:
        """Photo pixels per pixel of the images in which positions are found."""
        return (
            self.photos.maps[name].photo_px if self.windows is None else self.windows.windows(name).photo_px
        )

    def shown(self, query: str, other: str, xy: NDArray[np.float64]) -> Shown | str:
        """Where `query` shows positions (N, 2) in the stored pixels of `other`; text: why that is not known.

        Of several positions in one pixel of the network's image, the one nearest to its centre counts. Too
        little memory is a reason, too.
        """
        asked, shown = self.photos.find(other), self.photos.find(query)
        if isinstance(asked, str):
            return asked
        if isinstance(shown, str):
            return shown
        maps = self.photos.maps
        coarse = self._within_memory((asked, shown), (maps[other], maps[query]), xy)
        if isinstance(coarse, str) or self.windows is None:
            return coarse
        return self._finer(self.windows, query, other, xy, coarse)

    def _finer(
        self, tokens: WindowTokens, query: str, other: str, xy: NDArray[np.float64], coarse: Shown
    ) -> Shown:
        """As windows show it; as the whole photos do what no window shows."""
        theirs, ours = tokens.windows(other), tokens.windows(query)
        if not (theirs.maps or ours.maps):
            return coarse
        inside = theirs.inside(xy[coarse.rows]), ours.inside(coarse.xy)
        chosen = choose_pairs(*inside, tokens.max_windows)
        first = tokens.encoded(other, sorted({i for i, _ in chosen}))
        second = tokens.encoded(query, sorted({j for _, j in chosen}))
        fine = []
        for i, j in chosen:
            if i in first and j in second:
                maps = theirs.photo_map(i), ours.photo_map(j)
                found = self._within_memory((first[i], second[j]), maps, xy)
                if isinstance(found, str):
                    log.warning("%s, %s: a pair of windows is left out: %s", other, query, found)
                else:
                    fine.append(found)
        rest = ~np.isin(coarse.rows, np.concatenate([np.zeros(0, np.int64), *(found.rows for found in fine)]))
        fine.append(Shown(coarse.rows[rest], coarse.xy[rest], coarse.confidence[rest]))
        return Shown(
            np.concatenate([found.rows for found in fine]),
            np.concatenate([found.xy for found in fine]),
            np.concatenate([found.confidence for found in fine]),
        )

    def _within_memory(
        self,
        images: tuple[EncodedPhoto, EncodedPhoto],
        maps: tuple[PhotoMap, PhotoMap],
        xy: NDArray[np.float64],
    ) -> Shown | str:
        reasons: list[str] = []

        def give_up(_: Sequence[object], why: str) -> None:
            reasons.append(why)

        for found in memory_errors_halve([xy], lambda _: self._between(images, maps, xy), give_up):
            return found
        return reasons[0]

    def _between(
        self,
        images: tuple[EncodedPhoto, EncodedPhoto],
        maps: tuple[PhotoMap, PhotoMap],
        xy: NDArray[np.float64],
    ) -> Shown:
        """Where the second image, of the query, shows positions (N, 2) in the stored pixels of the first."""
        asked, shown = images
        pixels, rows = _pixels(maps[0], xy)
        exact = maps[0].to_network(xy[rows]).astype(np.float64)
        if not len(rows):
            return Shown(rows, np.zeros((0, 2)), np.zeros(0))
        with torch.inference_mode():
            ways = [
                self._one_way(self.predictor.decode([asked], [shown]), (1, 2), pixels, exact),
                self._one_way(self.predictor.decode([shown], [asked]), (2, 1), pixels, exact),
            ]
        index, ends, confidence = (np.concatenate(part) for part in zip(*ways, strict=True))
        found = maps[1].to_photo(ends).astype(np.float64)
        # A turned window reaches beyond its photo.
        there = ((found >= 0) & (found <= maps[1].stored_size)).all(axis=1)
        return Shown(rows[index][there], found[there], confidence[there])

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


def _pixels(grid: PhotoMap, xy: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Network pixels (K, 2) of positions, no pixel twice, and which position each is of (K,)."""
    exact = grid.to_network(xy).astype(np.float64)
    pixels = np.rint(exact).astype(np.int64)
    inside = np.flatnonzero(((pixels >= 0) & (pixels < np.array(grid.size[::-1]))).all(axis=1))
    off = np.linalg.norm(exact[inside] - pixels[inside], axis=1)
    inside = inside[np.argsort(off, kind="stable")]
    _, first = np.unique(pixels[inside], axis=0, return_index=True)
    return pixels[inside][first], inside[first]
