"""Photos that pairs connect."""

from collections.abc import Iterable

import networkx as nx

from retrieval import Pair


def connected_photos(pairs: Iterable[Pair]) -> list[list[str]]:
    """Names of each connected set of photos, sorted; the largest set first."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_edges_from(pairs)
    parts = (sorted(part) for part in nx.connected_components(graph))
    return sorted(parts, key=lambda part: (-len(part), part[0]))
