"""Clusters of a view graph: all photos, connected, about equal, with photos in common at the seams."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Pair
from sfm.mapping.clusters.normalized_cut import cut_in_two
from sfm.mapping.clusters.partition import Cluster, partition
from sfm.mapping.scene.view_graph import TwoView, ViewGraph


def view_graph(graph: nx.Graph[int]) -> ViewGraph:
    edges = {
        Pair.of(name(a), name(b)): TwoView(int(weight), "calibrated", 0.5)
        for a, b, weight in graph.edges(data="weight")
    }
    return ViewGraph(tuple(sorted(name(node) for node in graph)), edges)


def name(node: int) -> str:
    return f"{node:04d}.jpg"


def clusters_of(graph: ViewGraph, size: int, frames: int = 1) -> list[Cluster]:
    """Clusters where so many photos in the order of their names are of one frame."""
    frame_of = {name: index // frames for index, name in enumerate(graph.names)}
    return partition(graph, set(graph.names), frame_of, cluster_size=size)


@st.composite
def connected_graphs(draw: st.DrawFn) -> ViewGraph:
    count = draw(st.integers(2, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    graph: nx.Graph[int] = nx.Graph()
    for node in range(1, count):
        graph.add_edge(node, int(rng.integers(max(0, node - 6), node)), weight=rng.integers(15, 400))
    for a, b in rng.integers(0, count, (draw(st.integers(0, 3 * count)), 2)).tolist():
        if a != b and abs(a - b) < 10:
            graph.add_edge(a, b, weight=rng.integers(15, 400))
    return view_graph(graph)


@given(graph=connected_graphs(), size=st.integers(2, 30))
def test_every_photo_is_in_one_core_and_every_cluster_hangs_together(graph: ViewGraph, size: int) -> None:
    clusters = clusters_of(graph, size)

    assert sorted(photo for cluster in clusters for photo in cluster.core) == list(graph.names)
    for cluster in clusters:
        assert cluster.core <= cluster.names
        assert len(graph.restricted(cluster.core).components()) == 1
        assert len(graph.restricted(cluster.names).components()) == 1


@given(graph=connected_graphs(), size=st.integers(2, 30))
def test_cores_that_a_pair_joins_have_photos_in_common(graph: ViewGraph, size: int) -> None:
    clusters = clusters_of(graph, size)

    core_of = {photo: cluster for cluster in clusters for photo in cluster.core}
    for pair in graph.edges:
        a, b = core_of[pair.a], core_of[pair.b]
        assert a is b or a.names & b.names


@given(graph=connected_graphs(), size=st.integers(2, 30))
def test_the_same_graph_gives_the_same_clusters(graph: ViewGraph, size: int) -> None:
    shuffled = ViewGraph(graph.names, dict(reversed(graph.edges.items())))

    assert clusters_of(graph, size) == clusters_of(shuffled, size)


@given(graph=connected_graphs(), size=st.integers(4, 30))
def test_photos_of_a_frame_stay_together(graph: ViewGraph, size: int) -> None:
    for cluster in clusters_of(graph, size, frames=2):
        numbers = {int(photo[:4]) // 2 for photo in cluster.names}
        together = {photo for photo in graph.names if int(photo[:4]) // 2 in numbers}
        assert cluster.names == together


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_clusters_of_a_town_are_about_equal(count: int) -> None:
    grid = nx.grid_2d_graph(20, 20)
    nx.set_edge_attributes(grid, 100, "weight")
    graph = view_graph(nx.convert_node_labels_to_integers(grid, ordering="sorted"))

    clusters = clusters_of(graph, 400 // count)

    sizes = [len(cluster.core) for cluster in clusters]
    assert len(clusters) == count
    assert max(sizes) <= 1.3 * 400 / count
    assert min(sizes) >= 0.7 * 400 / count
    assert max(len(cluster.names) for cluster in clusters) <= 1.3 * 400 / count + 24 * 3


def test_the_arms_of_a_star_become_clusters_of_their_own() -> None:
    """No cut in two leaves both sides in one piece and about equal."""
    star: nx.Graph[int] = nx.Graph()
    for arm in range(3):
        nx.add_path(star, [0, *range(1 + 30 * arm, 31 + 30 * arm)], weight=100)

    sizes = sorted(len(cluster.core) for cluster in clusters_of(view_graph(star), 45))

    assert len(sizes) == 3
    assert sizes[0] >= 15
    assert sizes[-1] <= 45


def cut(graph: nx.Graph[int], **options: int) -> set[frozenset[int]]:
    labels = cut_in_two(sp.csr_array(nx.to_scipy_sparse_array(graph, dtype=float)), **options)
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


def test_the_cut_is_where_little_holds_the_graph_together() -> None:
    parts = nx.disjoint_union(nx.complete_graph(23), nx.complete_graph(21))
    parts.add_edge(3, 30)

    assert cut(parts) == {frozenset(range(23)), frozenset(range(23, 44))}


def test_large_and_small_graphs_are_cut_alike() -> None:
    """Where all eigenvectors are computed, and where only two are."""
    for length in (20, 200):
        ladder = nx.ladder_graph(length)
        first, second = cut(ladder)
        assert nx.cut_size(ladder, first, second) == 2
        assert len(first) == pytest.approx(length, rel=0.2)


def test_a_graph_without_large_pieces_stays_whole() -> None:
    assert cut(nx.path_graph(10), least=7) == {frozenset(range(10))}
