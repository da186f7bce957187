"""The recall bench: what its figures mean, which photos ask, and that it measures what the product does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rerankings import RERANKINGS
from retrieval_recall import measure, ranked, recall
from retrieval_truth import Sample, Truth, asked_photos
from vocabulary_tree import _completed

from retrieval.codebook import train_codebook
from retrieval.index import RetrievalIndex
from retrieval.query_expansion import neighbours_expanded


def truth_of(pairs: set[tuple[int, int]], count: int, asked: list[int]) -> Truth:
    partners = np.zeros((count, count), bool)
    for a, b in pairs:
        partners[a, b] = partners[b, a] = True
    names = tuple(f"{i}.jpg" for i in range(count))
    return Truth("made up", Path("none.db"), names, (), (), np.array(asked), partners, 0.0)


def test_recall_counts_what_could_be_found_among_the_first_k() -> None:
    truth = truth_of({(0, 1), (0, 2), (0, 3), (1, 2)}, 5, [0, 1, 2, 3, 4])
    ranking = np.array([[1, 4, 2, 3], [3, 4, 2, 0], [0, 1, 3, 4], [4, 2, 1, 0], [0, 1, 2, 3]])

    # photo 4 has no partner; at k = 2 the others find 1 of 2, 0 of 2, 2 of 2, 0 of 1
    assert recall(ranking, truth, 2) == pytest.approx((1 / 2 + 0 + 1 + 0) / 4)
    assert recall(ranking, truth, 3) == pytest.approx((2 / 3 + 1 / 2 + 1 + 0) / 4)
    assert recall(ranking, truth, 100) == 1.0


def test_only_photos_that_ask_count() -> None:
    truth = truth_of({(0, 1), (0, 2)}, 3, [1])
    ranking = np.array([[2, 1], [0, 2], [1, 0]])

    assert recall(ranking, truth, 1) == 1.0
    row = measure("made up", lambda _: ranking, [truth], [1, 2])
    assert row.recall == {"made up": {1: 100.0, 2: 100.0}}
    assert row.mean(1) == 100.0


def test_all_photos_ask_in_small_collections_and_a_growing_sample_in_large_ones() -> None:
    assert asked_photos(100, Sample(5, 100)).tolist() == list(range(100))
    few, more = asked_photos(300, Sample(10, 100)), asked_photos(300, Sample(20, 100))
    assert len(few) == 10
    assert len(more) == 20
    assert set(few.tolist()) < set(more.tolist()) < set(range(300))


def test_rankings_hold_all_others_once() -> None:
    scores = np.random.default_rng(0).random((7, 7))

    order = ranked(scores)

    assert order.shape == (7, 6)
    for row in range(7):
        assert sorted(order[row].tolist()) == [i for i in range(7) if i != row]
        assert (np.diff(scores[row, order[row]]) <= 0).all()
    assert _completed([3, 1, 3, 5], 3, 6).tolist() == [1, 5, 0, 2, 4]


@pytest.mark.parametrize("name", RERANKINGS)
def test_every_reranking_keeps_what_is_near_first(name: str) -> None:
    apart = np.abs(np.subtract.outer(np.arange(30), np.arange(30)))
    scores = np.maximum(0.0, 0.5 - 0.08 * apart)

    found = ranked(RERANKINGS[name](scores))

    assert np.take_along_axis(apart, found[:, :2], axis=1).max() <= 3


def test_the_measured_query_expansion_is_the_products() -> None:
    rng = np.random.default_rng(2)
    landmarks = rng.standard_normal((340, 16))
    images = {
        f"{i:02d}": (landmarks[10 * i : 10 * i + 40] + 0.3 * rng.standard_normal((40, 16))).astype(np.float32)
        for i in range(30)
    }
    index = RetrievalIndex.build(train_codebook(images.values(), 64), images)
    scores = np.stack([index.scores(name) for name in index.names])

    measured = ranked(RERANKINGS["query expansion"](scores))

    product = neighbours_expanded(index, 20)
    found = product.ids >= 0
    assert found[:, :5].all()
    np.testing.assert_array_equal(product.ids[found], measured[:, :20][found])
