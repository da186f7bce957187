"""The inverted file of SIFT descriptors (IVF; Jégou et al., PAMI 2011): one fixed partition for all photos.

COLMAP trains a partition for each photo each time it is matched. This one is made once, by k-means of
descriptors of rendered scenes (`tools/bench/evidence/cells.py`, which also measures what it misses). So a
photo's cells are the same whatever it is matched with, and whichever photos are beside it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from kernels.values import Probed

_NUM_PROBES = 10
"""Cells in which partners of a descriptor are looked for, of 256."""
_ROWS = 4096
"""Descriptors whose distances to all cells are held at a time, 8 MB."""


def probed(descriptors: NDArray[np.uint8], centres: NDArray[np.uint8] | None = None) -> Probed:
    """Descriptors (n, 128) uint8 with the cells nearest to each.

    Args:
        descriptors: as COLMAP stores those of SIFT.
        centres: (256, 128) uint8, of the cells; None: those of this package.
    """
    wide = (_centres() if centres is None else centres).astype(np.float32)
    squares = np.einsum("ij,ij->i", wide, wide)
    probes = np.empty((len(descriptors), _NUM_PROBES), np.uint8)
    for start in range(0, len(descriptors), _ROWS):
        rows = descriptors[start : start + _ROWS].astype(np.float32)
        # sums of products of bytes are exact in float32, so that every machine finds the same cells
        distances = (squares - 2 * (rows @ wide.T)).astype(np.int64)
        ordered = distances * len(wide) + np.arange(len(wide))  # the first of equally near ones
        nearest = np.partition(ordered, _NUM_PROBES - 1, axis=1)[:, :_NUM_PROBES]
        probes[start : start + _ROWS] = np.sort(nearest, axis=1) % len(wide)
    return Probed(np.ascontiguousarray(descriptors), probes)


@cache
def _centres() -> NDArray[np.uint8]:
    with (files(__package__) / "cells.npy").open("rb") as file:
        return np.asarray(np.load(file, allow_pickle=False), np.uint8)
