"""Overlays: what photos show at the same pixels wherever they were taken.

A car's bonnet, a drone's legs, a logo, a clock: their matches are exact and many, and fit no motion but none.
So are those of what stands around a turntable before a camera on a tripod.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import cv2
import networkx as nx
import numpy as np
from numpy.typing import NDArray

from retrieval import Pair

COLUMNS, ROWS = 32, 24
"""Cells that photos are divided into."""
FINER = 4
"""So many times as many in either direction where each photo has a background of its own."""
_STILL, _STILL_PX = 1e-3, 1.0
"""Largest displacement of a match within an overlay, of the longer side of the photo, and at least in px."""
_MIN_MATCHES = 2
"""Of a pair in a cell, to say anything of it."""
_MOVING = 0.1
"""Share of the cells of a pair that must move: where less does, the camera may have stood still."""
_TOGETHER = 0.5
"""Share of the photos that pairs at rest must connect for the camera to have stood still while something else
moved; photos of a burst are fewer."""
_BEHIND, _MOST_CELLS = 0.5, 0.9
"""Share of the cells from which on what rests is behind what moves; where more cells rest, nothing moved.

Unless all photos are of a still camera: then nothing else could make a model, and a thing may be small.
"""
_MIN_PAIRS, _PAIRS = 5, 0.2
"""Pairs that must say something of a cell, and their share of all that move."""
_STILL_PAIRS = 0.8
"""Of these, in which the cell does not move. Overlays come to 1, other cells to 0.15 at most."""
_MIN_CELLS = 4
"""Smaller overlays have too few matches to mislead anything, and smaller things too few for a model."""

_MAX_COMPARED = 32
"""Photos with which each one is compared, about."""
_ALIKE, _MIN_ALIKE = 0.125, 2
"""Share and number of these in which a cell must look the same, beside itself."""
_SURELY_RESTING, _NOISES = 0.25, 4.0
"""Share of all cells that rest, at least; how many times as much as these others differ that move."""

Positions = NDArray[np.floating]


Matches = tuple[Pair, Positions, Positions]
"""A pair of photos, and the positions (M, 2) of its matches in either, px."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """What rests in photos of one size."""

    cells: NDArray[np.bool_]
    """(ROWS, COLUMNS) where it is, and those around them."""
    is_camera_still: bool
    """Whether the camera stood still while something else moved: then it rests behind that, too."""


def overlay(matches: Iterable[Matches], size: tuple[int, int], num_photos: int) -> Overlay | None:
    """The overlay that photos have by their matches; None where there is none.

    Args:
        matches: of pairs of photos; wrong ones may be among them.
        size: width and height of all photos, px.
        num_photos: of this size.
    """
    votes = [_Votes.of(pair, first, second, size) for pair, first, second in matches]
    still_for = _photos_of_still_camera(votes, num_photos)
    used = [one for one in votes if one.moves or one.pair.a in still_for]
    if not used:
        return None
    still = np.sum([one.resting for one in used], axis=0)
    seen = np.sum([one.told for one in used], axis=0)
    found = (seen >= max(_MIN_PAIRS, _PAIRS * len(used))) & (still >= _STILL_PAIRS * seen)
    if np.count_nonzero(found) < _MIN_CELLS:
        return None
    all_still = all(one.pair.a in still_for and one.pair.b in still_for for one in votes)
    if not all_still and np.count_nonzero(found) > _MOST_CELLS * np.count_nonzero(seen):
        return None
    padded = np.pad(found.reshape(ROWS, COLUMNS), 1)
    # Features at its border are of the overlay and of what is behind it.
    around = [padded[y : y + ROWS, x : x + COLUMNS] for y in range(3) for x in range(3)]
    cells = np.logical_or.reduce(around)
    return Overlay(cells, bool(still_for) and float(cells.mean()) > _BEHIND)


def resting_cells(photos: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_] | None:
    """Cells of each photo of a still camera with nothing but background, (N, FINER * ROWS, FINER * COLUMNS).

    Such a cell looks the same in several other photos, however often something else is before it. None where
    next to nothing moves.

    Args:
        photos: grey values, (H, W) each.
    """
    size = FINER * COLUMNS, FINER * ROWS
    others = photos[:: 1 + len(photos) // _MAX_COMPARED]
    num_alike = max(_MIN_ALIKE, int(_ALIKE * len(others)))
    differences = np.array([_difference(photo, others, size, num_alike) for photo in photos])
    noise = np.quantile(differences, _SURELY_RESTING)
    moving = (differences > _NOISES * noise + 1).astype(np.uint8)
    if np.count_nonzero(moving) < _MIN_CELLS * FINER**2 * len(photos):
        return None
    return np.array([cv2.dilate(one, np.ones((3, 3), np.uint8)) == 0 for one in moving])


def _difference(
    photo: NDArray[np.uint8], others: Sequence[NDArray[np.uint8]], size: tuple[int, int], num_alike: int
) -> NDArray[np.float32]:
    """By how many grey values cells of a photo differ from the photo that is `num_alike`-th alike."""
    found = [
        cv2.resize(cv2.absdiff(photo, other).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        for other in others
        if other is not photo
    ]
    nth = min(num_alike, len(found)) - 1
    return np.asarray(np.partition(np.array(found), nth, axis=0)[nth], np.float32)


@dataclass(frozen=True, slots=True)
class _Votes:
    """What a pair says of each cell of its first photo, (ROWS * COLUMNS,)."""

    pair: Pair
    told: NDArray[np.bool_]
    """Whether it says anything."""
    resting: NDArray[np.bool_]

    @classmethod
    def of(cls, pair: Pair, first: Positions, second: Positions, size: tuple[int, int]) -> _Votes:
        column, row = np.floor(first / size * (COLUMNS, ROWS)).astype(np.int64).T
        cell = np.clip(row, 0, ROWS - 1) * COLUMNS + np.clip(column, 0, COLUMNS - 1)
        rests = np.linalg.norm(first - second, axis=1) < max(_STILL_PX, _STILL * max(size))
        count = np.bincount(cell, minlength=ROWS * COLUMNS)
        told = count >= _MIN_MATCHES
        return cls(pair, told, told & (2 * np.bincount(cell[rests], minlength=ROWS * COLUMNS) >= count))

    @property
    def moves(self) -> bool:
        return bool(self.told.sum() - self.resting.sum() >= max(1, _MOVING * self.told.sum()))


def _photos_of_still_camera(votes: Sequence[_Votes], num_photos: int) -> Set[str]:
    """The photos for which the camera stood still, if these are most; else none."""
    at_rest = (one.pair for one in votes if 2 * one.resting.sum() > one.told.sum())
    graph: nx.Graph[str] = nx.Graph([(pair.a, pair.b) for pair in at_rest])
    together = max(nx.connected_components(graph), key=len, default=frozenset[str]())
    return together if len(together) >= _TOGETHER * num_photos else frozenset()
