"""ASMK scoring against its definition, written out in loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernels import asmk
from kernels.asmk import Codes, Postings, Queries, asmk_scores, asmk_top_k, largest

NUM_WORDS = 7


def random_images(rng: np.random.Generator, count: int, width: int, binary: bool) -> Queries:
    """Images that hit a random set of words (maybe none) with random codes."""
    words = [np.flatnonzero(rng.random(NUM_WORDS) < rng.random()) for _ in range(count)]
    total = sum(map(len, words))
    if binary:
        codes: Codes = rng.integers(0, 2**64, size=(total, width), dtype=np.uint64)
    else:
        floats = rng.standard_normal((total, width)).astype(np.float32)
        codes = floats / np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), np.float32(1e-6))
    offsets = np.cumsum([0, *map(len, words)])
    return Queries(offsets, np.concatenate([np.empty(0, int), *words]).astype(np.int32), codes)


def inverted(images: Queries) -> Postings:
    """The inverted file of these images."""
    counts = np.diff(images.offsets)
    owners = np.repeat(np.arange(len(images), dtype=np.int32), counts)
    order = np.argsort(images.words, kind="stable")
    offsets = np.searchsorted(images.words[order], np.arange(NUM_WORDS + 1))
    norms = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0.0)
    return Postings(offsets, owners[order], images.codes[order], norms, 64 * images.codes.shape[1])


def row(images: Queries, position: int) -> tuple[NDArray[np.int32], Codes]:
    """Words and codes of one image."""
    part = slice(images.offsets[position], images.offsets[position + 1])
    return images.words[part], images.codes[part]


def by_definition(query: Queries, base: Queries, alpha: float) -> NDArray[np.float64]:
    """(Q, N) scores in plain loops over words and bits."""
    scores = np.zeros((len(query), len(base)))
    for q in range(len(query)):
        for d in range(len(base)):
            q_words, q_codes = row(query, q)
            d_words, d_codes = row(base, d)
            for word in set(q_words.tolist()) & set(d_words.tolist()):
                a, b = q_codes[q_words == word][0], d_codes[d_words == word][0]
                if a.dtype == np.uint64:
                    bits = 64 * len(a)
                    hamming = sum((int(x) ^ int(y)).bit_count() for x, y in zip(a, b, strict=True))
                    similarity = 1 - 2 * hamming / bits
                else:
                    similarity = float(np.dot(a.astype(np.float64), b.astype(np.float64)))
                if similarity >= 0:
                    scores[q, d] += similarity**alpha / np.sqrt(len(q_words) * len(d_words))
    return scores


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 6),
    width=st.integers(1, 3),
    binary=st.booleans(),
    alpha=st.sampled_from([1.0, 3.0]),
)
@settings(max_examples=40, deadline=None)
def test_scores_follow_the_definition(seed: int, count: int, width: int, binary: bool, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    base, query = random_images(rng, count, width, binary), random_images(rng, 3, width, binary)

    scores = np.stack([asmk_scores(inverted(base), *row(query, q), alpha=alpha) for q in range(3)])

    assert (scores >= 0).all()
    np.testing.assert_allclose(scores, by_definition(query, base, alpha), atol=1e-6)


def test_small_passes_give_the_scores_of_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = random_images(rng, 20, 2, True)
    whole = [asmk_scores(inverted(images), *row(images, i)) for i in range(20)]

    monkeypatch.setattr(asmk, "_MAX_COMPARISONS", 5)

    parts = [asmk_scores(inverted(images), *row(images, i)) for i in range(20)]
    np.testing.assert_allclose(parts, whole, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("binary", [True, False])
def test_top_k_is_the_head_of_the_sorted_scores(threads: int, binary: bool) -> None:
    images = random_images(np.random.default_rng(1), 30, 2, binary)
    postings = inverted(images)

    ids, scores = asmk_top_k(postings, [images], 4, exclude=np.arange(30), threads=threads)

    for i in range(30):
        expected = asmk_scores(postings, *row(images, i))
        expected[i] = 0
        best = [j for j in np.argsort(-expected, kind="stable")[:4] if expected[j] > 0]
        assert ids[i].tolist() == best + [-1] * (4 - len(best))
        np.testing.assert_array_equal(scores[i, : len(best)], expected[best])


def test_more_hits_wanted_than_there_are_images() -> None:
    images = random_images(np.random.default_rng(2), 3, 1, True)

    ids, scores = asmk_top_k(inverted(images), [images], 10)

    assert ids.shape == scores.shape == (3, 10)
    assert (ids[:, 3:] == -1).all()


def test_equal_scores_come_in_order_of_the_images() -> None:
    assert largest(np.array([0.0, 0.5, 0.2, 0.5, 0.5, 0.2]), 4).tolist() == [1, 3, 4, 2]
    assert largest(np.array([0.3, 0.3, 0.3]), 2).tolist() == [0, 1]
    assert largest(np.zeros(3), 2).tolist() == []


def test_codes_of_another_kind_are_refused() -> None:
    rng = np.random.default_rng(3)
    binary, floats = random_images(rng, 4, 1, True), random_images(rng, 4, 1, False)

    with pytest.raises(ValueError, match="do not fit"):
        asmk_scores(inverted(binary), *row(floats, 0))
    with pytest.raises(ValueError, match="at least 1"):
        asmk_top_k(inverted(binary), [binary], 0)
