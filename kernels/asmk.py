"""ASMK scoring: how alike a query image is to every image of a data base.

Aggregated selective match kernel of Tolias, Avrithis and Jégou 2013, binarised as in Tolias, Jenicek and
Chum 2020. The data base is an inverted file: one compact block of codes for each visual word. A query meets
only the blocks of its own words, so its cost is the number of codes that share a word with it.

The numpy version below defines the scores. Large data bases run compiled (`asmk_numba`) or, on request or
where torch has CUDA, on a GPU (`asmk_torch`). Both are tested against it.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .dispatch import compiles, cuda_has_room
from .values import Best, Codes, Postings, Queries, Weighting, weights_by_distance

_WORTH_COMPILING = 1 << 16
"""Codes in a data base from which on compiled code is faster, its start included."""
_DEVICE_MEMORY = 8 << 30
"""Free memory of a GPU that is chosen unasked, beside the data base: more than tiles take."""
_MERGED_ROWS = 4096
_MAX_COMPARISONS = 1 << 20
"""Codes compared in one pass; bounds the temporary arrays to about 40 MB a thread."""


def asmk_scores(
    postings: Postings, words: NDArray[np.int32], codes: Codes, *, alpha: float = 3.0, threshold: float = 0.0
) -> NDArray[np.float64]:
    """Score one query against all N images.

    score(q, d) = sum over shared words of s^alpha / sqrt(#words of q * #words of d).
    The similarity s of two codes is 1 - 2 hamming / num_bits or the dot product; below the threshold it is 0.

    Args:
        words: (m,) ascending, without repeats.
        codes: (m, w) uint64 or (m, d) float32, of the same kind as the data base.

    Returns:
        (N,) float64 in [0, 1]; zeros for a query without words.

    Raises:
        ValueError: codes of another kind or width, a threshold outside [0, 1], or a damaged data base.
    """
    _check(postings, codes)
    weighting = Weighting(alpha, threshold)
    if len(words) == 0:
        return np.zeros(len(postings.inverse_norms))
    if compiles(len(postings.images) >= _WORTH_COMPILING):
        from . import asmk_numba  # half a second, and more on its first use

        return asmk_numba.scores(postings, words, codes, weighting)
    return _scores(postings, words, codes, weighting)


def asmk_top_k(
    postings: Postings,
    queries: Iterable[Queries],
    k: int,
    *,
    exclude: NDArray[np.int64],
    alpha: float = 3.0,
    threshold: float = 0.0,
    threads: int | None = None,
    device: str | None = None,
) -> Best:
    """Return the k best images of each query, without ever holding a Q x N matrix.

    Args:
        queries: batches of queries, Q in all; each is asked for when the one before is done.
        exclude: (Q,) image that must not be returned for each query (itself), -1 for none.
        threads: None takes one for each core. The result depends on it only by the rounding of float codes.
        device: a torch device; None takes CUDA where torch is in use and has room on it, else the CPU.

    Returns:
        images: (Q, k) int32, best first, ties by ascending image; -1 where fewer than k score above 0.
        scores: (Q, k) float64, 0 where the image is -1.

    Raises:
        ValueError: codes that do not fit, k < 1, a threshold out of range, or a damaged data base.
    """
    if k < 1:
        raise ValueError(f"asmk_top_k: k must be at least 1, not {k}")
    rank = _ranking(postings, k, Weighting(alpha, threshold), threads or os.cpu_count() or 1, device)
    images, scores = np.empty((len(exclude), k), np.int32), np.empty((len(exclude), k))
    done = 0
    for batch in queries:
        _check(postings, batch.codes)
        rows = slice(done, done + len(batch))
        images[rows], scores[rows] = rank(batch, exclude[rows])
        done += len(batch)
        del batch  # before the next is made
    return images, scores


def merged_best(parts: Iterable[Best], k: int) -> Best:
    """The k best of several rankings of the same queries over different images; ties by ascending image."""
    columns = list(zip(*parts, strict=True))
    images, scores = (np.empty((len(column[0]), k), column[0].dtype) for column in columns)
    for start in range(0, len(images), _MERGED_ROWS):
        rows = slice(start, start + _MERGED_ROWS)
        ids, values = (np.concatenate([part[rows] for part in column], axis=1) for column in columns)
        order = np.lexsort((np.where(ids < 0, np.iinfo(np.int32).max, ids), -values))[:, :k]
        images[rows] = np.take_along_axis(ids, order, 1)
        scores[rows] = np.take_along_axis(values, order, 1)
    return images, scores


def largest(scores: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Positions of the k largest of (N,) scores above 0, largest first, ties by ascending position."""
    threshold = np.partition(scores, len(scores) - k)[len(scores) - k] if k < len(scores) else 0.0
    candidates = np.flatnonzero((scores >= threshold) & (scores > 0))
    order = np.argsort(-scores[candidates], kind="stable")[:k]
    return candidates[order]


def _ranking(
    postings: Postings, k: int, weighting: Weighting, threads: int, device: str | None
) -> Callable[[Queries, NDArray[np.int64]], Best]:
    large = len(postings.images) >= _WORTH_COMPILING
    if device is not None or (large and cuda_has_room(postings.codes.nbytes + _DEVICE_MEMORY)):
        from .asmk_torch import DevicePostings  # torch, where nothing else may need it

        return partial(DevicePostings(postings, weighting, device or "cuda").top_k, k)
    if compiles(large):
        from . import asmk_numba  # half a second, and more on its first use

        return partial(asmk_numba.top_k, postings, k, weighting, threads)
    return partial(_top_k, postings, k, weighting, threads)


def _scores(
    postings: Postings, words: NDArray[np.int32], codes: Codes, weighting: Weighting
) -> NDArray[np.float64]:
    """Scores of one query; the definition."""
    scores = np.zeros(len(postings.inverse_norms))
    table = weights_by_distance(postings, weighting)
    for part in _parts(postings, words):
        images, weights = _matches(postings, words[part], codes[part], table, weighting)
        if len(images) and (images.min() < 0 or images.max() >= len(scores)):
            raise ValueError("asmk: the data base is damaged: it names images that it does not have")
        scores += np.bincount(images, weights=weights, minlength=len(scores))
    scores *= postings.inverse_norms
    scores *= 1 / np.sqrt(max(1, len(words)))
    if not np.isfinite(scores).all():
        raise ValueError("asmk: the data base is damaged: its codes are not finite")
    return scores


def _top_k(
    postings: Postings,
    k: int,
    weighting: Weighting,
    threads: int,
    queries: Queries,
    exclude: NDArray[np.int64],
) -> Best:
    images = np.full((len(queries), k), -1, np.int32)
    scores = np.zeros((len(queries), k))

    def rank(row: int) -> None:
        part = slice(queries.offsets[row], queries.offsets[row + 1])
        all_scores = _scores(postings, queries.words[part], queries.codes_of(row, row + 1), weighting)
        if exclude[row] >= 0:
            all_scores[exclude[row]] = 0.0
        best = largest(all_scores, k)
        images[row, : len(best)] = best
        scores[row, : len(best)] = all_scores[best]

    with ThreadPoolExecutor(max_workers=threads) as pool:
        for _ in pool.map(rank, range(len(queries))):
            pass
    return images, scores


def _check(postings: Postings, codes: Codes) -> None:
    ours, theirs = postings.codes, codes
    if ours.dtype != theirs.dtype or ours.shape[1:] != theirs.shape[1:]:
        raise ValueError(
            f"asmk: codes {theirs.dtype} of width {theirs.shape[1:]} do not fit "
            f"the data base's {ours.dtype} of width {ours.shape[1:]}"
        )


def _parts(postings: Postings, words: NDArray[np.int32]) -> Iterator[slice]:
    """Runs of words whose blocks together have at most `_MAX_COMPARISONS` codes (or one word each)."""
    ends = np.cumsum(postings.offsets[words + 1] - postings.offsets[words])
    start, done = 0, 0
    while start < len(words):
        stop = max(start + 1, int(np.searchsorted(ends, done + _MAX_COMPARISONS, side="right")))
        yield slice(start, stop)
        start, done = stop, int(ends[stop - 1])


def _matches(
    postings: Postings,
    words: NDArray[np.int32],
    codes: Codes,
    table: NDArray[np.float64],
    weighting: Weighting,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Images that share these words, with repeats, and the weight of each meeting."""
    starts, ends = postings.offsets[words], postings.offsets[words + 1]
    counts = ends - starts
    before = np.cumsum(counts) - counts
    rows = np.arange(counts.sum()) + np.repeat(starts - before, counts)
    images = postings.images.take(rows)
    if postings.codes.dtype == np.uint64:
        distances = np.zeros(len(rows), np.uint16)
        for column in range(codes.shape[1]):
            theirs = postings.codes[:, column].take(rows)
            theirs ^= np.repeat(codes[:, column], counts)
            distances += np.bitwise_count(theirs)
        return images, table.take(distances)
    # einsum, since a BLAS rounds a row's product by how many rows there are
    pairs = zip(starts, ends, codes, strict=True)
    blocks = [np.einsum("ij,j->i", postings.codes[a:b], code) for a, b, code in pairs]
    return images, weighting.of(np.concatenate(blocks))
