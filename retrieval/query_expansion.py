"""Query expansion on scores: similar images re-ranked by the images that are similar to them.

An image's best hits are nearly always right, and their own hits show the same place from places in between.
So an image's score for a query sums the query's own similarity, that of the query's nearest neighbours, and
that of their neighbours. Each step weighs half of the last:

    s' = (s + w P s + w^2 P^2 s) / (1 + w + w^2)

with P the scores of each image's nearest neighbours, scaled to a sum of 1. It is average query expansion
(Chum et al. 2007) on scores instead of descriptors and, carried on for ever, diffusion (Iscen et al. 2017).
Scores are not divided by an image's mean score, which harms. In photos of one place the highest scores belong
to the images that show most of it.

The lists that go in are cut off, so that everything is sparse and linear in the number of images.
"""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .hits import Hit, ImageIndex, Neighbours

_NEAREST = 5
"""Neighbours of each image that are asked in turn."""
_WEIGHT = 0.5
_STEPS = 2
_TOTAL_WEIGHT = sum(_WEIGHT**step for step in range(_STEPS + 1))
_DEPTH = 50
"""Length of the lists that are added up."""
_BLOCK = 2048
"""Images re-ranked at a time, which bounds the candidates in memory."""


def neighbours_expanded(index: ImageIndex, k: int) -> Neighbours:
    """The k best other images of every image, by expanded scores."""
    return expanded(index.all_neighbours(max(k, _DEPTH)), k)


def expanded(neighbours: Neighbours, k: int) -> Neighbours:
    """The k best other images of every image after query expansion.

    An image that is not in the list of a query is found where the lists of the query's neighbours hold it.
    Images without neighbours stay without. Of each list the first 5 are asked in turn.

    Returns:
        Scores in [0, 1], highest first, equal ones by ascending position; ids are -1 where there are no more.
    """
    scores, step = _sparse(neighbours), _sparse(neighbours, _NEAREST)
    sums = np.asarray(step.sum(axis=1)).ravel()
    step.data /= np.repeat(sums, np.diff(step.indptr))
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

    Equal to `neighbours_expanded`, for a few images of a large index: only their neighbours' neighbours are
    read. Lists are kept once they are read.
    """

    def __init__(self, index: ImageIndex) -> None:
        self._index = index
        self._positions = {name: position for position, name in enumerate(index.names)}
        self._lists: dict[str, list[Hit]] = {}

    def query(self, name: str, k: int) -> list[Hit]:
        """The k best others of an image of the index, best first; scores in [0, 1].

        Raises:
            RetrievalError: an unknown name.
        """
        scores: dict[str, float] = defaultdict(float)
        weights = {name: 1.0 / _TOTAL_WEIGHT}
        for _ in range(_STEPS + 1):
            onward: dict[str, float] = defaultdict(float)
            for image, weight in weights.items():
                hits = self._hits(image)
                total = sum(hit.score for hit in hits[:_NEAREST])
                for hit in hits:
                    scores[hit.name] += weight * hit.score
                for hit in hits[:_NEAREST]:
                    onward[hit.name] += _WEIGHT * weight * hit.score / total
            weights = onward
        scores.pop(name, None)
        order = sorted(scores, key=lambda other: (-scores[other], self._positions[other]))
        found = [Hit(other, scores[other]) for other in order[:k]]
        return found + self._beyond(name, k, found) if len(found) < k else found

    def _hits(self, name: str) -> list[Hit]:
        if name not in self._lists:
            self._lists[name] = self._index.query(name, _DEPTH)
        return self._lists[name]

    def _beyond(self, name: str, k: int, found: list[Hit]) -> list[Hit]:
        """What similarity ranks below the expanded hits, with scores on their scale."""
        known = {hit.name for hit in found}
        floor = min((hit.score for hit in found), default=1.0)
        rest = [hit for hit in self._index.query(name, k) if hit.name not in known]
        return [Hit(hit.name, min(floor, hit.score / _TOTAL_WEIGHT)) for hit in rest[: k - len(found)]]


def _sparse(neighbours: Neighbours, depth: int | None = None) -> csr_array:
    """(N, N) scores of the first `depth` neighbours, rows ask."""
    ids, scores = neighbours.ids[:, :depth], neighbours.scores[:, :depth]
    asking, rank = np.nonzero(ids >= 0)
    return csr_array((scores[asking, rank], (asking, ids[asking, rank])), shape=(len(ids), len(ids)))


def _keep_best(found: csr_array, start: int, ids: NDArray[np.int32], scores: NDArray[np.float64]) -> None:
    """Write each row's best other images into `ids` and `scores`; row i of `found` is image start + i."""
    for row in range(found.shape[0]):
        part = slice(found.indptr[row], found.indptr[row + 1])
        images, values = found.indices[part], found.data[part]
        others = (images != start + row) & (values > 0)
        images, values = images[others], values[others]
        order = np.lexsort((images, -values))[: ids.shape[1]]
        ids[row, : len(order)], scores[row, : len(order)] = images[order], values[order]
