"""Cutting a weighted graph in two where little holds it together, and halves come out about as large.

Normalised cut (Shi & Malik 2000, "Normalized Cuts and Image Segmentation", eq. 2): the weight of the edges
cut, as a share of all that either side has. The second eigenvector of the normalised Laplacian puts the nodes
in an order; of the cuts across this order that are balanced, the best is taken.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

_DENSE = 50  # nodes up to which all eigenvectors are computed
_SHIFT = 1e-3  # keeps the Laplacian, which has a zero eigenvalue, invertible
_BALANCE = 0.1  # of the smaller side: so much fewer or more nodes are accepted for a better cut

Weights = sp.csr_array
Labels = NDArray[np.int64]


def cut_in_two(weights: Weights, share: float = 0.5, *, least: int = 1) -> Labels:
    """Number of the piece of each node (N,), every piece connected.

    Two sides may fall into more pieces, as the arms of a star do. Those with fewer than `least` nodes go
    where most of their weight is.

    Args:
        weights: (N, N) symmetric, not negative, of a connected graph of two nodes or more.
        share: of the nodes that one side is to have, in (0, 1).
        least: nodes of a piece; where no piece has as many, all nodes are one.
    """
    root = np.sqrt(np.maximum(weights.sum(axis=1), 1e-12))
    order = np.argsort(_second_eigenvector(weights) / root, kind="stable")
    first = np.zeros(len(order), dtype=bool)
    first[order[: _best_cut(weights, order, share)]] = True
    return _pieces(weights, first, least)


def _best_cut(weights: Weights, order: NDArray[np.int64], share: float) -> int:
    """Number of nodes on the first side."""
    count = len(order)
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)
    edges = sp.coo_array(sp.triu(weights, 1))
    cut = _weights_across(rank[np.stack(edges.coords, axis=1)], edges.data, count)
    volume = np.cumsum(weights.sum(axis=1)[order])
    cost = cut / np.maximum(volume[:-1], 1e-12) + cut / np.maximum(volume[-1] - volume[:-1], 1e-12)
    slack = _BALANCE * count * min(share, 1 - share)
    low = int(np.clip(np.floor(count * share - slack), 1, count - 1))
    high = int(np.clip(np.ceil(count * share + slack), low, count - 1))
    return low + int(np.argmin(cost[low - 1 : high]))


def _pieces(weights: Weights, first: NDArray[np.bool_], least: int) -> Labels:
    """The connected pieces of two sides, those that are too small given to their neighbours."""
    edges = sp.coo_array(weights)
    inside = first[edges.coords[0]] == first[edges.coords[1]]
    ends = edges.coords[0][inside], edges.coords[1][inside]
    kept_edges = sp.coo_array((edges.data[inside], ends), shape=edges.shape)
    labels = connected_components(kept_edges, directed=False)[1]
    large = np.flatnonzero(np.bincount(labels) >= least)
    if len(large) < 2:
        return np.zeros(len(labels), dtype=np.int64)
    members = (labels == large[:, None]).astype(np.float64)  # (pieces, N)
    while not (settled := members.any(axis=0)).all():
        pull = (weights @ members.T).T
        free = ~settled & pull.any(axis=0)
        members[np.argmax(pull, axis=0)[free], np.flatnonzero(free)] = 1.0
    return np.asarray(np.argmax(members, axis=0))


def _second_eigenvector(weights: sp.csr_array) -> NDArray[np.float64]:
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


def _weights_across(
    ranks: NDArray[np.int64], weights: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Weight of the edges between the first k + 1 nodes of an order and the others; (count - 1,).

    Args:
        ranks: (E, 2) rank of both ends of each edge.
        weights: (E,).
        count: number of nodes.
    """
    first, last = np.sort(ranks, axis=1).T
    return np.cumsum(np.bincount(first, weights, count) - np.bincount(last, weights, count))[:-1]
