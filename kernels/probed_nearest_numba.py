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
    # an array that is read from a tuple within the loops is counted there by its references, at four
    # times the price of a comparison
    probes, rows_a, squares_a = a.probes, a.rows, a.squares
    others, rows_b, squares_b, starts = b.descriptors, b.rows, b.squares, b.starts
    partner_b, distance_b, second_b = of_b.partner, of_b.distance, of_b.second
    for i in range(len(rows_a)):
        one = a.descriptors[i]
        nearest_a, least, next_least = of_a.partner[i], of_a.distance[i], of_a.second[i]  # in registers
        for p in range(probes.shape[1]):
            cell = probes[i, p]
            for j in range(starts[cell], starts[cell + 1]):
                distance = np.int32(squares_a[i] + squares_b[j] - 2 * product(one, others, j))
                if distance <= next_least and j != nearest_a:
                    if distance < least or (distance == least and rows_b[j] < rows_b[nearest_a]):
                        nearest_a, least, next_least = j, distance, least
                    else:
                        next_least = distance
                if distance <= second_b[j] and i != partner_b[j]:
                    best = distance_b[j]
                    if distance < best or (distance == best and rows_a[i] < rows_a[partner_b[j]]):
                        partner_b[j], distance_b[j], second_b[j] = i, distance, best
                    else:
                        second_b[j] = distance
        of_a.partner[i], of_a.distance[i], of_a.second[i] = nearest_a, least, next_least
