"""The kinematic tree of sparse global alignment (MASt3R-SfM §3.4): what each pose is relative to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.spatial.distance import squareform

from .canonical import SUBSAMPLE_PX

Kinematic = Literal["hclust-ward", "hclust-single", "hclust-complete", "hclust-average", "mst"]
Method = Literal["ward", "single", "complete", "average"]
_METHODS: Mapping[Kinematic, Method] = {
    "hclust-ward": "ward",
    "hclust-single": "single",
    "hclust-complete": "complete",
    "hclust-average": "average",
}
_UNCONNECTED = 2.0
"""Distance of images without correspondences; others are at most 1 apart."""
_MATCHES_A_PATCH = 3
"""Correspondences a patch of the smaller image, from which on two images are as close as can be."""


@dataclass(frozen=True, slots=True)
class KinematicTree:
    """A spanning tree of images; parents come before their children."""

    root: int
    edges: tuple[tuple[int, int], ...]
    """Parent and child, breadth first."""

    def levels(self) -> list[list[tuple[int, int]]]:
        """The edges by the depth of their child, so that a level can be computed at once."""
        depth = {self.root: 0}
        levels: list[list[tuple[int, int]]] = []
        for parent, child in self.edges:
            depth[child] = depth[parent] + 1
            if depth[child] > len(levels):
                levels.append([])
            levels[depth[child] - 1].append((parent, child))
        return levels

    def rooted_at(self, root: int) -> KinematicTree:
        """The same tree from another root."""
        near: dict[int, list[int]] = {self.root: []}
        for parent, child in self.edges:
            near[parent].append(child)
            near[child] = [parent]
        parent_of, order = {root: root}, [root]
        for node in order:  # which grows meanwhile
            new = [other for other in sorted(near[node]) if other not in parent_of]
            parent_of.update(dict.fromkeys(new, node))
            order += new
        return KinematicTree(root, tuple((parent_of[node], node) for node in order[1:]))


def kinematic_tree(
    scores: NDArray[np.floating], sizes: NDArray[np.integer], kinematic: Kinematic = "hclust-ward"
) -> KinematicTree:
    """The tree over all images, rooted at one that is far from none.

    Args:
        scores: (N, N) symmetric, numbers of correspondences, 0 for none.
        sizes: (N, 2), px of the network's images.
        kinematic: how images are clustered; "mst" takes the maximum spanning tree.

    Raises:
        ValueError: not one connected graph.
    """
    count = len(scores)
    if count == 1:
        return KinematicTree(0, ())
    graph = _clustered(scores, sizes, _METHODS[kinematic]) if kinematic != "mst" else -scores
    tree = minimum_spanning_tree(csr_array(graph))
    if tree.nnz != count - 1:
        raise ValueError(f"kinematic tree: {count} images are not connected")
    first = _order(tree, 0)[0]
    second = _order(tree, int(first[-1]))[0]
    third = _order(tree, int(second[-1]))[0]
    root = int(np.argmax(np.minimum(_ranks(second), _ranks(third))))
    order, parents = _order(tree, root)
    return KinematicTree(root, tuple((int(parents[node]), int(node)) for node in order[1:]))


def _clustered(
    scores: NDArray[np.floating], sizes: NDArray[np.integer], method: Method
) -> NDArray[np.float64]:
    """(N, N) with -1 between representatives of clusters that were joined.

    Of two representatives the one with the larger similarity to all remains, and takes the larger
    similarities of both.
    """
    patches = np.prod(sizes // SUBSAMPLE_PX, axis=1)
    most = _MATCHES_A_PATCH * np.minimum(patches[:, None], patches[None])
    similarity = np.minimum(scores / most, 1.0)
    np.fill_diagonal(similarity, 1.0)
    distance = np.where(similarity != 0, 1 - similarity, _UNCONNECTED)
    merges = linkage(squareform(distance, checks=False), method=method)
    representative = dict(enumerate(range(len(scores))))
    graph = np.zeros((len(scores), len(scores)))
    for number, (a, b) in enumerate(merges[:, :2].astype(int), start=len(scores)):
        i, j = representative.pop(a), representative.pop(b)
        graph[i, j] = graph[j, i] = -1.0
        kept = i if similarity[i].sum() > similarity[j].sum() else j
        similarity[kept] = np.maximum(similarity[i], similarity[j])
        representative[number] = kept
    return graph


def _order(tree: csr_array, start: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Nodes as breadth-first search visits them, and the predecessor of each."""
    order, parents = breadth_first_order(tree, start, directed=False, return_predecessors=True)
    return order, parents


def _ranks(order: NDArray[np.int32]) -> NDArray[np.int64]:
    """Position of each node in an order."""
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks
