"""Building the first scene graph, and joining graphs."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Edge, Pair, Reason, RetrievalConfig, RetrievalError, SceneGraph
from retrieval.builders import build_scene_graph
from retrieval.codebook import Codebook, train_codebook
from retrieval.hits import Neighbours
from retrieval.index import RetrievalIndex
from retrieval.retrieval_graph import ranked_links, retrieval_edges

CONFIG = RetrievalConfig(exhaustive_max_photos=0)

pair_sets = st.dictionaries(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef"))
    .filter(lambda ends: ends[0] != ends[1])
    .map(lambda ends: Pair.of(*ends)),
    st.builds(Edge, st.floats(0, 1), st.sampled_from(list(Reason)), st.integers(0, 4)),
)


def indexed(images, size: int = 60) -> RetrievalIndex:
    return RetrievalIndex.build(train_codebook(images.values(), size), images)


@given(first=pair_sets, second=pair_sets)
def test_merging_is_a_union_in_which_the_first_reason_stays(first, second) -> None:
    graph = SceneGraph(tuple("abcdef"), first)

    merged = graph.merged(second)

    assert set(merged.edges) == set(first) | set(second)
    assert all(merged.edges[pair] == edge for pair, edge in first.items())
    assert all(merged.edges[pair] == edge for pair, edge in second.items() if pair not in first)
    assert graph.edges == first
    assert merged.merged(second).edges == merged.edges


@given(st.sampled_from("abc"), st.sampled_from("abc"))
def test_a_pair_is_the_same_both_ways(first: str, second: str) -> None:
    if first == second:
        with pytest.raises(ValueError, match="itself"):
            Pair.of(first, second)
    else:
        assert Pair.of(first, second) == Pair.of(second, first)


@given(
    seed=st.integers(0, 1000),
    count=st.integers(0, 25),
    pairs_per_photo=st.sampled_from([0.5, 1.0, 2.0, 6.0]),
    num_anchors=st.sampled_from([0, 3, 10]),
)
def test_budget_and_connection(seed: int, count: int, pairs_per_photo: float, num_anchors: int) -> None:
    rng = np.random.default_rng(seed)
    images = {f"{i:02d}": rng.random((int(rng.integers(0, 6)), 8)).astype(np.float32) for i in range(count)}
    index = RetrievalIndex.build(Codebook(rng.random((12, 8)).astype(np.float32)), images)
    config = replace(CONFIG, pairs_per_photo=pairs_per_photo, num_anchors=num_anchors)

    graph = SceneGraph(index.names, retrieval_edges(index, config))

    assert len(graph) <= np.ceil(pairs_per_photo * count)
    for pair, edge in graph.edges.items():
        assert edge.score == pytest.approx(index.similarities([pair])[0], abs=1e-9)
        assert edge.score > 0
    if pairs_per_photo >= 1:
        assert {frozenset(part) for part in graph.components()} == connectable(index)
    assert graph.edges == retrieval_edges(index, config)


def connectable(index: RetrievalIndex) -> set[frozenset[str]]:
    """Pieces that remain when all pairs with a score above 0 are joined."""
    names = index.names
    scores = np.array([index.scores(name) for name in names]).reshape(len(names), len(names))
    edges = {Pair.of(names[i], names[j]): Edge(1.0, Reason.KNN) for i, j in np.argwhere(scores > 0) if i != j}
    return {frozenset(part) for part in SceneGraph(names, edges).components()}


def test_cliques_of_look_alikes_are_joined_by_their_best_link() -> None:
    rng = np.random.default_rng(0)
    words = np.eye(30, dtype=np.float32)
    # two groups of near-duplicates with words of their own; only 03 and 12 share one
    landmarks = words + 0.1 * rng.standard_normal(words.shape)
    images = {}
    for group in range(2):
        for i in range(8):
            rows = landmarks[group * 15 : group * 15 + 14]
            images[f"{group}{i}"] = (rows + 0.01 * rng.standard_normal(rows.shape)).astype(np.float32)
    shared = landmarks[29:].astype(np.float32)
    images["03"], images["12"] = np.vstack([images["03"], shared]), np.vstack([images["12"], shared])
    index = RetrievalIndex.build(Codebook(words), images)

    edges = retrieval_edges(index, replace(CONFIG, pairs_per_photo=3.0, num_anchors=0))

    joining = {pair: edge for pair, edge in edges.items() if pair.a[0] != pair.b[0]}
    assert list(joining) == [("03", "12")]
    assert joining[Pair("03", "12")].reason is Reason.CONNECT


def test_mutual_neighbours_come_first_and_by_rank() -> None:
    ids = np.array([[1, 2], [0, 2], [3, 0], [2, -1]], np.int32)
    scores = np.array([[0.2, 0.1], [0.2, 0.9], [0.8, 0.1], [0.8, 0.0]])

    mutual, one_sided = ranked_links(Neighbours(("a", "b", "c", "d"), ids, scores))

    assert mutual == [(2, 3), (0, 1), (0, 2)]
    assert one_sided == [(1, 2)]


def test_anchors_link_far_ends(walk) -> None:
    # every photo shares a few landmarks with all others, so that far pairs have a score
    images = walk(40)
    common = np.random.default_rng(9).standard_normal((3, 40)).astype(np.float32)
    images = {name: np.vstack([array, common]) for name, array in images.items()}

    edges = retrieval_edges(indexed(images), replace(CONFIG, pairs_per_photo=8.0, num_anchors=5))

    far = [pair for pair, edge in edges.items() if edge.reason is Reason.ANCHOR]
    assert far
    assert max(abs(int(a[:3]) - int(b[:3])) for a, b in far) > 10


def test_budget_goes_to_photos_that_see_the_same(walk) -> None:
    graph = build_scene_graph(list(walk(40)), replace(CONFIG, num_anchors=0), index=indexed(walk(40)))

    gaps = Counter(abs(int(a[:3]) - int(b[:3])) for a, b in graph)
    assert gaps[1] == 39
    assert gaps[2] == 38
    assert len(graph) <= 240
    assert len(graph.components()) == 1


def test_small_collections_are_matched_exhaustively() -> None:
    names = [str(i) for i in range(20)]

    assert len(build_scene_graph(names, RetrievalConfig())) == 190
    assert len(build_scene_graph(names, RetrievalConfig(mode="exhaustive", exhaustive_max_photos=0))) == 190
    with pytest.raises(RetrievalError, match="needs an index"):
        build_scene_graph([*names, "x"], RetrievalConfig())


def test_priors_come_within_the_budget(walk) -> None:
    images = walk(20)
    times = {name: float(i * 10) for i, name in enumerate(images)}
    positions = {name: np.array([i * 5.0, 0, 0]) for i, name in enumerate(images)}
    config = replace(CONFIG, pairs_per_photo=3.0)

    graph = build_scene_graph(
        list(images), config, index=indexed(images), positions_m=positions, timestamps=times
    )

    reasons = Counter(edge.reason for edge in graph.edges.values())
    assert len(graph) == 60
    assert reasons[Reason.SEQUENCE] == 19
    assert all(edge.score > 0 for edge in graph.edges.values())


def test_sequences_close_loops_by_retrieval(walk) -> None:
    images = walk(30)
    names = [*images, "999.jpg"]
    images["999.jpg"] = images["000.jpg"]  # the camera comes back
    config = replace(CONFIG, mode="sequential", sequential_overlap=2)

    graph = build_scene_graph(names, config, index=indexed(images))
    plain = build_scene_graph(names, replace(config, loop_detection=False), index=indexed(images))

    assert graph.edges[Pair("000.jpg", "999.jpg")].reason is Reason.KNN
    assert {edge.reason for edge in plain.edges.values()} == {Reason.SEQUENCE}
    assert set(plain.edges) < set(graph.edges)


def test_spatial_mode_asks_retrieval_for_photos_without_position(walk) -> None:
    images = walk(10)
    positions = {name: np.array([float(i), 0, 0]) for i, name in enumerate(images) if i != 4}
    config = replace(CONFIG, mode="spatial", spatial_neighbours=1)

    graph = build_scene_graph(list(images), config, index=indexed(images), positions_m=positions)

    assert Pair("003.jpg", "004.jpg") in graph.edges
    with pytest.raises(RetrievalError, match="no photo has a GPS position"):
        build_scene_graph(list(images), config)


def test_listed_pairs_mode(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("a b\n", encoding="utf-8")
    config = replace(CONFIG, mode="pairs", pairs_file=str(tmp_path / "pairs.txt"))

    assert set(build_scene_graph(["a", "b", "c"], config).edges) == {("a", "b")}
    with pytest.raises(RetrievalError, match="pairs_file"):
        build_scene_graph(["a"], replace(config, pairs_file=None))


@pytest.mark.parametrize("text", ["", "# a b\n\n", "a a\n"])
def test_a_list_without_a_pair_is_named_unless_another_mode_has_pairs(tmp_path: Path, text: str) -> None:
    (tmp_path / "pairs.txt").write_text(text, encoding="utf-8")
    config = replace(CONFIG, mode="pairs", pairs_file=str(tmp_path / "pairs.txt"))

    with pytest.raises(RetrievalError, match=r"pairs\.txt: lists no pair"):
        build_scene_graph(["a", "b"], config)
    assert len(build_scene_graph(["a", "b"], replace(config, mode="pairs+exhaustive"))) == 1


@pytest.mark.parametrize("names", [[], ["one"]])
@pytest.mark.parametrize("mode", ["retrieval", "exhaustive", "sequential"])
def test_too_few_photos_give_no_pairs(names: list[str], mode: str) -> None:
    index = RetrievalIndex.build(
        Codebook(np.eye(2, dtype=np.float32)), {name: np.eye(2, dtype=np.float32) for name in names}
    )

    assert len(build_scene_graph(names, replace(CONFIG, mode=mode), index=index)) == 0
