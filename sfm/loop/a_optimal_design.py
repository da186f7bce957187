"""Pairs between parts of a model that few pairs hold together: A-optimal design on the view graph.

It lowers the Kirchhoff index N tr(L^+), the sum of all effective resistances, where L is the Laplacian of
conductances (Ghosh, Boyd & Saberi, "Minimizing effective resistance of a graph", SIAM Review 2008). A pair
between two such parts lowers the uncertainty of all images of one relative to the other, which the two images
of the pair alone do not show. By the Sherman-Morrison formula, a pair of images a and b lowers tr(L^+) by

    w |L^+ (e_a - e_b)|^2 / (1 + w R_ab).

To first order, the verified pairs account for all of tr(L^+), since tr(L^+ L L^+) = tr(L^+). The unit of an
A-optimal gain is the mean contribution of a verified pair to tr(L^+).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import SuperLU, splu

from retrieval import Pair

from .network import Array, Network

_BLOCK = 512
"""Columns that are solved for at once."""
_MOST_IMAGES = 2000
"""Of a network in A-optimal design, whose cost grows with their square."""
_MOST_COLUMNS = 1000
"""Candidates of highest gain that A-optimal design updates while it chooses."""

Link = tuple[Pair, float]
"""A pair and its gain."""


def a_optimal_links(
    conductance: Mapping[Pair, float], candidates: Mapping[Pair, float], *, limit: int, min_gain: float
) -> list[Link]:
    """The candidates that lower the Kirchhoff index most, each given those before it; deterministic.

    Args:
        conductance: of each verified pair, above 0.
        candidates: expected conductance of each, above 0. Those between components are left out, and those in
            networks of very many images.
        limit: number of pairs, at most.
        min_gain: multiple of what a verified pair accounts for on average, below which the choice ends.

    Returns:
        Chosen pairs with their gains in this unit, best first.
    """
    networks = (one for one in _networks(conductance, candidates) if len(one[0].names) <= _MOST_IMAGES)
    return _best((_a_optimal(network, links, limit, min_gain) for network, links in networks), limit)


def _networks(
    conductance: Mapping[Pair, float], candidates: Mapping[Pair, float]
) -> Iterator[tuple[Network, dict[Pair, float]]]:
    """Each component of the verified pairs that contains candidates, and these candidates."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_edges_from(sorted(conductance))
    for part in sorted(nx.connected_components(graph), key=min):
        links = {p: w for p, w in sorted(candidates.items()) if p.a in part and p.b in part}
        if links:
            held = {p: w for p, w in sorted(conductance.items()) if p.a in part}
            yield Network(sorted(part), held), links


def _best(chosen: Iterable[list[Link]], limit: int) -> list[Link]:
    return sorted(chain.from_iterable(chosen), key=lambda link: (-link[1], link[0]))[:limit]


def _a_optimal(network: Network, links: Mapping[Pair, float], limit: int, min_gain: float) -> list[Link]:
    # without the first image, whose potential is 0
    solver, num_pairs = splu(network.laplacian()[1:, 1:]), len(network.held)
    trace = _trace(solver, len(network.names))
    pairs, potentials = _promising(network, solver, links, min_gain * trace / num_pairs)
    weight = np.array([links[pair] for pair in pairs])
    a, b = network.ends(pairs).T
    each = np.arange(len(pairs))
    chosen: list[Link] = []
    for _ in range(min(limit, len(pairs))):
        resistance = potentials[a, each] - potentials[b, each]
        gains = _trace_gains(potentials, resistance, weight)
        best = int(np.argmax(gains))
        gain = float(gains[best] * num_pairs / trace)
        if gain < min_gain:
            break
        chosen.append((pairs[best], gain))
        column = potentials[:, best].copy()
        share = weight[best] / (1 + weight[best] * resistance[best])
        # the pair is in the network now
        potentials -= np.outer(column, column[a] - column[b]) * share
        trace, num_pairs, weight[best] = trace - gains[best], num_pairs + 1, 0.0
    return chosen


def _promising(
    network: Network, solver: SuperLU, links: Mapping[Pair, float], least: float
) -> tuple[Sequence[Pair], Array]:
    """The candidates that gain at least this much at first, best first, with L^+ (e_a - e_b) of each, (N, K).

    A candidate that gains less at first hardly ever gains more once others are chosen.
    """
    pairs, ends, weight = list(links), network.ends(links), np.array(list(links.values()))
    kept: list[tuple[float, Pair, Array]] = []
    for part in _blocks(len(pairs)):
        potentials, each = _solved(solver, network.incidence(ends[part])), np.arange(len(part))
        resistance = potentials[ends[part, 0], each] - potentials[ends[part, 1], each]
        gains = _trace_gains(potentials, resistance, weight[part])
        kept += [
            (-float(gains[k]), pairs[part[k]], potentials[:, k].copy()) for k in each if gains[k] >= least
        ]
        kept = sorted(kept, key=lambda item: item[:2])[:_MOST_COLUMNS]
    columns = [column for _, _, column in kept]
    found = np.column_stack(columns) if columns else np.zeros((len(network.names), 0))
    return [pair for _, pair, _ in kept], found


def _trace_gains(potentials: Array, resistance: Array, weight: Array) -> Array:
    """(K,) what each pair would take from tr(L^+)."""
    squares = np.einsum("nk,nk->k", potentials, potentials)
    return np.asarray(weight * squares / (1 + weight * np.maximum(resistance, 0.0)), np.float64)


def _trace(solver: SuperLU, count: int) -> float:
    """Tr(L^+) of a network of `count` images."""
    total = 0.0
    for part in _blocks(count):
        unit, each = np.zeros((count, len(part))), np.arange(len(part))
        unit[part, each] = 1.0
        total += float(_solved(solver, unit - 1 / count)[part, each].sum())
    return total


def _solved(solver: SuperLU, currents: Array) -> Array:
    """(N, K) L^+ times currents (N, K) whose columns sum to 0."""
    potentials = np.zeros_like(currents)
    potentials[1:] = solver.solve(currents[1:])
    return np.asarray(potentials - potentials.mean(axis=0), np.float64)


def _blocks(count: int) -> Iterator[NDArray[np.int64]]:
    return (np.arange(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))
