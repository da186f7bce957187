"""Look-alikes re-ranked by what their own look-alikes say: query expansion on scores.

A photo's best hits are nearly always right, and what they in turn find shows the same place from places in
between. So an image is scored for a query by the query's own similarity, by that of its nearest neighbours,
and by that of theirs, each step weighing half of the last:

    s' = (s + w P s + w^2 P^2 s) / (1 + w + w^2)

with P the kNN graph, either direction, rows scaled to 1. It is average query expansion (Chum et al. 2007)
on scores instead of descriptors and, carried on for ever, diffusion (Iscen et al. 2017). Both were measured
(`tools/bench/retrieval_recall.py`): more steps, a wider graph or equal weights bring more photos among the
first 20 and lose right ones among the first 5. Everything is sparse and linear in the number of images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .engine import Hit, ImageIndex, Neighbours

_NEAREST = 5
"""Neighbours of each image in the graph, besides the images that it is among the nearest of."""
_WEIGHT = 0.5
_STEPS = 2
_TOTAL_WEIGHT = sum(_WEIGHT**step for step in range(_STEPS + 1))
_DEPTH = 50
"""Neighbours of each image that are re-ranked."""
_BLOCK = 2048
"""Images re-ranked at a time, which bounds the candidates in memory."""


def neighbours_expanded(index: ImageIndex, k: int) -> Neighbours:
    """The k best other images of every image, by expanded scores."""
    return expanded(index.all_neighbours(max(k, _DEPTH)), k)


def expanded(neighbours: Neighbours, k: int) -> Neighbours:
    """The k best other images of every image after query expansion.

    An image that is not in the list of a query is found where the lists of the query's neighbours hold it.
    Images without neighbours stay without.

    Args:
        neighbours: N images, lists as long as one can afford; the first 5 make the graph.
        k: at most this many, at least 1.

    Returns:
        Scores in [0, 1], highest first, equal ones by ascending position; ids are -1 where there are no more.
    """
    scores = _scores(neighbours)
    step = _graph(scores, neighbours)
    ids = np.full((len(neighbours.names), k), -1, np.int32)
    best = np.zeros(ids.shape)
    for start in range(0, len(ids), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found, walk = scores[rows], step[rows]
        for power in range(1, _STEPS + 1):
            found = found + _WEIGHT**power * (walk @ scores)
            walk = walk @ step if power < _STEPS else walk
        _keep_best(found, start, ids[rows], best[rows])
    return Neighbours(neighbours.names, ids, best / _TOTAL_WEIGHT)


class ExpandedRanking:
    """The photos most similar to a photo, by expanded scores where these reach, by similarity beyond.

    The expansion covers all images at once and is computed when it is first asked for.
    """

    def __init__(self, index: ImageIndex) -> None:
        self._index = index
        self._rows = {name: row for row, name in enumerate(index.names)}
        self._expanded: Neighbours | None = None

    def query(self, name: str, k: int) -> list[Hit]:
        """The k best others of an image of the index, best first.

        Raises:
            RetrievalError: an unknown name.
        """
        if name not in self._rows:
            return self._index.query(name, k)  # which refuses it
        if self._expanded is None:
            self._expanded = neighbours_expanded(self._index, _DEPTH)
        hits = self._expanded.hits(self._rows[name])[:k]
        if len(hits) == k:
            return hits
        present = {hit.name for hit in hits}
        floor = hits[-1].score if hits else 1.0
        rest = [hit for hit in self._index.query(name, k) if hit.name not in present]
        beyond = [Hit(hit.name, min(floor, hit.score / _TOTAL_WEIGHT)) for hit in rest]
        return hits + beyond[: k - len(hits)]


def _scores(neighbours: Neighbours) -> csr_array:
    """(N, N) sparse scores, rows ask."""
    count, depth = neighbours.ids.shape
    asking = np.repeat(np.arange(count), depth)
    found = neighbours.ids.ravel() >= 0
    ends = (asking[found], neighbours.ids.ravel()[found])
    return csr_array((neighbours.scores.ravel()[found], ends), shape=(count, count))


def _graph(scores: csr_array, neighbours: Neighbours) -> csr_array:
    """(N, N) sparse: the kNN graph in either direction, rows scaled to a sum of 1 or empty."""
    nearest = Neighbours(neighbours.names, neighbours.ids[:, :_NEAREST], neighbours.scores[:, :_NEAREST])
    graph = _scores(nearest)
    graph = graph.maximum(graph.T).tocsr()
    sums = np.asarray(graph.sum(axis=1)).ravel()
    graph.data /= np.repeat(sums, np.diff(graph.indptr))
    return graph


def _keep_best(found: csr_array, start: int, ids: NDArray[np.int32], scores: NDArray[np.float64]) -> None:
    """Write each row's best other images into `ids` and `scores`; row i of `found` is image start + i."""
    for row in range(found.shape[0]):
        part = slice(found.indptr[row], found.indptr[row + 1])
        images, values = found.indices[part], found.data[part]
        others = (images != start + row) & (values > 0)
        images, values = images[others], values[others]
        order = np.lexsort((images, -values))[: ids.shape[1]]
        ids[row, : len(order)], scores[row, : len(order)] = images[order], values[order]
