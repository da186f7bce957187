"""Query expansion: properties that hold for any scores, and that it finds what similarity alone misses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from retrieval import RetrievalConfig, RetrievalError
from retrieval.codebook import Codebook, train_codebook
from retrieval.hits import Neighbours
from retrieval.index import RetrievalIndex
from retrieval.query_expansion import ExpandedRanking, expanded, neighbours_expanded
from retrieval.retrieval_graph import retrieval_edges

GRAPHS = {"seed": st.integers(0, 10_000), "count": st.integers(0, 30), "depth": st.integers(1, 12)}


def neighbours_of(scores: NDArray[np.float64], depth: int) -> Neighbours:
    """The best others of each image; scores of 0 are no hits."""
    others = np.where(np.eye(len(scores), dtype=bool), 0.0, scores)
    ids = np.argsort(-others, axis=1, kind="stable")[:, :depth]
    best = np.take_along_axis(others, ids, axis=1)
    names = tuple(f"{i:03d}" for i in range(len(others)))
    return Neighbours(names, np.where(best > 0, ids, -1).astype(np.int32), best)


def made_up(seed: int, count: int, *, alone: float = 0.2) -> NDArray[np.float64]:
    """(count, count) scores in [0, 1], about half of them 0, and some images without any."""
    rng = np.random.default_rng(seed)
    scores = np.maximum(0.0, rng.random((count, count)) - 0.5)
    return np.where(rng.random(count)[:, None] < alone, 0.0, scores)


@given(**GRAPHS)
def test_lists_are_sorted_without_repeats_and_never_hold_the_image_itself(seed, count, depth) -> None:
    found = expanded(neighbours_of(made_up(seed, count), depth), 8)

    assert found.ids.shape == found.scores.shape == (count, 8)
    for row in range(count):
        hits = [i for i in found.ids[row].tolist() if i >= 0]
        assert row not in hits
        assert len(hits) == len(set(hits))
        assert (found.ids[row, len(hits) :] == -1).all()  # what is missing is missing at the end
        assert (found.scores[row, : len(hits)] > 0).all()
        assert (found.scores[row, len(hits) :] == 0).all()
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert (found.scores <= 1).all()


@given(**GRAPHS)
def test_the_order_of_the_images_does_not_matter(seed, count, depth) -> None:
    scores = made_up(seed, count)
    order = np.random.default_rng(seed).permutation(count)

    first = expanded(neighbours_of(scores, depth), count + 1)
    second = expanded(neighbours_of(scores[np.ix_(order, order)], depth), count + 1)

    for row, image in enumerate(order.tolist()):
        ours = {int(i): s for i, s in zip(first.ids[image], first.scores[image], strict=True) if i >= 0}
        theirs = {
            int(order[i]): s for i, s in zip(second.ids[row], second.scores[row], strict=True) if i >= 0
        }
        assert theirs == pytest.approx(ours, abs=1e-12)


@given(**GRAPHS)
def test_scores_are_those_of_the_definition(seed, count, depth) -> None:
    near = neighbours_of(made_up(seed, count), depth)
    scores, graph = np.zeros((count, count)), np.zeros((count, count))
    for row, rank in np.argwhere(near.ids >= 0):
        scores[row, near.ids[row, rank]] = near.scores[row, rank]
        if rank < 5:
            graph[row, near.ids[row, rank]] = near.scores[row, rank]
    step = graph / np.maximum(graph.sum(axis=1, keepdims=True), 1e-300)
    expected = (scores + 0.5 * step @ scores + 0.25 * step @ step @ scores) / 1.75
    np.fill_diagonal(expected, 0.0)

    found = expanded(near, max(count, 1))

    dense = np.zeros((count, count))
    for row, rank in np.argwhere(found.ids >= 0):
        dense[row, found.ids[row, rank]] = found.scores[row, rank]
    np.testing.assert_allclose(dense, expected, atol=1e-12)


def test_many_images_are_expanded_in_blocks_like_few(monkeypatch) -> None:
    near = neighbours_of(made_up(1, 50), 10)
    whole = expanded(near, 20)

    monkeypatch.setattr("retrieval.query_expansion._BLOCK", 7)
    parts = expanded(near, 20)

    np.testing.assert_array_equal(whole.ids, parts.ids)
    np.testing.assert_array_equal(whole.scores, parts.scores)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_partners_are_found_that_similarity_misses(seed: int) -> None:
    """A row of photos in which each sees six neighbours on either side, and a fifth of the scores got lost.

    Two photos full of texture score with everyone, above a true partner six photos away.
    """
    rng = np.random.default_rng(seed)
    count, hubs = 60, 2
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    partners = (apart > 0) & (apart <= 6)
    scores = np.where(partners, 0.35 - 0.04 * apart, 0.0) + 0.05 * rng.random((count, count))
    scores[rng.random((count, count)) < 0.2] = 0.02
    scores[:, -hubs:] = 0.12
    scores = np.triu(scores, 1) + np.triu(scores, 1).T
    partners[-hubs:] = partners[:, -hubs:] = False
    before = neighbours_of(scores, 50)
    after = expanded(before, 50)

    def recall(found: Neighbours, k: int) -> float:
        right = np.take_along_axis(partners, found.ids[:, :k].astype(np.int64), axis=1).sum(axis=1)
        return float((right / np.minimum(partners.sum(axis=1), k).clip(1))[:-hubs].mean())

    assert recall(after, 5) > recall(before, 5) - 0.01
    assert recall(after, 10) > recall(before, 10)
    assert recall(after, 20) > recall(before, 20) + 0.15
    assert recall(after, 20) > 0.98


def test_an_image_without_neighbours_stays_without() -> None:
    scores = made_up(3, 12, alone=0.0) + 0.1
    scores[4] = scores[:, 4] = 0.0

    found = expanded(neighbours_of(scores, 6), 6)

    assert (found.ids[4] == -1).all()
    assert not (found.ids == 4).any()


def test_a_ranking_gives_every_photo_that_is_asked_for(walk) -> None:
    images = walk(80, step=20)
    index = RetrievalIndex.build(train_codebook(images.values(), 60), images)
    ranking = ExpandedRanking(index)

    for name in list(images)[::20]:
        few, all_hits = ranking.query(name, 5), ranking.query(name, 1000)
        assert all_hits[:5] == few
        scores = [hit.score for hit in all_hits]
        assert scores == sorted(scores, reverse=True)
        names = [hit.name for hit in all_hits]
        assert name not in names
        assert len(names) == len(set(names))
        assert {hit.name for hit in index.query(name, 1000)} <= set(names)
        assert ranking.query(name, 0) == []
    assert all_hits == ExpandedRanking(index).query(name, 1000)


def test_one_photo_is_ranked_as_among_all(walk) -> None:
    images = walk(80, step=20)
    index = RetrievalIndex.build(train_codebook(images.values(), 60), images)
    every, ranking = neighbours_expanded(index, 20), ExpandedRanking(index)

    for row, name in enumerate(index.names):
        one, all_hits = ranking.query(name, 20), every.hits(row)
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in all_hits], abs=1e-12)
        assert [hit.name for hit in one[:10]] == [hit.name for hit in all_hits[:10]]


def test_a_ranking_refuses_unknown_photos_and_stands_empty_ones(walk) -> None:
    images = {**walk(4), "blank.jpg": np.empty((0, 40), np.float32)}
    ranking = ExpandedRanking(RetrievalIndex.build(train_codebook(images.values(), 20), images))

    assert ranking.query("blank.jpg", 3) == []
    with pytest.raises(RetrievalError, match=r"other\.jpg"):
        ranking.query("other.jpg", 3)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_nothing_to_rank(walk, count: int) -> None:
    images = walk(count)
    index = RetrievalIndex.build(Codebook(np.eye(40, dtype=np.float32)), images)

    found = neighbours_expanded(index, 3)

    assert found.names == index.names
    assert found.ids.shape == (count, 3)
    assert (found.ids >= 0).sum() == (2 if count == 2 else 0)


def test_the_first_graph_can_do_without(walk) -> None:
    images = walk(40, step=20)
    index = RetrievalIndex.build(train_codebook(images.values(), 60), images)
    plain = RetrievalConfig(pairs_per_photo=3, query_expansion=False)
    expansion = RetrievalConfig(pairs_per_photo=3)

    assert retrieval_edges(index, plain).keys() != retrieval_edges(index, expansion).keys()
    assert len(retrieval_edges(index, plain)) == len(retrieval_edges(index, expansion))
