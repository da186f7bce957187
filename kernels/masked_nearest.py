"""Nearest descriptors of two photos among the pairs that a mask allows: what the faster searches must equal.

Every descriptor is compared with every other one, a block of rows at a time.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .values import NO_DISTANCE, Neighbours

_MAX_DIMENSION = 4096
"""Up to here squared distances of bytes fit 32 bits with room."""
_BLOCK = 256


def check_descriptors(kernel: str, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    """Refuse descriptors that cannot be compared.

    Raises:
        ValueError: they are not (n, d) and (m, d) uint8, or wider than exact distances allow; begins with
            the name of the kernel.
    """
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.ndim != 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"{kernel}: descriptors {a.dtype} {a.shape} and {b.dtype} {b.shape} don't fit")
    if a.shape[1] > _MAX_DIMENSION:
        raise ValueError(f"{kernel}: descriptors of {a.shape[1]} bytes; at most {_MAX_DIMENSION}")


def masked_nearest(
    allowed: Callable[[slice], NDArray[np.bool_]], a: NDArray[np.uint8], b: NDArray[np.uint8]
) -> tuple[Neighbours, Neighbours]:
    """The nearest and second nearest allowed partner of every descriptor of both photos.

    Args:
        allowed: of some rows of `a`, whether each is compared with each row of `b`, (rows, m).
        a: (n, d) uint8.
        b: (m, d) uint8, m > 0.
    """
    of_a, of_b = Neighbours.none(len(a)), Neighbours.none(len(b))
    wide_b = b.astype(np.float64)  # exact for bytes, and fast
    squares_b = np.einsum("ij,ij->i", wide_b, wide_b)
    for start in range(0, len(a), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(a)))
        wide_a = a[rows].astype(np.float64)
        squares = np.einsum("ij,ij->i", wide_a, wide_a)[:, None] + squares_b - 2 * wide_a @ wide_b.T
        distances = np.where(allowed(rows), squares, NO_DISTANCE).astype(np.int32)
        here = _two_smallest(distances)
        of_a.index[rows], of_a.distance[rows], of_a.second[rows] = here
        _take_nearer(of_b, *_two_smallest(distances.T), start)
    return of_a, of_b


def _two_smallest(
    distances: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Column and value of the smallest of each row, and the next smallest value."""
    here = np.arange(len(distances))
    first = np.argmin(distances, axis=1)
    nearest = distances[here, first]
    rest = distances.copy()
    rest[here, first] = NO_DISTANCE
    return np.where(nearest < NO_DISTANCE, first, -1), nearest, rest.min(axis=1)


def _take_nearer(
    best: Neighbours,
    index: NDArray[np.int64],
    distance: NDArray[np.int32],
    second: NDArray[np.int32],
    start: int,
) -> None:
    """Merge a block's neighbours into those of the blocks before it, which win where equally near."""
    nearer = distance < best.distance
    best.second[:] = np.where(
        nearer, np.minimum(best.distance, second), np.minimum(best.second, np.minimum(distance, second))
    )
    best.index[nearer] = index[nearer] + start
    best.distance[nearer] = distance[nearer]
