"""Canonical keypoints of one photo: where the matches of all its pairs pile up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from .neighbours import nearest_within

Array = NDArray[np.float32]

_SMOOTHING = 1.5
"""Votes are believed to be this exact, network px."""
_MAX_CELLS = 2048
"""Cells along the longer side; coarser than a network pixel only for nonsensically large photos."""
_PACKING = 0.56
"""Points per square of the least distance that suppression leaves where candidates are everywhere."""
_COVER = 4
"""A vote stands for the cells at most this far away, when the photo's covered area is measured."""


def canonical_keypoints(votes: Array, weights: Array, taken: Array, *, radius: float, limit: int) -> Array:
    """Peaks of the votes' density, spread evenly over what the votes cover.

    Non-maximum suppression: the cell of most votes is chosen and its square neighbourhood is not, then the
    next. Where that leaves more than `limit`, the neighbourhood is enlarged, so that the choice stays even.

    Args:
        votes: (N, 2) positions of matches, network px, not negative.
        taken: (M, 2) keypoints that the photo has already: none is chosen near them.
        radius: least distance along either axis between two keypoints, network px.

    Returns:
        (K, 2) float32, K <= limit, strongest first.
    """
    if len(votes) == 0 or limit <= 0:
        return np.zeros((0, 2), np.float32)
    cell = max(1.0, float(votes.max()) / _MAX_CELLS)
    place = (votes / cell).astype(np.int64)
    shape = tuple(place.max(0)[::-1] + 1)
    flat = place[:, 1] * shape[1] + place[:, 0]
    cells, member = np.unique(flat, return_inverse=True)
    mass = np.bincount(member, weights)
    centre = np.stack([np.bincount(member, weights * votes[:, i]) / mass for i in range(2)], 1)
    lattice = np.zeros(shape, np.float32)
    lattice.flat[cells] = mass
    radius = max(radius, np.sqrt(_PACKING * _covered_area(lattice, cell) / (limit + len(taken))))
    score = gaussian_filter(lattice, _SMOOTHING / cell, mode="constant").flat[cells]
    order = np.argsort(-score, kind="stable")
    if len(taken):
        distance, _ = nearest_within(taken, centre, radius, square=True)
        order = order[np.isinf(distance[order])]
    chosen = _suppressed(cells[order], shape, max(1, round(radius / cell)))
    return centre[order[chosen[:limit]]].astype(np.float32)


def _covered_area(lattice: Array, cell: float) -> float:
    reach = 2 * max(1, round(_COVER / cell)) + 1
    return float(np.count_nonzero(maximum_filter(lattice, reach, mode="constant"))) * cell**2


def _suppressed(cells: NDArray[np.int64], shape: tuple[int, ...], radius: int) -> NDArray[np.intp]:
    """Positions in `cells` (best first) that survive, ascending.

    Each pass chooses every cell that is the best of its neighbourhood and clears the neighbourhood. The
    result is that of going through the cells one by one.
    """
    rank = np.zeros(shape, np.int32)
    rank.flat[cells] = np.arange(len(cells), 0, -1)
    size = 2 * radius - 1
    chosen = []
    while rank.any():
        best = (rank > 0) & (maximum_filter(rank, size, mode="constant") == rank)
        chosen.append(rank[best])
        rank[maximum_filter(best, size, mode="constant")] = 0
    kept = np.concatenate(chosen) if chosen else np.zeros(0, np.int32)
    return np.sort(len(cells) - kept)
