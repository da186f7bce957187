"""Maximum spanning forests of the view graph, and the best path without each pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import networkx as nx

from retrieval import Pair


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """A spanning forest whose pairs have the largest weights, each tree rooted at its first image by name."""

    edges: tuple[Pair, ...]
    """Largest weight first."""
    _parent: Mapping[str, str]
    _depth: Mapping[str, int]

    def path(self, pair: Pair) -> Iterator[Pair]:
        """The pairs of the path between two images of one tree."""
        a, b = pair
        while a != b:
            if self._depth[a] < self._depth[b]:
                a, b = b, a
            yield Pair.of(a, self._parent[a])
            a = self._parent[a]

    def detours(self, weights: Mapping[Pair, float]) -> dict[Pair, float | None]:
        """Smallest weight on the best path between the images of each pair without it; None: no path."""
        own = frozenset(self.edges)
        found: dict[Pair, float | None] = dict.fromkeys(weights)
        open_edges = set(own)
        for pair in sorted(weights.keys() - own, key=lambda pair: (-weights[pair], pair)):
            path = list(self.path(pair))
            found[pair] = min(weights[edge] for edge in path)
            for edge in open_edges.intersection(path):  # the largest weight across comes first
                found[edge] = weights[pair]
                open_edges.discard(edge)
        return found


def maximum_spanning_forest(weights: Mapping[Pair, float]) -> Forest:
    """The maximum spanning forest (Kruskal's algorithm); ties go to the first pair by name."""
    trees = nx.utils.UnionFind({name for pair in weights for name in pair})
    graph: nx.Graph[str] = nx.Graph()
    edges = []
    for pair in sorted(weights, key=lambda pair: (-weights[pair], pair)):
        if trees[pair.a] != trees[pair.b]:
            trees.union(pair.a, pair.b)
            graph.add_edge(pair.a, pair.b)
            edges.append(pair)
    parent: dict[str, str] = {}
    depth: dict[str, int] = {}
    for tree in nx.connected_components(graph):
        root = min(tree)
        depth[root] = 0
        for above, below in nx.bfs_edges(graph, root):
            parent[below], depth[below] = above, depth[above] + 1
    return Forest(tuple(edges), parent, depth)
