"""Overlays: what photos show at the same pixels wherever they were taken.

A car's bonnet, a drone's legs, a logo, a clock: their matches are exact and many, and fit no motion but none.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 32, 24
"""Cells that photos are divided into."""
_STILL, _STILL_PX = 1e-3, 1.0
"""Largest displacement of a match within an overlay, of the longer side of the photo, and at least in px."""
_MIN_MATCHES = 2
"""Of a pair in a cell, to say anything of it."""
_MOVING = 0.1
"""Share of the cells of a pair that must move: where less does, the camera may have stood still."""
_MIN_PAIRS, _PAIRS = 5, 0.2
"""Pairs that must say something of a cell, and their share of all that move."""
_STILL_PAIRS = 0.8
"""Of these, in which the cell does not move. Overlays come to 1, other cells to 0.15 at most."""
_MIN_CELLS = 4
"""Smaller overlays have too few matches to mislead anything."""

Positions = NDArray[np.floating]


def overlay(
    matches: Iterable[tuple[Positions, Positions]], size: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """Cells (ROWS, COLUMNS) that hold an overlay, and those around them; None where there is none.

    Args:
        matches: of pairs of photos, positions (M, 2) in either, px; wrong ones may be among them.
        size: width and height of all photos, px.
    """
    still, seen, num_pairs = np.zeros(ROWS * COLUMNS), np.zeros(ROWS * COLUMNS), 0
    for first, second in matches:
        column, row = np.floor(first / size * (COLUMNS, ROWS)).astype(np.int64).T
        cell = np.clip(row, 0, ROWS - 1) * COLUMNS + np.clip(column, 0, COLUMNS - 1)
        rests = np.linalg.norm(first - second, axis=1) < max(_STILL_PX, _STILL * max(size))
        count = np.bincount(cell, minlength=ROWS * COLUMNS)
        told = count >= _MIN_MATCHES
        resting = told & (2 * np.bincount(cell[rests], minlength=ROWS * COLUMNS) >= count)
        if told.sum() - resting.sum() >= max(1, _MOVING * told.sum()):
            still, seen, num_pairs = still + resting, seen + told, num_pairs + 1
    found = (seen >= max(_MIN_PAIRS, _PAIRS * num_pairs)) & (still >= _STILL_PAIRS * seen)
    if found.sum() < _MIN_CELLS:
        return None
    padded = np.pad(found.reshape(ROWS, COLUMNS), 1)
    # Features at its border are of the overlay and of what is behind it.
    around = [padded[y : y + ROWS, x : x + COLUMNS] for y in range(3) for x in range(3)]
    return np.asarray(np.logical_or.reduce(around), np.bool_)
