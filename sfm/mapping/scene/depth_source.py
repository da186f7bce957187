"""Depth of single images, as registration expects it from a backend."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class DepthSource(Protocol):
    """Depth of images in their own camera frames, each image in a unit of its own."""

    @property
    def metric(self) -> bool:
        """Whether depths are meant in metres."""

    def at(
        self, name: str, xy: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Depth (N,) along the optical axis and its confidence (N,) > 1 at positions (N, 2), px (COLMAP's
        convention) of an image; NaN where unknown. None for an image without depth.
        """
