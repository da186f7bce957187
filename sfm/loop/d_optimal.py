"""How much a further verified pair would stiffen a model: effective resistance in the graph of its pairs.

Taken as a network of conductances, the view graph tells how uncertain the pose of one photo is seen from
another: their effective resistance. A pair of conductance w between two photos of resistance R raises the log
determinant of the graph's reduced Laplacian by log(1 + w R), the gain of D-optimal design; choosing the best,
updating, and choosing again is within 1 - 1/e of the best set (Khosoussi et al., "Reliable graphs for SLAM",
IJRR 2019). A pair that closes a loop gains much, the tenth pair among ten neighbours nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import SuperLU, splu

from retrieval import Pair


def d_optimal_links(
    conductance: Mapping[Pair, float],
    candidates: Mapping[Pair, float],
    *,
    limit: int,
    min_gain: float,
) -> list[tuple[Pair, float]]:
    """The candidates of highest gain, each gain given those chosen before it; greedy, deterministic.

    Args:
        conductance: of each verified pair, above 0.
        candidates: conductance that each is expected to have, above 0. Those whose two photos no chain of
            verified pairs joins are left out: they join parts, which is another question.
        limit: at most this many.
        min_gain: log(1 + w R) below which the choice ends.

    Returns:
        Chosen pairs with their gains, best first.
    """
    chosen: list[tuple[Pair, float]] = []
    for network, links in networks(conductance, candidates):
        chosen += _greedy(network, links, limit, min_gain)
    return sorted(chosen, key=lambda item: (-item[1], item[0]))[:limit]


@dataclass(frozen=True, slots=True)
class Network:
    """Photos that verified pairs join into one part, with the conductances of these pairs."""

    names: tuple[str, ...]
    held: Mapping[Pair, float]

    def ends(self, pairs: Iterable[Pair]) -> NDArray[np.int64]:
        """(K, 2) places of the photos of pairs among the names."""
        place = {name: i for i, name in enumerate(self.names)}
        return np.array([(place[p.a], place[p.b]) for p in pairs], np.int64).reshape(-1, 2)

    def grounded(self) -> SuperLU:
        """The factors of the (N - 1, N - 1) Laplacian without the first photo, whose potential is 0."""
        ends, count = self.ends(self.held), len(self.names)
        off = coo_array((np.array(list(self.held.values())), (ends[:, 0], ends[:, 1])), shape=(count, count))
        off = off + off.T
        laplacian = csc_array(np.asarray(off.sum(axis=0)).ravel() * _identity(count) - off)
        return splu(csc_array(laplacian[1:, 1:]))


def networks(
    conductance: Mapping[Pair, float], candidates: Mapping[Pair, float]
) -> Iterator[tuple[Network, dict[Pair, float]]]:
    """Each connected part of the verified pairs within which there are candidates, and these."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_edges_from(sorted(conductance))
    for part in sorted(nx.connected_components(graph), key=min):
        links = {p: w for p, w in sorted(candidates.items()) if p.a in part and p.b in part}
        if links:
            held = {p: w for p, w in sorted(conductance.items()) if p.a in part}
            yield Network(tuple(sorted(part)), held), links


def _greedy(
    network: Network, links: Mapping[Pair, float], limit: int, min_gain: float
) -> list[tuple[Pair, float]]:
    pairs = list(links)
    weight = np.array([links[pair] for pair in pairs])
    gram = _resistances(network, pairs)
    chosen: list[tuple[Pair, float]] = []
    for _ in range(min(limit, len(pairs))):
        gains = np.log1p(weight * np.maximum(np.diagonal(gram), 0.0))
        best = int(np.argmax(gains))
        if gains[best] < min_gain:
            break
        chosen.append((pairs[best], float(gains[best])))
        column = gram[:, best].copy()
        # Sherman and Morrison: the link is in the graph now
        gram -= np.outer(column, column) * (weight[best] / (1 + weight[best] * column[best]))
        weight[best] = 0.0
    return chosen


def _resistances(network: Network, pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """(K, K) B' L^+ B for the incidence B of the pairs: resistances on the diagonal."""
    incidence = np.zeros((len(network.names), len(pairs)))
    for k, (a, b) in enumerate(network.ends(pairs)):
        incidence[a, k], incidence[b, k] = 1.0, -1.0
    # resistances do not depend on which photo is grounded
    potentials = network.grounded().solve(incidence[1:])
    return np.asarray(incidence[1:].T @ potentials, np.float64)


def _identity(count: int) -> coo_array:
    diagonal = np.arange(count)
    return coo_array((np.ones(count), (diagonal, diagonal)), shape=(count, count))
