"""Nearest descriptors of two photos among the pairs of keypoints that a known relative pose allows.

Seen from either camera, a point lies in one half-plane that starts at the baseline. The angle of that
half-plane is the same for both keypoints of a match; within the half-plane, the depth bounds the angle
between the baseline and the partner's ray.

The numpy version defines the result with one comparison of every keypoint with every other. Compiled
(`banded_nearest_numba`), keypoints are sorted by angle and only pairs that are allowed are compared.
Distances are integers, so both give the same to the last bit.
"""

import numpy as np
from numpy.typing import NDArray

from .dispatch import compiles
from .values import NO_DISTANCE, Bands, Neighbours

_MAX_DIMENSION = 4096
"""Up to here squared distances of bytes fit 32 bits with room."""
_WORTH_COMPILING = 1 << 20
"""Products of the numbers of keypoints from which on compiled code is faster, its start included."""
_BLOCK = 256


def banded_nearest(
    bands: Bands, descriptors_a: NDArray[np.uint8], descriptors_b: NDArray[np.uint8]
) -> tuple[Neighbours, Neighbours]:
    """The nearest and second nearest allowed partner of every keypoint of both photos.

    Args:
        descriptors_a: (n, d) uint8.
        descriptors_b: (m, d) uint8.

    Raises:
        ValueError: descriptors that are not uint8 of one width, or not as many as their keypoints.
    """
    _check(bands, descriptors_a, descriptors_b)
    if not len(descriptors_a) or not len(descriptors_b):
        return Neighbours.none(len(descriptors_a)), Neighbours.none(len(descriptors_b))
    if compiles(len(descriptors_a) * len(descriptors_b) >= _WORTH_COMPILING):
        from . import banded_nearest_numba  # half a second, and more on its first use

        return banded_nearest_numba.nearest(bands, descriptors_a, descriptors_b)
    return _nearest(bands, descriptors_a, descriptors_b)


def _check(bands: Bands, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.ndim != 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"banded_nearest: descriptors {a.dtype} {a.shape} and {b.dtype} {b.shape} don't fit")
    if a.shape[1] > _MAX_DIMENSION:
        raise ValueError(f"banded_nearest: descriptors of {a.shape[1]} bytes; at most {_MAX_DIMENSION}")
    counts = {len(bands.angle_a), len(bands.low_a), len(bands.high_a), len(a)}
    if len(counts) > 1 or len({len(bands.angle_b), len(bands.tolerance_b), len(bands.along_b), len(b)}) > 1:
        raise ValueError("banded_nearest: not one angle, depth range and descriptor for each keypoint")


def _nearest(bands: Bands, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[Neighbours, Neighbours]:
    of_a, of_b = Neighbours.none(len(a)), Neighbours.none(len(b))
    wide_b = b.astype(np.float64)  # exact for bytes, and fast
    squares_b = np.einsum("ij,ij->i", wide_b, wide_b)
    for start in range(0, len(a), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(a)))
        wide_a = a[rows].astype(np.float64)
        squares = np.einsum("ij,ij->i", wide_a, wide_a)[:, None] + squares_b - 2 * wide_a @ wide_b.T
        distances = np.where(_allowed(bands, rows), squares, NO_DISTANCE).astype(np.int32)
        here = _two_smallest(distances)
        of_a.index[rows], of_a.distance[rows], of_a.second[rows] = here
        _take_nearer(of_b, *_two_smallest(distances.T), start)
    return of_a, of_b


def _allowed(bands: Bands, rows: slice) -> NDArray[np.bool_]:
    start, end, after, before = bands.intervals
    angle = bands.angle_a[rows, None]
    turned = ((angle >= start) & (angle <= end)) | (angle >= after) | (angle <= before)
    low, high = bands.low_a[rows, None], bands.high_a[rows, None]
    return np.asarray(turned & (bands.along_b >= low) & (bands.along_b <= high))


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
