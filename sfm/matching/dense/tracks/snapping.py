"""Keypoints moved onto corners of a repeatable detector, which are more exact than matches of a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .neighbours import nearest_within

Array = NDArray[np.float32]


def snap_keypoints(
    positions: Array, corners: NDArray[np.floating], radius: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Move each position (N, 2) to the nearest corner within `radius`; a corner takes only the nearest
    position.

    Returns:
        (N, 2) float32 positions, and (N,) which of them were moved onto a corner.
    """
    corners = corners[np.isfinite(corners).all(1)]
    distance, corner = nearest_within(corners, positions, radius)
    near = np.flatnonzero(np.isfinite(distance))
    near = near[np.argsort(distance[near], kind="stable")]
    near = near[np.unique(corner[near], return_index=True)[1]]
    moved, snapped = positions.astype(np.float32), np.zeros(len(positions), bool)
    moved[near] = corners[corner[near]]
    snapped[near] = True
    return moved, snapped


def unoccupied(corners: Array, taken: Array, spacing: float) -> Array:
    """The finite corners (C, 2) without one of `taken` (M, 2) within `spacing`."""
    corners = corners[np.isfinite(corners).all(1)]
    return corners[np.isinf(nearest_within(taken, corners, spacing)[0])]
