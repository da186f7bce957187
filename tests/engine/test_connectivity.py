"""Figures of the graph of a workspace, against a plain count."""

from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Edge, Pair, Reason
from sfm.colmap.database import PairRecord
from sfm.pairs.connectivity import connectivity
from sfm.pairs.pair_states import PairState, pair_states

NAMES = tuple("abcdefghi")
FITS, REFUSED = PairRecord(90, 40, "CALIBRATED"), PairRecord(12, 0, "DEGENERATE")

states = st.builds(
    PairState,
    st.none() | st.builds(Edge, st.floats(0, 1), st.sampled_from(list(Reason)), st.integers(0, 3)),
    st.sampled_from([None, FITS, FITS, REFUSED]),
)
graphs = st.dictionaries(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))
    .filter(lambda ends: ends[0] != ends[1])
    .map(lambda ends: Pair.of(*ends)),
    states,
    max_size=16,
)


def view_graph(pairs: dict[Pair, PairState]) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(NAMES)
    graph.add_edges_from(pair for pair, state in pairs.items() if state.verified)
    return graph


@given(graphs)
def test_bridges_are_the_links_without_which_a_part_falls_off(pairs: dict[Pair, PairState]) -> None:
    graph = view_graph(pairs)
    expected = {}
    for pair in list(graph.edges):
        without = graph.copy()
        without.remove_edge(*pair)
        if nx.number_connected_components(without) > nx.number_connected_components(graph):
            sides = [nx.node_connected_component(without, name) for name in pair]
            expected[Pair.of(*pair)] = min(map(len, sides))

    found = connectivity(NAMES, pairs).bridges

    assert {bridge.pair: bridge.cut_off for bridge in found} == expected
    assert [bridge.cut_off for bridge in found] == sorted(expected.values(), reverse=True)


@given(graphs)
def test_every_pair_is_counted_once_by_reason_and_photos_without_links_are_named(
    pairs: dict[Pair, PairState],
) -> None:
    found = connectivity(NAMES, pairs)

    for count in ("proposed", "matched", "verified"):
        total = getattr(found.total, count)
        assert sum(getattr(tally, count) for tally in found.reasons.values()) == total
    assert found.total.proposed == len(pairs)
    assert sum(found.view_graph.components) == sum(found.scene_graph.components) == len(NAMES)
    assert set(found.unlinked) == set(nx.isolates(view_graph(pairs)))
    assert found.view_graph.pairs == found.total.verified
    assert sum(tally.proposed for tally in found.rounds.values()) == sum(
        state.edge is not None for state in pairs.values()
    )


def test_no_photos_are_no_graph() -> None:
    found = connectivity((), {})

    assert found.view_graph.components == ()
    assert found.to_dict()["possible_pairs"] == 0


def test_states_of_pairs_say_how_far_they_came() -> None:
    edge = Edge(0.3, Reason.KNN)
    edges = {Pair("a", "b"): edge, Pair("a", "c"): edge, Pair("a", "d"): edge, Pair("a", "gone"): edge}
    records = {Pair("a", "b"): FITS, Pair("a", "c"): REFUSED, Pair("b", "c"): FITS}

    found = pair_states(edges, records, ("a", "b", "c", "d"))

    assert {pair: state.words for pair, state in found.items()} == {
        Pair("a", "b"): "verified, 40 inliers",
        Pair("a", "c"): "matched, refused",
        Pair("a", "d"): "proposed (knn)",
        Pair("b", "c"): "verified, 40 inliers",
    }
    layers = {"ab": "knn", "ac": "refused", "ad": "proposed", "bc": "unknown"}
    assert {"".join(pair): state.layer for pair, state in found.items()} == layers
