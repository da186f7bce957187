"""The pair graphs of MASt3R-SfM equal the reference's, and are graphs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import RetrievalError
from retrieval.mast3r_sfm_graph import check_pair_graph, pair_graph, retrieval_graph
from retrieval.scene_graph import Pair, Reason, SceneGraph

BENCH = str(Path(__file__).resolve().parents[2] / "tools" / "bench")
DATA = Path(__file__).parent / "data_graph"


def graph_cases(folder: Path) -> list:
    sys.path[:0] = [] if BENCH in sys.path else [BENCH]
    from parity import graph

    return list(graph.cases(folder))


def test_graphs_equal_the_references() -> None:
    found = graph_cases(DATA)

    assert len(found) == 21 * 4 + 16 * 2
    assert [case for case in found if not case.passed] == []


@pytest.mark.shared
def test_graphs_equal_all_of_the_references(shared_data: Path) -> None:
    found = graph_cases(shared_data.parent / "parity")

    assert len(found) == 56 * 4 + 44 * 2
    assert [case for case in found if not case.passed] == []


@given(st.integers(1, 20), st.integers(0, 25), st.integers(0, 25), st.integers(0, 2**32 - 1))
def test_every_image_is_reached_and_keys_are_spread(count: int, keys: int, near: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(0, 0.6, (count, count))

    graph = retrieval_graph(similarity, keys, near, seed=seed)
    again = retrieval_graph(similarity, keys, near, seed=seed)

    assert graph == again
    names = [f"{i:02d}" for i in range(count)]
    scene = SceneGraph(tuple(names), graph.edges(names, similarity))
    assert len(graph.key_images) == keys
    if keys > 0:
        assert len(scene.components()) == 1
    np.fill_diagonal(similarity, 1.0)
    assert len(set(retrieval_graph(similarity, keys, near, seed=seed).key_images)) == min(keys, count)
    assert len(graph.symmetric()) == 2 * len(graph.pairs)


def test_the_first_key_image_leaves_numpys_random_numbers_alone() -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002

    retrieval_graph(np.eye(9), 2, 1, seed=5)

    assert np.random.random() == expected  # noqa: NPY002


def test_edges_are_pairs_of_names_with_reason_and_similarity() -> None:
    similarity = np.array([[0.5, 0.1, 0.4], [0.3, 0.5, 0.2], [0.0, 0.1, 0.5]])

    edges = pair_graph("retrieval-2-2", 3, similarity=similarity, seed=0).edges(["c", "a", "b"], similarity)

    assert edges[Pair("a", "c")].score == 0.3  # the better of both ways round
    assert {edge.reason for edge in edges.values()} <= {Reason.ANCHOR, Reason.KNN}
    assert all(pair.a < pair.b for pair in edges)


@given(
    st.sampled_from(
        ["complete", "swin-2", "swin", "swin-9-noncyclic", "logwin-4", "logwin-noncyclic", "oneref-0"]
    ),
    st.integers(0, 12),
)
def test_no_image_is_paired_with_itself_or_one_that_is_not_there(text: str, count: int) -> None:
    pairs = pair_graph(text, count).pairs

    assert all(0 <= a < count and 0 <= b < count and a != b for a, b in pairs)


@pytest.mark.parametrize(
    "text",
    [
        "", "nearest-3", "complete-2", "swin-x", "swin-2-3", "swin--1", "logwin-2-cyclic",
        "oneref-1-2", "retrieval-3", "retrieval-20-1-10-1", "retrieval--3-2",
        "retrieval-a-b", "swin-99999999999999999999",
    ],
)  # fmt: skip
def test_other_strings_are_refused_with_the_ones_there_are(text: str) -> None:
    with pytest.raises(RetrievalError, match="is none of complete, swin-K"):
        pair_graph(text, 5, similarity=np.eye(5))


@pytest.mark.parametrize("text", ["oneref-5", "oneref-7-seq2"])
def test_a_reference_that_is_not_there_is_refused_with_those_there_are(text: str) -> None:
    for refusing in (pair_graph, check_pair_graph):
        with pytest.raises(RetrievalError, match=r"no photo [57]; the 5 photos are numbered 0 to 4"):
            refusing(text, 5)
    check_pair_graph("oneref-4-seq2", 5)


@pytest.mark.parametrize("reach", ["", "seq", "abc2", "seq-1", "cyc2.5", "seq2-cyc2", "seq1234567890"])
def test_other_reaches_are_refused(reach: str) -> None:
    with pytest.raises(RetrievalError, match="each also with -seqD or -cycD"):
        pair_graph(f"complete-{reach}", 5)


@given(
    st.sampled_from(["complete", "swin-4", "swin", "logwin-3-noncyclic", "oneref-0", "retrieval-3-4"]),
    st.integers(1, 12),
    st.integers(0, 12),
)
def test_a_reach_keeps_exactly_the_pairs_within_it(text: str, count: int, reach: int) -> None:
    similarity = np.random.default_rng(count).uniform(0, 1, (count, count))
    whole = pair_graph(text, count, similarity=similarity)

    line = pair_graph(f"{text}-seq{reach}", count, similarity=similarity)
    circle = pair_graph(f"{text}-cyc{reach}", count, similarity=similarity)

    assert list(line.pairs) == [(a, b) for a, b in whole.pairs if abs(a - b) <= reach]
    steps = {(a, b): min((a - b) % count, (b - a) % count) for a, b in whole.pairs}
    assert list(circle.pairs) == [pair for pair in whole.pairs if steps[pair] <= reach]
    assert line.key_images == circle.key_images == whole.key_images


@pytest.mark.parametrize("similarity", [None, np.eye(4), np.full((5, 5), np.nan)])
def test_retrieval_without_fitting_similarities_is_refused(similarity) -> None:
    with pytest.raises(RetrievalError, match="similarities"):
        pair_graph("retrieval-2-2", 5, similarity=similarity)
