"""Depth of images at their keypoints alone: all that registration asks for, and little to hand on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..scene.scene import Scene

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Known:
    """Of one image, in the order of `places`; all (N,)."""

    places: NDArray[np.complex64]
    depth: Array
    confidence: Array


@dataclass(frozen=True, slots=True)
class KeypointDepth:
    """A `DepthSource` of the depth of keypoints; NaN for any other position."""

    known: dict[str, _Known]
    metric: bool

    @classmethod
    def of(cls, scene: Scene, names: Iterable[str]) -> KeypointDepth | None:
        """The depth of a scene at the keypoints of some images; None where it has none."""
        if scene.depth is None:
            return None
        known = {}
        for name in sorted(names):
            xy = scene.keypoints(scene.id_of[name])
            if found := scene.depth.at(name, xy.astype(np.float64)):
                places, first = np.unique(_places(xy), return_index=True)
                known[name] = _Known(places, found[0][first], found[1][first])
        return cls(known, scene.depth.metric)

    def at(self, name: str, xy: Array) -> tuple[Array, Array] | None:
        """Depth (N,) and confidence (N,) at positions (N, 2), px, of an image."""
        if (known := self.known.get(name)) is None:
            return None
        depth, confidence = np.full(len(xy), np.nan), np.ones(len(xy))
        if len(known.places):
            places = _places(xy)
            row = np.minimum(np.searchsorted(known.places, places), len(known.places) - 1)
            hit = known.places[row] == places
            depth[hit], confidence[hit] = known.depth[row[hit]], known.confidence[row[hit]]
        return depth, confidence


def _places(xy: NDArray[np.floating]) -> NDArray[np.complex64]:
    """Positions (N, 2) as one sortable number each, (N,)."""
    return np.ascontiguousarray(xy, dtype=np.float32).view(np.complex64).reshape(-1)
