"""Correlation clustering: images that log-odds of pairs hold together, as a tree of clusters."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Set
from dataclasses import dataclass

from retrieval import Pair


@dataclass(frozen=True, slots=True)
class ClusterTree:
    """Clusters by their numbers: single images first, in the order of their names, then joined ones."""

    names: list[str]
    joined: list[tuple[int, int]]
    """Both parts of each joined cluster, in the order in which they were joined."""
    sizes: list[int]
    """Images of each cluster."""
    positive: list[float]
    """Sum of the positive log-odds of each cluster with all other images."""
    negative: list[float]
    """Likewise of the negative ones."""

    def images(self, cluster: int) -> frozenset[str]:
        """Names of the images of a cluster."""
        waiting, found = [cluster], []
        while waiting:
            one = waiting.pop()
            if one < len(self.names):
                found.append(self.names[one])
            else:
                waiting += self.joined[one - len(self.names)]
        return frozenset(found)


def cluster_tree(names: Set[str], log_odds: Mapping[Pair, float]) -> ClusterTree:
    """Join clusters between which the sum of log-odds is largest, while it is positive.

    Greedy additive edge contraction (Keuper et al. 2015, "Efficient Decomposition of Image and Mesh Graphs by
    Lifted Multicuts", algorithm 1), an approximation of correlation clustering (Bansal et al. 2004).

    Args:
        names: images.
        log_odds: that the images of a pair belong together; others count as 0.
    """
    order = sorted(names)
    number = {name: i for i, name in enumerate(order)}
    between: dict[int, dict[int, tuple[float, float]]] = {i: {} for i in range(len(order))}
    for pair, value in sorted(log_odds.items()):
        if pair.a in number and pair.b in number:
            a, b = number[pair.a], number[pair.b]
            between[a][b] = between[b][a] = max(value, 0.0), min(value, 0.0)
    tree = ClusterTree(order, [], [1] * len(order), [], [])
    for others in between.values():
        tree.positive.append(sum(positive for positive, _ in others.values()))
        tree.negative.append(sum(negative for _, negative in others.values()))
    heap = [(-sum(both), a, b) for a, others in between.items() for b, both in others.items() if a < b]
    heapq.heapify(heap)
    while heap and heap[0][0] < 0:
        _, a, b = heapq.heappop(heap)
        if a not in between or b not in between:
            continue  # one was joined to another since
        positive, negative = between[a][b]
        whole = len(tree.sizes)
        tree.joined.append((a, b))
        tree.sizes.append(tree.sizes[a] + tree.sizes[b])
        tree.positive.append(tree.positive[a] + tree.positive[b] - 2 * positive)
        tree.negative.append(tree.negative[a] + tree.negative[b] - 2 * negative)
        between[whole] = _joined(between.pop(a), between.pop(b), {a, b})
        for c, both in between[whole].items():
            for part in (a, b):
                between[c].pop(part, None)
            between[c][whole] = both
            heapq.heappush(heap, (-sum(both), c, whole))
    return tree


def _joined(
    one: Mapping[int, tuple[float, float]], other: Mapping[int, tuple[float, float]], without: Set[int]
) -> dict[int, tuple[float, float]]:
    """Sums with the same other clusters of two."""
    found = {c: both for c, both in one.items() if c not in without}
    for c, (positive, negative) in other.items():
        if c not in without:
            more = found.get(c, (0.0, 0.0))
            found[c] = more[0] + positive, more[1] + negative
    return found
