from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Pair
from sfm.loop.d_optimal import d_optimal_links


def chain(count: int) -> dict[Pair, float]:
    return {Pair(f"{i:02}", f"{i + 1:02}"): 1.0 for i in range(count - 1)}


def test_gain_is_that_of_the_determinant() -> None:
    held, extra = chain(6), Pair("00", "05")

    ((_, gain),) = d_optimal_links(held, {extra: 0.7}, limit=5, min_gain=0.0)

    def log_det(edges: dict[Pair, float]) -> float:
        graph: nx.Graph[str] = nx.Graph()
        graph.add_weighted_edges_from((p.a, p.b, w) for p, w in edges.items())
        laplacian = nx.laplacian_matrix(graph, sorted(graph)).toarray()
        return float(np.linalg.slogdet(laplacian[1:, 1:])[1])

    assert gain == pytest.approx(log_det({**held, extra: 0.7}) - log_det(held))
    assert gain == pytest.approx(np.log1p(0.7 * 5))


def test_closing_the_loop_comes_first_and_its_double_then_gains_little() -> None:
    held = chain(20)
    candidates = {Pair("00", "19"): 1.0, Pair("01", "19"): 1.0, Pair("03", "05"): 1.0}

    chosen = d_optimal_links(held, candidates, limit=3, min_gain=0.0)

    assert [pair for pair, _ in chosen] == [Pair("00", "19"), Pair("03", "05"), Pair("01", "19")]
    assert chosen[0][1] == pytest.approx(np.log(20))
    assert chosen[2][1] < 0.4 * chosen[0][1]


def test_pairs_between_parts_are_left_out() -> None:
    held = {Pair("a", "b"): 1.0, Pair("c", "d"): 1.0}

    assert d_optimal_links(held, {Pair("a", "c"): 1.0, Pair("a", "x"): 1.0}, limit=5, min_gain=0.0) == []


@given(st.integers(3, 12), st.integers(0, 1000), st.integers(1, 6))
def test_gains_fall_and_sum_to_the_gain_of_all(count: int, seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    held = {pair: float(rng.uniform(0.2, 2)) for pair in chain(count)}
    every = [Pair(f"{i:02}", f"{j:02}") for i in range(count) for j in range(i + 1, count)]
    candidates = {pair: float(rng.uniform(0.1, 1)) for pair in every if pair not in held}

    chosen = d_optimal_links(held, candidates, limit=limit, min_gain=0.0)

    gains = [gain for _, gain in chosen]
    assert gains == sorted(gains, reverse=True)
    assert len(chosen) == min(limit, len(candidates))
    assert all(gain >= 0 for gain in gains)
