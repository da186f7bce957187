"""ASMK scoring against its definition, written out in loops."""

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernels import asmk, dispatch
from kernels.asmk import asmk_scores, asmk_top_k, largest, merged_best
from kernels.dispatch import Backend, use_backend
from kernels.values import Best, Codes, Postings, Queries

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


def by_definition(query: Queries, base: Queries, alpha: float, threshold: float) -> NDArray[np.float64]:
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
                if similarity >= threshold:
                    scores[q, d] += similarity**alpha / np.sqrt(len(q_words) * len(d_words))
    return scores


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 6),
    width=st.integers(1, 3),
    binary=st.booleans(),
    alpha=st.sampled_from([1.0, 3.0]),
    threshold=st.sampled_from([0.0, 0.125]),
)
def test_scores_follow_the_definition(
    seed: int, count: int, width: int, binary: bool, alpha: float, threshold: float
) -> None:
    rng = np.random.default_rng(seed)
    base, query = random_images(rng, count, width, binary), random_images(rng, 3, width, binary)

    powers = {"alpha": alpha, "threshold": threshold}
    scores = np.stack([asmk_scores(inverted(base), *row(query, q), **powers) for q in range(3)])

    assert (scores >= 0).all()
    np.testing.assert_allclose(scores, by_definition(query, base, alpha, threshold), atol=1e-6)


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


@pytest.fixture(params=["compiled", "torch"])
def other_version(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Versions that are compared with the numpy one; the device for torch, None for numba."""
    if request.param == "torch":
        yield "cpu"
        return
    pytest.importorskip("numba", reason="needs numba")
    with use_backend("triton"):
        yield None


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize(("alpha", "threshold"), [(1.0, 0.0), (3.0, 0.0), (3.0, 0.125)])
def test_every_version_ranks_alike(
    other_version: str | None, width: int, binary: bool, alpha: float, threshold: float
) -> None:
    images = random_images(np.random.default_rng(width), 40, width, binary)
    postings = inverted(images)
    with use_backend("torch"):
        expected = asmk_top_k(postings, [images], 7, exclude=np.arange(40), alpha=alpha, threshold=threshold)

    ids, scores = asmk_top_k(
        postings,
        [images],
        7,
        exclude=np.arange(40),
        alpha=alpha,
        threshold=threshold,
        threads=3,
        device=other_version,
    )

    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(scores, expected[1], atol=1e-6)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_thresholds_that_no_similarity_has_are_refused(threshold: float) -> None:
    images = random_images(np.random.default_rng(0), 3, 1, binary=True)

    with pytest.raises(ValueError, match="threshold"):
        asmk_scores(inverted(images), *row(images, 0), threshold=threshold)
    with pytest.raises(ValueError, match="threshold"):
        asmk_top_k(inverted(images), [images], 1, exclude=np.arange(3), threshold=threshold)


@pytest.mark.parametrize("binary", [True, False])
def test_codes_that_lie_elsewhere_ask_alike(other_version: str | None, binary: bool) -> None:
    """The inverted file's own images, by rows of their codes; bits in Fortran order, as an index has them."""
    images = random_images(np.random.default_rng(8), 30, 3, binary)
    order = np.argsort(images.words, kind="stable")
    rows = np.argsort(order).astype(np.int32)
    postings = inverted(images)
    postings = replace(postings, codes=np.asfortranarray(postings.codes) if binary else postings.codes)
    own = Queries(images.offsets, images.words, postings.codes, rows)
    expected = asmk_top_k(postings, [images], 6, exclude=np.arange(30), device=other_version)

    for version in (other_version, None):
        ids, scores = asmk_top_k(postings, [own], 6, exclude=np.arange(30), threads=2, device=version)
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_allclose(scores, expected[1], atol=1e-6)


@given(seed=st.integers(0, 1000), k=st.integers(1, 12))
def test_compiled_choice_takes_equal_scores_in_order(seed: int, k: int) -> None:
    """Few different scores, so that many are equal."""
    asmk_loops = pytest.importorskip("kernels.asmk_loops", reason="needs numba")
    scores = np.random.default_rng(seed).integers(0, 4, 30) / 4
    ids, best = np.full(k, -1, np.int32), np.zeros(k)

    assert asmk_loops.choose(scores.copy(), ids, best) == 0

    expected = largest(scores, k)
    assert ids.tolist() == expected.tolist() + [-1] * (k - len(expected))
    np.testing.assert_array_equal(best[: len(expected)], scores[expected])


@pytest.mark.parametrize("version", ["torch", "triton"])
def test_damage_is_an_error_and_not_a_crash(version: Backend) -> None:
    if version == "triton":
        pytest.importorskip("numba", reason="needs numba")
    images = random_images(np.random.default_rng(5), 20, 4, False)
    good = inverted(images)
    foreign = replace(good, images=good.images + np.int32(1000))
    negative = replace(good, images=good.images - np.int32(1000))
    not_finite = replace(good, codes=good.codes * np.float32(np.nan))

    with use_backend(version):
        for damaged in (foreign, negative, not_finite):
            with pytest.raises(ValueError, match="damaged"):
                asmk_top_k(damaged, [images], 3, exclude=np.arange(20))
            with pytest.raises(ValueError, match="damaged"):
                asmk_scores(damaged, *row(images, int(np.argmax(np.diff(images.offsets)))))


@pytest.mark.parametrize("version", ["torch", "triton"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("binary", [True, False])
def test_batches_and_small_tiles_change_nothing(
    version: Backend, threads: int, binary: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version == "triton":
        asmk_numba = pytest.importorskip("kernels.asmk_numba", reason="needs numba")
    images = random_images(np.random.default_rng(6), 30, 2 if binary else 40, binary)
    postings = inverted(images)
    with use_backend(version):
        expected = asmk_top_k(postings, [images], 5, exclude=np.arange(30))
    batches = [part(images, a, b) for a, b in ((0, 1), (1, 1), (1, 17), (17, 30))]

    if version == "triton":
        monkeypatch.setattr(asmk_numba, "_MIN_SCRATCH", 1)
        monkeypatch.setattr(asmk_numba, "_MAX_SCRATCH", 1)
    with use_backend(version):
        found = asmk_top_k(postings, batches, 5, exclude=np.arange(30), threads=threads)

    np.testing.assert_array_equal(found[0], expected[0])
    # products of floats are rounded by how many are computed together
    np.testing.assert_allclose(found[1], expected[1], atol=0 if binary else 1e-7)


def part(images: Queries, start: int, stop: int) -> Queries:
    """Some of the images."""
    rows = slice(images.offsets[start], images.offsets[stop])
    offsets = images.offsets[start : stop + 1] - images.offsets[start]
    return Queries(offsets, images.words[rows], images.codes[rows])


@given(seed=st.integers(0, 1000), k=st.integers(1, 6))
def test_rankings_of_parts_merge_into_the_ranking_of_all(seed: int, k: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 4, (3, 20)) / 4

    def best(start: int, stop: int) -> Best:
        ids, values = np.full((3, k), -1, np.int32), np.zeros((3, k))
        for i, line in enumerate(scores[:, start:stop]):
            chosen = largest(line, k)
            ids[i, : len(chosen)], values[i, : len(chosen)] = chosen + start, line[chosen]
        return ids, values

    merged = merged_best([best(0, 9), best(9, 20)], k)

    np.testing.assert_array_equal(merged[0], best(0, 20)[0])
    np.testing.assert_array_equal(merged[1], best(0, 20)[1])


def test_without_numba_numpy_runs_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    dispatch.has_numba.cache_clear()
    images = random_images(np.random.default_rng(7), 5, 1, True)

    with caplog.at_level("INFO", logger="kernels.dispatch"), use_backend("triton"):
        ids, _ = asmk_top_k(inverted(images), [images], 3, exclude=np.arange(5))

    assert ids.shape == (5, 3)
    assert "numba cannot be used" in caplog.text
    monkeypatch.undo()
    dispatch.has_numba.cache_clear()


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
        asmk_top_k(inverted(binary), [binary], 0, exclude=np.arange(4))
