"""The covariance that the scatter of residuals gives, where residuals of neighbours are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MAX_CONDITION = 1e14


def scatter_covariance(jacobian: Array, residuals: Array, cells: NDArray[np.int64]) -> Array | None:
    """Covariance (p, p) of a least-squares fit; None where the residuals leave the parameters open.

    It is sigma^2 (J^T J)^-1, times the mean factor by which the sums over whole cells make the variances of
    the parameters larger (Liang and Zeger, Biometrika 1986): dense matches of one place err alike. One
    factor for all parameters, because the sums are too few for a matrix of their own.

    Args:
        jacobian: (N, p) of the residuals.
        residuals: (N,).
        cells: (N,), which cell each residual belongs to; residuals of different cells are independent.
    """
    count, freedom = jacobian.shape[1], len(residuals) - jacobian.shape[1]
    information = jacobian.T @ jacobian
    if freedom <= 0 or not np.all(np.isfinite(information)) or np.linalg.cond(information) > _MAX_CONDITION:
        return None
    inverse = np.linalg.inv(information)
    sigma2 = float(residuals @ residuals) / freedom
    _, index = np.unique(cells, return_inverse=True)
    num_cells = int(index.max()) + 1
    sums = np.zeros((num_cells, count))
    np.add.at(sums, index, jacobian * residuals[:, None])
    spread = inverse @ (sums.T @ sums) @ inverse
    few = num_cells / max(num_cells - count, 1)
    factor = few * float(np.mean(np.diag(spread) / np.diag(inverse))) / max(sigma2, 1e-300)
    return np.asarray(sigma2 * max(1.0, factor) * inverse)
