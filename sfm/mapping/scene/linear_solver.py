"""The linear solver of an adjustment of many images: a factorisation where COLMAP would accept its cost.

COLMAP factorises the reduced camera system (Schur complement) of up to 1,000 images, and solves larger ones
by conjugate gradients. But images of streets, flights and videos share points with few others, so that the
factors of thousands are sparse: then an adjustment takes fewer iterations, each in less time.
"""

from __future__ import annotations

import copy

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array, eye_array
from scipy.sparse.linalg import splu


def with_linear_solver(
    model: pycolmap.Reconstruction, options: pycolmap.BundleAdjustmentOptions
) -> pycolmap.BundleAdjustmentOptions:
    """`options` of an adjustment of a whole model, with the solver by the cost of its factorisation.

    Factorised is what costs at most as much as images in the largest number that COLMAP factorises
    (`max_num_images_direct_sparse_cpu_solver`) of which all share points.
    """
    num_images, limit = model.num_reg_images(), options.ceres.max_num_images_direct_sparse_cpu_solver
    if num_images <= limit or not factors_within(images_by_point(model), limit**3 / 3):
        return options
    changed = copy.deepcopy(options)
    changed.ceres.max_num_images_direct_sparse_cpu_solver = num_images
    return changed


def images_by_point(model: pycolmap.Reconstruction) -> csc_array:
    """Which registered image (a column, by its id) observes which point (a row), 1 where it does."""
    column = {image_id: k for k, image_id in enumerate(sorted(model.reg_image_ids()))}
    seen = [
        (row, column[one.image_id])
        for row, point in enumerate(model.points3D.values())
        for one in point.track.elements
    ]
    rows, columns = np.array(seen, np.int64).reshape(-1, 2).T
    shape = (model.num_points3D(), len(column))
    matrix = csc_array(coo_array((np.ones(len(rows), np.float32), (rows, columns)), shape))
    matrix.data[:] = 1  # a wrong track may have an image twice
    return matrix


def factors_within(seen: csc_array, most: float) -> bool:
    """Whether the Cholesky factor of a reduced camera system takes at most so many operations, in blocks.

    Args:
        seen: as `images_by_point`.
        most: sum of the squared lengths of the factor's columns.
    """
    shared = csc_array(seen.T @ seen)
    least = (shared.nnz + shared.shape[0]) / 2  # the factor has at least the entries of the triangle
    if least**2 / shared.shape[0] > most:
        return False
    return float(np.sum(_column_lengths(shared) ** 2)) <= most


def _column_lengths(shared: csc_array) -> NDArray[np.float64]:
    """Of the Cholesky factor of a matrix with these entries, ordered by minimum degree."""
    dominant = shared.copy()
    dominant.data[:] = -1.0 / shared.shape[0]
    dominant = csc_array(dominant + eye_array(shared.shape[0], dtype=np.float32) * 4)
    factor = splu(
        dominant,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    ).L
    return np.diff(csc_array(factor).indptr).astype(np.float64)
