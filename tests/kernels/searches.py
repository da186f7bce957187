"""What tests of searches for the two nearest descriptors share."""

import numpy as np
import pytest

from kernels.dispatch import has_numba
from kernels.values import NO_DISTANCE, Neighbours

VERSIONS = ("torch", pytest.param("triton", marks=pytest.mark.skipif(not has_numba(), reason="needs numba")))
"""The plain version and the compiled one."""

Row = tuple[int, int, int]
"""Index, distance and second distance of a descriptor."""


def two_nearest(found: list[tuple[int, int]]) -> Row:
    """Of the distances and indices of those it was compared with."""
    ordered = [*sorted(found), (NO_DISTANCE, -1), (NO_DISTANCE, -1)]
    return ordered[0][1], ordered[0][0], ordered[1][0]


def squared_distance(a: np.ndarray, b: np.ndarray) -> int:
    """In integers."""
    return int(((a.astype(int) - b.astype(int)) ** 2).sum())


def as_rows(found: Neighbours) -> list[Row]:
    """One for each descriptor."""
    return list(zip(found.index.tolist(), found.distance.tolist(), found.second.tolist(), strict=True))
