"""The recall bench: what its figures mean, which photos ask, and that rankings are whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from studies.retrieval_recall import completed, measure, ranked, recall
from studies.retrieval_truth import Sample, Truth, asked_photos

from retrieval.hits import Neighbours


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
    ids = np.array([[2, -1, -1], [0, 3, -1], [3, 1, 0], [-1, -1, -1]], np.int32)

    order = ranked(Neighbours(("a", "b", "c", "d"), ids, np.zeros((4, 3))))

    assert order.tolist() == [[2, 1, 3], [0, 3, 2], [3, 1, 0], [0, 1, 2]]
    assert completed([3, 1, 3, 5], 3, 6).tolist() == [1, 5, 0, 2, 4]
