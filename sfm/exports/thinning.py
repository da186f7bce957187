"""A cloud that arrives a photo at a time and is held within a bound, evenly thinned out in space."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_FIRST = 10.0
_GROWTH = (1.02, 1.5)
_REACH = 1 << 20
"""Voxels each way from the middle; three such numbers fit into 64 bits. Farther points share the last one."""

Points = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]
"""Positions (N, 3), colours (N, 3) and confidence (N,)."""


@dataclass(slots=True)
class ThinnedCloud:
    """Points added a photo at a time, never many more than `max_points` of them held."""

    max_points: int
    voxel: float = 0.0
    _parts: list[Points] = field(default_factory=list)
    _middle: NDArray[np.float64] | None = None

    def add(self, xyz: NDArray[np.floating], rgb: NDArray[np.uint8], confidence: NDArray[np.float32]) -> None:
        """Add points (n, 3), their colours (n, 3) and confidence (n,)."""
        if not len(xyz):
            return
        if self._middle is None:
            self._middle = np.median(xyz, axis=0).astype(np.float64)
        self._parts.append((xyz.astype(np.float32), rgb, confidence.astype(np.float32)))
        if sum(len(part[0]) for part in self._parts) > 2 * self.max_points:
            self._thin()

    def points(self) -> Points:
        """At most `max_points` points, colours and confidences."""
        if sum(len(part[0]) for part in self._parts) > self.max_points:
            self._thin()
        return self._joined()

    def _thin(self) -> None:
        """Keep the most confident point of each voxel; voxels grow until few enough are left."""
        xyz, rgb, confidence = self._joined()
        assert self._middle is not None
        offsets = xyz - self._middle
        if not self.voxel:
            # Far smaller than what it comes to; points hardly ever fill the space that they spread over.
            spread = float(np.quantile(np.linalg.norm(offsets, axis=1), 0.9))
            self.voxel = max(spread, 1e-9) / np.sqrt(self.max_points) / _FIRST
        kept = _firsts(offsets, np.argsort(-confidence, kind="stable"), self.voxel)
        while len(kept) > self.max_points:
            # On surfaces the number of voxels falls with the square of their side.
            self.voxel *= float(np.clip(np.sqrt(len(kept) / self.max_points), *_GROWTH))
            kept = _firsts(offsets, kept, self.voxel)
        kept = np.sort(kept)
        self._parts = [(xyz[kept], rgb[kept], confidence[kept])]

    def _joined(self) -> Points:
        if not self._parts:
            return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32)
        xyz, rgb, confidence = zip(*self._parts, strict=True)
        return np.concatenate(xyz), np.concatenate(rgb), np.concatenate(confidence)


def _firsts(offsets: NDArray[np.float64], order: NDArray[np.int64], voxel: float) -> NDArray[np.int64]:
    """Those of `order` that are the first in their voxel, in the same order."""
    # Rounded, so that one voxel is around the origin and everything ends up in it if it has to.
    cells = np.clip(np.rint(offsets[order] / voxel), -_REACH, _REACH - 1).astype(np.int64) + _REACH
    keys = (cells[:, 0] << 42) | (cells[:, 1] << 21) | cells[:, 2]
    by_key = np.argsort(keys, kind="stable")
    first = np.ones(len(keys), np.bool_)
    first[1:] = np.diff(keys[by_key]) != 0
    return order[np.sort(by_key[first])]
