"""Gains of A-optimal design, and the pairs that it chooses."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Pair
from sfm.loop.a_optimal_design import a_optimal_links

SIDE = 12
WEST = [f"w{i:02}" for i in range(SIDE)]
EAST = [f"e{i:02}" for i in range(SIDE)]


def kirchhoff(edges: dict[Pair, float]) -> float:
    """Tr(L^+)."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_weighted_edges_from((p.a, p.b, w) for p, w in edges.items())
    return float(np.trace(np.linalg.pinv(nx.laplacian_matrix(graph, sorted(graph)).toarray())))


def barbell(waist: int) -> dict[Pair, float]:
    """Two groups, each held together by all pairs of neighbours and next but two, that few pairs join."""
    held = {
        Pair.of(s[i], s[j]): 1.0 for s in (WEST, EAST) for i, j in combinations(range(SIDE), 2) if j - i < 6
    }
    return held | {Pair.of(WEST[i], EAST[i]): 1.0 for i in range(waist)}


def open_pairs(held: dict[Pair, float]) -> dict[Pair, float]:
    return {p: 0.5 for ends in combinations(WEST + EAST, 2) if (p := Pair.of(*ends)) not in held}


def crosses(pair: Pair) -> bool:
    return pair.a[0] != pair.b[0]


def test_pairs_across_a_thin_waist_are_asked_for() -> None:
    held = barbell(waist=3)
    candidates = open_pairs(held)

    far = a_optimal_links(held, candidates, limit=50, min_gain=2.0)

    assert len(far) >= 3
    assert all(crosses(pair) for pair, _ in far)


def test_a_broad_waist_and_an_even_graph_ask_for_nothing() -> None:
    broad = barbell(waist=SIDE) | {Pair.of(WEST[i], EAST[i - 1]): 1.0 for i in range(SIDE)}
    ring = nx.circulant_graph(24, [1, 2, 3, 4, 5, 6])
    even = {Pair.of(f"{a:02}", f"{b:02}"): 1.0 for a, b in ring.edges}
    others = {Pair.of(f"{a:02}", f"{b:02}"): 0.5 for a, b in nx.complement(ring).edges}

    assert a_optimal_links(broad, open_pairs(broad), limit=50, min_gain=2.0) == []
    assert a_optimal_links(even, others, limit=50, min_gain=2.0) == []


def test_networks_of_very_many_photos_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfm.loop.a_optimal_design._MOST_IMAGES", 2 * SIDE - 1)
    held = barbell(waist=3)

    assert a_optimal_links(held, open_pairs(held), limit=50, min_gain=2.0) == []


@given(st.integers(3, 14), st.integers(0, 1000), st.integers(1, 6))
def test_gains_are_those_of_the_pseudo_inverse(count: int, seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"{i:02}" for i in range(count)]
    every = [Pair(*ends) for ends in combinations(names, 2)]
    held = {p: float(rng.uniform(0.2, 2)) for p in every if int(p.b) - int(p.a) == 1 or rng.random() < 0.2}
    candidates = {pair: float(rng.uniform(0.1, 1)) for pair in every if pair not in held}

    chosen = a_optimal_links(held, candidates, limit=limit, min_gain=0.0)

    assert len(chosen) == min(limit, len(candidates))
    assert len({pair for pair, _ in chosen}) == len(chosen)
    now = dict(held)
    for pair, gain in greedily(held, candidates, len(chosen)):
        before, mean = kirchhoff(now), kirchhoff(now) / len(now)
        now[pair] = candidates[pair]
        assert dict(chosen)[pair] == pytest.approx((before - kirchhoff(now)) / mean, rel=1e-6)
        assert dict(chosen)[pair] == pytest.approx(gain, rel=1e-6)


def greedily(held: dict[Pair, float], candidates: dict[Pair, float], count: int) -> list[tuple[Pair, float]]:
    """By recomputing the pseudo-inverse with each candidate."""
    now, chosen = dict(held), []
    for _ in range(count):
        before = kirchhoff(now)
        gains = {
            pair: (before - kirchhoff({**now, pair: w})) / before * len(now)
            for pair, w in candidates.items()
            if pair not in now
        }
        best = max(gains, key=lambda pair: gains[pair])
        now[best] = candidates[best]
        chosen.append((best, gains[best]))
    return chosen


def test_pairs_account_for_the_whole_to_first_order() -> None:
    held = barbell(waist=2)
    tiny = 1e-6

    gains = [
        gain
        for pair, weight in held.items()
        for _, gain in a_optimal_links(held, {pair: tiny * weight}, limit=1, min_gain=0.0)
    ]

    assert sum(gains) / tiny == pytest.approx(len(held), rel=1e-3)


def test_pairs_between_components_are_left_out() -> None:
    held = {Pair("a", "b"): 1.0, Pair("c", "d"): 1.0}

    assert a_optimal_links(held, {Pair("a", "c"): 1.0, Pair("a", "x"): 1.0}, limit=5, min_gain=0.0) == []
