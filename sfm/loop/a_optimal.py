"""Pairs that make many others more certain: across the waist of a view graph, or far across a district.

What a pair brings its own two photos (`stiffness.py`) is little once a few pairs hold both sides of a waist
together, although each further one makes every photo of one side more certain as seen from every photo of the
other. That is told by the sum of the effective resistances between all photos, the Kirchhoff index N tr(L^+),
which A-optimal design makes small (Ghosh, Boyd & Saberi, "Minimizing effective resistance of a graph", SIAM
Review 2008). A link of conductance w between photos a and b takes from tr(L^+), after Sherman and Morrison,

    w |L^+ (e_a - e_b)|^2 / (1 + w R_ab).

To first order, w |L^+ (e_a - e_b)|^2, the verified pairs account for all of tr(L^+), since tr(L^+ L L^+) is
tr(L^+): a gain is stated as a multiple of what one of them accounts for on average, whatever the scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import SuperLU

from retrieval import Pair

from .d_optimal import Network, networks

_BLOCK = 512
"""Columns that are solved for at once."""
_MOST_PHOTOS = 2000
"""Of a network: the cost of a choice grows with their square (72 s for 5,000), and pairs cost less."""
_MOST_COLUMNS = 1000
"""Candidates of highest gain that are followed while links are chosen."""

Array = NDArray[np.float64]


def a_optimal_links(
    conductance: Mapping[Pair, float], candidates: Mapping[Pair, float], *, limit: int, min_gain: float
) -> list[tuple[Pair, float]]:
    """The candidates that lower the Kirchhoff index most, each given those before it; greedy, deterministic.

    Args:
        conductance: of each verified pair that can be believed, above 0.
        candidates: conductance that each is expected to have, above 0. Those whose two photos no chain of
            verified pairs joins are left out, and those in networks of very many photos.
        limit: at most this many.
        min_gain: multiple of what a pair of the graph accounts for on average below which the choice ends.

    Returns:
        Chosen pairs with their gains in this unit, best first.
    """
    chosen: list[tuple[Pair, float]] = []
    for network, links in networks(conductance, candidates):
        if len(network.names) > _MOST_PHOTOS:
            continue
        chosen += _greedy(network, links, limit, min_gain)
    return sorted(chosen, key=lambda item: (-item[1], item[0]))[:limit]


def _greedy(
    network: Network, links: Mapping[Pair, float], limit: int, min_gain: float
) -> list[tuple[Pair, float]]:
    solver, num_pairs = network.grounded(), len(network.held)
    trace = _trace(solver, len(network.names))
    pairs, potentials = _promising(network, solver, links, min_gain * trace / num_pairs)
    weight = np.array([links[pair] for pair in pairs])
    a, b = network.ends(pairs).T
    each = np.arange(len(pairs))
    chosen: list[tuple[Pair, float]] = []
    for _ in range(min(limit, len(pairs))):
        resistance = potentials[a, each] - potentials[b, each]
        gains = _gains(potentials, resistance, weight)
        best = int(np.argmax(gains))
        gain = float(gains[best] * num_pairs / trace)
        if gain < min_gain:
            break
        chosen.append((pairs[best], gain))
        column = potentials[:, best].copy()
        share = weight[best] / (1 + weight[best] * resistance[best])
        # the link is in the graph now
        potentials -= np.outer(column, column[a] - column[b]) * share
        trace, num_pairs, weight[best] = trace - gains[best], num_pairs + 1, 0.0
    return chosen


def _promising(
    network: Network, solver: SuperLU, links: Mapping[Pair, float], least: float
) -> tuple[list[Pair], Array]:
    """The candidates that gain so much at first, best first, with L^+ (e_a - e_b) of each, (N, K).

    A candidate that gains less at first hardly ever gains more once others are chosen.
    """
    pairs, count = list(links), len(network.names)
    ends, weight = network.ends(pairs), np.array([links[pair] for pair in pairs])
    kept: list[tuple[float, Pair, Array]] = []
    for part in _blocks(len(pairs)):
        incidence = np.zeros((count, len(part)))
        each = np.arange(len(part))
        incidence[ends[part, 0], each], incidence[ends[part, 1], each] = 1.0, -1.0
        potentials = _solved(solver, incidence)
        resistance = potentials[ends[part, 0], each] - potentials[ends[part, 1], each]
        gains = _gains(potentials, resistance, weight[part])
        kept += [
            (-float(gains[k]), pairs[part[k]], potentials[:, k].copy()) for k in each if gains[k] >= least
        ]
        kept = sorted(kept, key=lambda item: item[:2])[:_MOST_COLUMNS]
    columns = [column for _, _, column in kept]
    return [pair for _, pair, _ in kept], np.column_stack(columns) if columns else np.zeros((count, 0))


def _gains(potentials: Array, resistance: Array, weight: Array) -> Array:
    """(K,) what each link would take from tr(L^+)."""
    squares = np.einsum("nk,nk->k", potentials, potentials)
    return np.asarray(weight * squares / (1 + weight * np.maximum(resistance, 0.0)), np.float64)


def _trace(solver: SuperLU, count: int) -> float:
    """Tr(L^+) of a network of `count` photos."""
    total = 0.0
    for part in _blocks(count):
        unit = np.zeros((count, len(part)))
        unit[part, np.arange(len(part))] = 1.0
        total += float(_solved(solver, unit - 1 / count)[part, np.arange(len(part))].sum())
    return total


def _solved(solver: SuperLU, currents: Array) -> Array:
    """(N, K) L^+ times currents (N, K) whose columns sum to 0."""
    potentials = np.zeros_like(currents)
    potentials[1:] = solver.solve(currents[1:])
    return np.asarray(potentials - potentials.mean(axis=0), np.float64)


def _blocks(count: int) -> Iterator[NDArray[np.int64]]:
    return (np.arange(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))
