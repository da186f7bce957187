"""Reciprocal nearest neighbours between two maps of descriptors or points, of all pixels or from a grid.

Fast reciprocal matching of MASt3R (§3.3). From each start pixel, walk to the nearest neighbour in the other
map and back until the walk stops moving. Many walks meet in the same pixels, so results are kept: each pixel
is looked up at most once, whichever map the walks start from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from kernels.nearest import NearestRows

MAX_ITERATIONS = 10
"""Walks that still move after as many round trips are dropped."""
_UNKNOWN = -2
Metric = Literal["dot", "euclidean"]


@dataclass(frozen=True, slots=True)
class PixelPairs:
    """Matched pixels of two maps, x + width * y; without repeats, ordered by first, then second."""

    first: Tensor
    """(M,) int64."""
    second: Tensor
    """(M,) int64."""
    basin: Tensor | None = None
    """(H1 * W1,) int64 where asked for: the pixel after one round trip from each visited pixel of the first
    map, -1 for the others."""


class DescriptorPair:
    """Two maps, and which nearest neighbours between them are known already."""

    def __init__(self, map1: Tensor, map2: Tensor, *, metric: Metric = "dot") -> None:
        """Take maps (H1, W1, d) and (H2, W2, d) of floats.

        With metric "dot" the nearest has the largest dot product, with "euclidean" the least distance, looked
        up in a k-d tree on the CPU.

        Raises:
            ValueError: they are no maps, or of different depth.
        """
        if map1.dim() != 3 or map2.dim() != 3 or map1.shape[2] != map2.shape[2]:
            raise ValueError(
                f"reciprocal: maps are (H, W, d), not {tuple(map1.shape)} and {tuple(map2.shape)}"
            )
        self.shapes = (map1.shape[0], map1.shape[1]), (map2.shape[0], map2.shape[1])
        flat1, flat2 = map1.flatten(0, 1).contiguous(), map2.flatten(0, 1).contiguous()
        table = _NeighbourTable if metric == "dot" else _PointTable
        self._tables = table(flat1, flat2), table(flat2, flat1)

    def swapped(self) -> DescriptorPair:
        """The same pair from the other map; both share their lookups."""
        other = object.__new__(DescriptorPair)
        other.shapes = self.shapes[1], self.shapes[0]
        other._tables = self._tables[1], self._tables[0]
        return other

    def exhaustive(self) -> PixelPairs:
        """Every pair of pixels that are each other's nearest neighbour."""
        start = torch.arange(self.shapes[0][0] * self.shapes[0][1], device=self._tables[0].device)
        there = self._tables[0](start)
        kept = (there >= 0) & (self._tables[1](there) == start)
        return PixelPairs(start[kept], there[kept])

    def from_grid(self, subsample: int, *, basin: bool = False) -> PixelPairs:
        """Pairs that walks reach from every `subsample`-th pixel of the first map, both ways.

        Args:
            subsample: S >= 1; starts have x and y in {S // 2, S // 2 + S, …}.
            basin: also report where each visited pixel leads.

        Raises:
            ValueError: S < 1.
        """
        start = self.grid(subsample)
        width = self.shapes[0][1]
        return self._walk(start[:, 0] + width * start[:, 1], basin=basin)

    def from_pixels(self, pixels: Tensor, *, pixel_tol: float = 0.0) -> PixelPairs:
        """Pairs of the given pixels with their nearest neighbour, where one round trip leads back.

        Args:
            pixels: (K, 2) integer, (x, y) in the first map; repeats count once.
            pixel_tol: the round trip must end closer than this to its start, px; 0 wants the start itself.

        Raises:
            ValueError: pixels outside of the map.
        """
        height, width = self.shapes[0]
        pixels = pixels.to(self._tables[0].device, torch.int64)
        if pixels.dim() != 2 or pixels.shape[1] != 2:
            raise ValueError(f"reciprocal: (K, 2) pixels wanted, not {tuple(pixels.shape)}")
        x, y = pixels.unbind(1)
        if bool(((x < 0) | (x >= width) | (y < 0) | (y >= height)).any()):
            raise ValueError(f"reciprocal: pixels outside of a map of {width}x{height}")
        start = torch.unique(x + width * y)
        there = self._tables[0](start)
        back = self._tables[1](there)
        if pixel_tol > 0:
            dx, dy = back % width - start % width, back // width - start // width
            kept = (back >= 0) & (torch.hypot(dx.double(), dy.double()) < pixel_tol)
        else:
            kept = (back >= 0) & (back == start)
        return PixelPairs(start[kept], there[kept])

    def grid(self, subsample: int) -> Tensor:
        """The start pixels (K, 2) int64 (x, y) of `from_grid`, row by row."""
        if subsample < 1:
            raise ValueError(f"reciprocal: the subsampling is at least 1, not {subsample}")
        height, width = self.shapes[0]
        device = self._tables[0].device
        y = torch.arange(height, device=device)[subsample // 2 :: subsample]
        x = torch.arange(width, device=device)[subsample // 2 :: subsample]
        return torch.cartesian_prod(y, x).flip(1)

    def _walk(self, start: Tensor, *, basin: bool) -> PixelPairs:
        """Round trips from all starts (K,) until they stop; those that meet NaN are dropped."""
        here, there = start.clone(), torch.full_like(start, -1)
        moving = torch.arange(len(start), device=start.device)
        stopped = torch.zeros_like(start, dtype=torch.bool)
        trips = (
            torch.full((self.shapes[0][0] * self.shapes[0][1],), -1, device=start.device) if basin else None
        )
        for _ in range(MAX_ITERATIONS):
            if not len(moving):
                break
            before = here[moving]
            reached = self._tables[0](before)
            after = self._tables[1](reached)
            if trips is not None:
                trips[before] = after
            # A repeated partner leads to the same pixel again, so that one test stands for both directions.
            same = after == before
            here[moving], there[moving] = after, reached
            stopped[moving[same]] = True
            moving = moving[~same & (after >= 0)]
        size2 = self.shapes[1][0] * self.shapes[1][1]
        pairs = torch.unique(here[stopped] * size2 + there[stopped])
        return PixelPairs(pairs // size2, pairs % size2, trips)


class _NeighbourTable:
    """Nearest neighbours of the rows of one set in another, each looked up when it is first asked for."""

    def __init__(self, source: Tensor, target: Tensor) -> None:
        self._source, self._target = source, target
        self._known = torch.full((len(source),), _UNKNOWN, device=source.device)

    @property
    def device(self) -> torch.device:
        return self._source.device

    def __call__(self, rows: Tensor) -> Tensor:
        """Nearest neighbours (K,) of rows (K,); -1 for none, and for the row -1."""
        missing = torch.unique(rows[(rows >= 0) & (self._known[rows] == _UNKNOWN)])
        if len(missing):
            self._known[missing] = self._nearest(missing)
        return torch.where(rows >= 0, self._known[rows], -1)

    def _nearest(self, rows: Tensor) -> Tensor:
        return self._searched.nearest(self._source[rows])[0]

    @cached_property
    def _searched(self) -> NearestRows:
        return NearestRows(self._target)


class _PointTable(_NeighbourTable):
    """Nearest neighbours by Euclidean distance; rows with NaN or infinity have none, and are none."""

    def __init__(self, source: Tensor, target: Tensor) -> None:
        super().__init__(source, target)
        points = target.double().cpu().numpy()
        self._numbers = np.flatnonzero(np.isfinite(points).all(axis=1))
        self._tree = KDTree(points[self._numbers]) if len(self._numbers) else None

    def _nearest(self, rows: Tensor) -> Tensor:
        points = self._source[rows].double().cpu().numpy()
        found = np.full(len(points), -1, np.int64)
        finite = np.isfinite(points).all(axis=1)
        if self._tree is not None and finite.any():
            found[finite] = self._numbers[self._tree.query(points[finite])[1]]
        return torch.from_numpy(found).to(self.device)
