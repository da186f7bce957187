"""Nearest descriptors of two photos among those that share a cell: an inverted file with multiple probes.

Cells partition the space of descriptors (IVF; Jégou et al., PAMI 2011). Two descriptors are compared where
one lies in a cell that is among the nearest to the other (Lv et al., VLDB 2007). So each comparison counts
for both photos, and a partner is found if either side probes the other's cell.

The numpy version defines the result with one comparison of every descriptor with every other. Compiled
(`probed_nearest_numba`), only those that share a cell are compared. Distances are integers, so both give the
same to the last bit.
"""

import numpy as np
from numpy.typing import NDArray

from .dispatch import compiles
from .masked_nearest import check_descriptors, masked_nearest
from .values import Neighbours, Probed

_WORTH_COMPILING = 1 << 20
"""Products of the numbers of descriptors from which on compiled code is faster, its start included."""


def probed_nearest(a: Probed, b: Probed) -> tuple[Neighbours, Neighbours]:
    """The nearest and second nearest partner of every descriptor of both photos, among those compared.

    Raises:
        ValueError: descriptors that are not uint8 of one width, or not as many as their probes.
    """
    _check(a, b)
    if not len(a.descriptors) or not len(b.descriptors):
        return Neighbours.none(len(a.descriptors)), Neighbours.none(len(b.descriptors))
    if compiles(len(a.descriptors) * len(b.descriptors) >= _WORTH_COMPILING):
        from . import probed_nearest_numba  # half a second, and more on its first use

        return probed_nearest_numba.nearest(a, b)
    in_probes_of_b = _lookup(b)

    def allowed(rows: slice) -> NDArray[np.bool_]:
        probes = a.probes[rows]
        return (
            _lookup(Probed(a.descriptors[rows], probes))[:, b.probes[:, 0]]
            | in_probes_of_b[:, probes[:, 0]].T
        )

    return masked_nearest(allowed, a.descriptors, b.descriptors)


def _check(a: Probed, b: Probed) -> None:
    check_descriptors("probed_nearest", a.descriptors, b.descriptors)
    for one in (a, b):
        if one.probes.dtype != np.uint8 or one.probes.ndim != 2 or not one.probes.shape[1]:
            raise ValueError(
                f"probed_nearest: probes {one.probes.dtype} {one.probes.shape}, not (n, m) uint8"
            )
        if len(one.probes) != len(one.descriptors):
            raise ValueError("probed_nearest: not as many rows of probes as descriptors")


def _lookup(side: Probed) -> NDArray[np.bool_]:
    """(n, 256), whether a descriptor probes a cell."""
    found = np.zeros((len(side.probes), 256), np.bool_)
    np.put_along_axis(found, side.probes.astype(np.intp), True, axis=1)
    return found
