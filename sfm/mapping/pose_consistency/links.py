"""How probably a pair that is true links an image with the larger part of its model.

A part of a model is where its pairs with the rest place it. If all of them are false, it is misplaced,
however well its images agree with each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import networkx as nx
import numpy as np
import numpy.typing as npt

from retrieval import Pair

from ..pair_consistency.trees import maximum_spanning_forest

Array = npt.NDArray[np.float64]


def link_probabilities(names: Collection[str], probability: Mapping[Pair, float]) -> Array:
    """Of each image, (N,): the probability that its weakest link with the larger part of the model is true.

    That is, at least one pair across the weakest cut between both; 0 where no pair leads to the largest
    connected part. The cuts are those of the maximum spanning tree, one for each of its pairs; pairs count as
    independent.

    Args:
        names: images of the model.
        probability: that each pair is true, of those that hold the images where they are.
    """
    forest: nx.Graph[str] = nx.Graph([(pair.a, pair.b) for pair in maximum_spanning_forest(probability)])
    largest = max(nx.connected_components(forest), key=lambda part: (len(part), min(part)), default=set())
    tree = forest.subgraph(largest)
    root = min(largest, default="")
    order = list(nx.dfs_preorder_nodes(tree, root)) if largest else []
    place = {name: index for index, name in enumerate(order)}
    within = [pair for pair in probability if pair.a in place]
    ends = np.array([(place[pair.a], place[pair.b]) for pair in within], np.int64).reshape(-1, 2)
    false = 1 - np.array([probability[pair] for pair in within])
    found, every = np.ones(len(order)), np.arange(len(order))
    for first, size in _subtrees(tree, order):
        crosses = np.diff((ends >= first) & (ends < first + size), axis=1)[:, 0]
        linked = 1 - float(np.prod(false[crosses]))
        below = (every >= first) & (every < first + size)
        side = below if 2 * size <= len(order) else ~below
        found[side] = np.minimum(found[side], linked)
    return np.array([found[place[name]] if name in place else 0.0 for name in names])


def _subtrees(tree: nx.Graph[str], order: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First place and number of images of each proper subtree, by places in the preorder of a tree."""
    size = dict.fromkeys(order, 1)
    above = {child: parent for parent, child in nx.dfs_edges(tree, order[0])} if order else {}
    for place in range(len(order) - 1, 0, -1):
        name = order[place]
        yield place, size[name]
        size[above[name]] += size[name]
