"""Nearest descriptors of two photos among the pairs of keypoints that a known relative pose allows.

Seen from either camera, a point lies in one half-plane that starts at the baseline. The angle of that
half-plane is the same for both keypoints of a match; within the half-plane, the depth bounds the angle
between the baseline and the partner's ray.

The numpy version defines the result with one comparison of every keypoint with every other. Compiled
(`banded_nearest_numba`), keypoints are sorted by angle and only pairs that are allowed are compared.
Distances are integers, so both give the same to the last bit.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from .dispatch import compiles
from .masked_nearest import check_descriptors, masked_nearest
from .values import Bands, Neighbours

_WORTH_COMPILING = 1 << 20
"""Products of the numbers of keypoints from which on compiled code is faster, its start included."""


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
    return masked_nearest(partial(_allowed, bands), descriptors_a, descriptors_b)


def _check(bands: Bands, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    check_descriptors("banded_nearest", a, b)
    counts = {len(bands.angle_a), len(bands.low_a), len(bands.high_a), len(a)}
    if len(counts) > 1 or len({len(bands.angle_b), len(bands.tolerance_b), len(bands.along_b), len(b)}) > 1:
        raise ValueError("banded_nearest: not one angle, depth range and descriptor for each keypoint")


def _allowed(bands: Bands, rows: slice) -> NDArray[np.bool_]:
    start, end, after, before = bands.intervals
    angle = bands.angle_a[rows, None]
    turned = ((angle >= start) & (angle <= end)) | (angle >= after) | (angle <= before)
    low, high = bands.low_a[rows, None], bands.high_a[rows, None]
    return np.asarray(turned & (bands.along_b >= low) & (bands.along_b <= high))
