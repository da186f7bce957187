"""The cross product with a vector, as a matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def cross_matrices(vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """(..., 3, 3) of vectors (..., 3): `matrix @ y` is the cross product of a vector and y."""
    x, y, z = np.moveaxis(np.asarray(vectors, np.float64), -1, 0)
    zero = np.zeros_like(x)
    rows = np.stack((zero, -z, y, z, zero, -x, -y, x, zero), axis=-1)
    return rows.reshape(*x.shape, 3, 3)
