"""Neighbours in probed cells, compiled by numba; imported where it runs."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .two_nearest_numba import in_blocks, product, squares
from .values import Neighbours, Probed


class _File(NamedTuple):
    """An inverted file: descriptors cell by cell."""

    descriptors: NDArray[np.uint8]
    squares: NDArray[np.int32]
    probes: NDArray[np.uint8]
    rows: NDArray[np.int64]
    """Which of the given descriptors each is."""
    starts: NDArray[np.int64]
    """(257,), the first of each cell."""


class _Found(NamedTuple):
    """`Neighbours` of a file's descriptors; partners are places in the other file."""

    partner: NDArray[np.int64]
    distance: NDArray[np.int32]
    second: NDArray[np.int32]


def nearest(a: Probed, b: Probed) -> tuple[Neighbours, Neighbours]:
    """As `probed_nearest.probed_nearest`, for at least one descriptor each."""
    file_a, file_b = _inverted_file(a), _inverted_file(b)
    found_a, found_b = _nothing(len(a.descriptors)), _nothing(len(b.descriptors))
    _search(file_a, file_b, found_a, found_b)
    _search(file_b, file_a, found_b, found_a)
    return _in_order(found_a, file_a.rows, file_b.rows), _in_order(found_b, file_b.rows, file_a.rows)


def _inverted_file(side: Probed) -> _File:
    cells = side.probes[:, 0]
    rows = np.argsort(cells, kind="stable")
    starts = np.searchsorted(cells[rows], np.arange(257))
    descriptors = in_blocks(side.descriptors[rows])
    return _File(descriptors, squares(descriptors), np.ascontiguousarray(side.probes[rows]), rows, starts)


def _nothing(count: int) -> _Found:
    none = Neighbours.none(count)
    return _Found(none.index, none.distance, none.second)


def _in_order(found: _Found, rows: NDArray[np.int64], partners: NDArray[np.int64]) -> Neighbours:
    """In the order of the given descriptors; `partners` are the rows of the other file."""
    back = np.empty(len(rows), np.int64)
    back[rows] = np.arange(len(rows))
    index = found.partner[back]
    index[index >= 0] = partners[index[index >= 0]]
    return Neighbours(index, found.distance[back], found.second[back])


@compiled()
def _search(a: Any, b: Any, of_a: Any, of_b: Any) -> None:
    """Compare each descriptor of a with those of b in the cells that it probes.

    A pair that is met again changes nothing: its distance is not below the second one, unless it is the
    nearest itself.
    """
    for i in range(len(a.descriptors)):
        nearest_a, least, next_least = of_a.partner[i], of_a.distance[i], of_a.second[i]  # in registers
        for p in range(a.probes.shape[1]):
            cell = a.probes[i, p]
            for j in range(b.starts[cell], b.starts[cell + 1]):
                twice = 2 * product(a.descriptors, i, b.descriptors, j)
                distance = np.int32(a.squares[i] + b.squares[j] - twice)
                if distance <= next_least and j != nearest_a:
                    if distance < least or (distance == least and b.rows[j] < b.rows[nearest_a]):
                        nearest_a, least, next_least = j, distance, least
                    else:
                        next_least = distance
                if distance <= of_b.second[j] and i != of_b.partner[j]:
                    best = of_b.distance[j]
                    if distance < best or (distance == best and a.rows[i] < a.rows[of_b.partner[j]]):
                        of_b.partner[j], of_b.distance[j], of_b.second[j] = i, distance, best
                    else:
                        of_b.second[j] = distance
        of_a.partner[i], of_a.distance[i], of_a.second[i] = nearest_a, least, next_least
