"""How much a further verified pair would stiffen a model: effective resistance in the graph of its pairs.

Taken as a network of conductances, the view graph tells how uncertain the pose of one photo is seen from
another: their effective resistance. A pair of conductance w between two photos of resistance R raises the log
determinant of the graph's reduced Laplacian by log(1 + w R), the gain of D-optimal design; choosing the best,
updating, and choosing again is within 1 - 1/e of the best set (Khosoussi et al., "Reliable graphs for SLAM",
IJRR 2019). A pair that closes a loop gains much, the tenth pair among ten neighbours nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import splu

from retrieval import Pair


def stiffening_links(
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
    graph: nx.Graph[str] = nx.Graph()
    graph.add_edges_from(sorted(conductance))
    chosen: list[tuple[Pair, float]] = []
    for part in sorted(nx.connected_components(graph), key=min):
        links = {p: w for p, w in sorted(candidates.items()) if p.a in part and p.b in part}
        held = {p: w for p, w in sorted(conductance.items()) if p.a in part}
        if links:
            chosen += _greedy(sorted(part), held, links, limit, min_gain)
    return sorted(chosen, key=lambda item: (-item[1], item[0]))[:limit]


def _greedy(
    names: Sequence[str],
    held: Mapping[Pair, float],
    links: Mapping[Pair, float],
    limit: int,
    min_gain: float,
) -> list[tuple[Pair, float]]:
    pairs = list(links)
    weight = np.array([links[pair] for pair in pairs])
    gram = _resistances(names, held, pairs)
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


def _resistances(
    names: Sequence[str], held: Mapping[Pair, float], pairs: Sequence[Pair]
) -> NDArray[np.float64]:
    """(K, K) B' L^+ B for the incidence B of the pairs: resistances on the diagonal; one connected part."""
    place = {name: i for i, name in enumerate(names)}
    ends = np.array([(place[p.a], place[p.b]) for p in held])
    w = np.array(list(held.values()))
    n = len(names)
    off = coo_array((w, (ends[:, 0], ends[:, 1])), shape=(n, n))
    off = off + off.T
    laplacian = csc_array(np.asarray(off.sum(axis=0)).ravel() * _identity(n) - off)
    incidence = np.zeros((n, len(pairs)))
    for k, pair in enumerate(pairs):
        incidence[place[pair.a], k], incidence[place[pair.b], k] = 1.0, -1.0
    # the first photo is grounded; resistances do not depend on which
    potentials = splu(csc_array(laplacian[1:, 1:])).solve(incidence[1:])
    return np.asarray(incidence[1:].T @ potentials, np.float64)


def _identity(count: int) -> coo_array:
    diagonal = np.arange(count)
    return coo_array((np.ones(count), (diagonal, diagonal)), shape=(count, count))
