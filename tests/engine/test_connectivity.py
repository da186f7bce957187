"""Bridges and states of pairs, and what is told of those that failed."""

from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Edge, Pair, Reason
from sfm.colmap.database import PairRecord
from sfm.pairs.connectivity import connectivity
from sfm.pairs.failed_pairs import FailedPairs, Failures
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


AB, BC, CD = Pair("a", "b"), Pair("b", "c"), Pair("c", "d")
NONE: frozenset[Pair] = frozenset()


def test_the_commonest_reason_is_told_with_what_to_do() -> None:
    failures = Failures.of(["out of memory", "b can no longer be read", "out of memory"])
    assert (failures.count, failures.why, failures.others) == (3, "out of memory", 1)
    assert failures.words == (
        "3 pairs could not be matched (2 of them: out of memory). "
        "The same command again tries them once more."
    )
    assert Failures.of(["x"]).words.startswith("1 pair could not be matched: x. ")
    assert Failures.of([]).words == ""


def test_rounds_are_numbered_anew_once_a_failed_pair_came_right(tmp_path: Path) -> None:
    FailedPairs.read(tmp_path).note({AB, BC}, {AB})
    assert FailedPairs.read(tmp_path).attempt == 0

    FailedPairs.read(tmp_path).note({AB, BC}, {AB})
    assert FailedPairs.read(tmp_path).attempt == 0  # failed again: nothing has changed

    FailedPairs.read(tmp_path).note({AB, BC}, NONE)
    FailedPairs.read(tmp_path).note({AB, BC}, NONE)
    assert FailedPairs.read(tmp_path).attempt == 1
    assert FailedPairs.read(tmp_path).pairs == NONE


def test_rounds_that_asked_for_pairs_in_vain_are_numbered_anew(tmp_path: Path) -> None:
    FailedPairs.read(tmp_path).note({AB}, NONE)
    FailedPairs.read(tmp_path).note({CD}, {CD})

    FailedPairs.read(tmp_path).forget_all_but({AB})

    assert FailedPairs.read(tmp_path).attempt == 1
    FailedPairs.read(tmp_path).forget_all_but({AB})
    assert FailedPairs.read(tmp_path).attempt == 1


def test_where_nothing_fails_nothing_is_written(tmp_path: Path) -> None:
    failed = FailedPairs.read(tmp_path)
    failed.note({AB}, NONE)
    failed.forget_all_but({AB})
    assert failed.attempt == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", '{"attempt": 1}', '{"attempt": "x", "pairs": []}'])
def test_a_damaged_record_numbers_the_rounds_anew(tmp_path: Path, text: str) -> None:
    FailedPairs.read(tmp_path).note({AB}, {AB})
    (tmp_path / "failed_pairs.json").write_text(text)
    assert FailedPairs.read(tmp_path).attempt > 1
