"""Maximum spanning forests of the view graph."""

from collections.abc import Mapping

import networkx as nx

from retrieval import Pair


def maximum_spanning_forest(weights: Mapping[Pair, float]) -> tuple[Pair, ...]:
    """The pairs of the maximum spanning forest (Kruskal's algorithm), largest weight first.

    Ties go to the first pair by name.
    """
    trees = nx.utils.UnionFind({name for pair in weights for name in pair})
    edges = []
    for pair in sorted(weights, key=lambda pair: (-weights[pair], pair)):
        if trees[pair.a] != trees[pair.b]:
            trees.union(pair.a, pair.b)
            edges.append(pair)
    return tuple(edges)
