"""Banded nearest neighbours compiled by numba: only allowed pairs are compared; imported where it runs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .two_nearest_numba import in_blocks, offer, product, squares
from .values import Bands, Neighbours


def nearest(bands: Bands, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[Neighbours, Neighbours]:
    """As `banded_nearest.banded_nearest`, for at least one keypoint each."""
    order_a = np.argsort(bands.angle_a, kind="stable")
    order_b = np.argsort(bands.angle_b, kind="stable")  # neighbours in turn meet the same rows of a
    start, end, after, before = bands.intervals
    of_a, of_b = Neighbours.none(len(a)), Neighbours.none(len(b))
    _search(
        bands.angle_a[order_a],
        bands.low_a[order_a],
        bands.high_a[order_a],
        start[order_b],
        end[order_b],
        after[order_b],
        before[order_b],
        bands.along_b[order_b],
        in_blocks(a[order_a]),
        in_blocks(b[order_b]),
        order_a,
        order_b,
        of_a.index,
        of_a.distance,
        of_a.second,
        of_b.index,
        of_b.distance,
        of_b.second,
    )
    return of_a, of_b


@compiled()
def _search(
    angle_a: Any,
    low_a: Any,
    high_a: Any,
    start: Any,
    end: Any,
    after: Any,
    before: Any,
    along_b: Any,
    a: Any,
    b: Any,
    order_a: Any,
    order_b: Any,
    index_a: Any,
    distance_a: Any,
    second_a: Any,
    index_b: Any,
    distance_b: Any,
    second_b: Any,
) -> None:
    """Everything but the indices by ascending angle; each pair is met once and counts for both keypoints."""
    squares_a, squares_b = squares(a), squares(b)
    for j in range(len(b)):
        first = np.searchsorted(angle_a, start[j], side="left")
        last = np.searchsorted(angle_a, end[j], side="right")
        ranges = (
            (0, min(first, np.searchsorted(angle_a, before[j], side="right"))),
            (first, last),
            (max(last, np.searchsorted(angle_a, after[j], side="left")), len(a)),
        )
        at, along, square, row = order_b[j], along_b[j], squares_b[j], b[j]
        for k in range(3):
            for i in range(ranges[k][0], ranges[k][1]):
                if along < low_a[i] or along > high_a[i]:
                    continue
                distance = np.int32(squares_a[i] + square - 2 * product(row, a, i))
                offer(index_b, distance_b, second_b, at, order_a[i], distance)
                offer(index_a, distance_a, second_a, order_a[i], at, distance)
