"""Ways to re-rank retrieval that were measured; what the product does is `retrieval/query_expansion.py`.

Each takes (N, N) scores, rows ask, and gives another such matrix. They are dense: for measuring only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

from retrieval.hits import Neighbours
from retrieval.query_expansion import expanded

Scores = NDArray[np.float64]


def unchanged(scores: Scores) -> Scores:
    """As the index says."""
    return _others(scores)


def query_expansion(scores: Scores) -> Scores:
    """The product's: neighbours and their neighbours, each step at half the weight."""
    return _dense(expanded(_neighbours(scores, 50), len(scores) - 1))


def average_query_expansion(scores: Scores, k: int = 5) -> Scores:
    """Own score plus the mean of the k best hits' scores, weighted by their own (Chum et al. 2007)."""
    own = _others(scores)
    nearest = _dense(_neighbours(scores, k))
    return own + _others(nearest @ own) / (nearest.sum(axis=1, keepdims=True) + 1e-12)


def mutual_rank(scores: Scores) -> Scores:
    """Geometric mean of the ranks that two images give each other."""
    ranks = _ranks(scores)
    return 1.0 / np.sqrt(ranks * ranks.T)


def local_scaling(scores: Scores, k: int = 10) -> Scores:
    """Divided by both images' mean score of their k best hits, against hubs (Jégou et al. 2007)."""
    own = _others(scores)
    mean = np.sort(own, axis=1)[:, -k:].mean(axis=1) + 1e-12
    return np.asarray(own / np.sqrt(np.outer(mean, mean)), np.float64)


def diffusion(scores: Scores, k: int = 10, reach: float = 0.9) -> Scores:
    """Random walk with restarts on the kNN graph, solved (Zhou et al. 2003; Iscen et al. 2017)."""
    graph = _dense(_neighbours(scores, k))
    graph = np.maximum(graph, graph.T)
    degree = np.maximum(graph.sum(axis=1), 1e-12)
    system = np.eye(len(graph)) - reach * graph / np.sqrt(np.outer(degree, degree))
    return _others(solve(system, np.eye(len(graph)), assume_a="pos"))


RERANKINGS = {
    "none": unchanged,
    "average query expansion": average_query_expansion,
    "query expansion": query_expansion,
    "mutual rank": mutual_rank,
    "local scaling": local_scaling,
    "diffusion": diffusion,
    "query expansion, mutual rank": lambda scores: mutual_rank(query_expansion(scores)),
    "query expansion, diffusion": lambda scores: diffusion(query_expansion(scores)),
    "mutual rank, query expansion": lambda scores: query_expansion(mutual_rank(scores)),
}
"""By the names in the table."""


def _others(scores: Scores) -> Scores:
    """Without the image itself."""
    return np.where(np.eye(len(scores), dtype=bool), 0.0, scores)


def _ranks(scores: Scores) -> NDArray[np.int64]:
    """(N, N) from 1; the image itself comes last."""
    order = np.argsort(-_others(scores), axis=1, kind="stable")
    return np.argsort(order, axis=1) + 1


def _neighbours(scores: Scores, k: int) -> Neighbours:
    own = _others(scores)
    ids = np.argsort(-own, axis=1, kind="stable")[:, :k].astype(np.int32)
    best = np.take_along_axis(own, ids.astype(np.int64), axis=1)
    names = tuple(f"{i:06d}" for i in range(len(own)))
    return Neighbours(names, np.where(best > 0, ids, -1).astype(np.int32), best)


def _dense(neighbours: Neighbours) -> Scores:
    count = len(neighbours.names)
    scores = np.zeros((count, count + 1))  # the last column takes what is missing
    np.put_along_axis(scores, neighbours.ids.astype(np.int64) % (count + 1), neighbours.scores, axis=1)
    return scores[:, :count]
