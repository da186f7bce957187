"""Nodes of a weighted graph in the order of the second eigenvector of its normalised Laplacian."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh

_DENSE = 50  # nodes up to which all eigenvectors are computed
_SHIFT = 1e-3  # keeps the Laplacian, which has a zero eigenvalue, invertible

Vector = NDArray[np.float64]


def second_eigenvector(weights: sp.csr_array) -> Vector:
    """Second eigenvector (N,) of D^-1/2 (D - W) D^-1/2 of symmetric weights, its largest entry positive."""
    scale = sp.diags_array(1 / np.sqrt(np.maximum(weights.sum(axis=1), 1e-12)))
    laplacian = sp.eye_array(weights.shape[0]) - scale @ weights @ scale
    if weights.shape[0] <= _DENSE:
        vector = np.linalg.eigh(laplacian.toarray())[1][:, 1]
    else:
        start = np.random.default_rng(0).standard_normal(weights.shape[0])
        values, vectors = eigsh(sp.csc_array(laplacian), k=2, sigma=-_SHIFT, which="LM", v0=start)
        vector = vectors[:, np.argmax(values)]
    return np.asarray(vector * (1.0 if vector[np.argmax(np.abs(vector))] > 0 else -1.0))


def weights_across(ranks: NDArray[np.int64], weights: Vector, count: int) -> Vector:
    """Weight of the edges between the first k + 1 nodes of an order and the others; (count - 1,).

    Args:
        ranks: (E, 2) rank of both ends of each edge.
        weights: (E,).
        count: number of nodes.
    """
    first, last = np.sort(ranks, axis=1).T
    return np.cumsum(np.bincount(first, weights, count) - np.bincount(last, weights, count))[:-1]
