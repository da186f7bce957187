"""ASMK scoring compiled by numba, words' blocks read once for many queries; imported where it runs.

A tile of queries is scored in two passes. The first goes word by word and writes one number for each match of
codes: a block of the inverted file stays in cache for all queries. The
second goes query by query, so that one row of scores stays in cache while the numbers are added up.
All threads work on the same tile: the larger it is, the less often the inverted file is read.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import asmk_loops
from .asmk_loops import FINE, FOREIGN_IMAGE, NOT_FINITE
from .values import Best, Codes, Postings, Queries, Weighting, weights_by_distance

_MIN_SCRATCH, _MAX_SCRATCH = 1 << 20, 64 << 20
"""Bytes of a tile's meetings."""
_FLOAT_SHARE, _BINARY_SHARE = 8, 4
"""The meetings of a tile take at most this part of what the codes do."""
_PARTS = 4
"""Parts of a tile for each thread: none waits long for the last."""
_DAMAGE = {FOREIGN_IMAGE: "it names images that it does not have", NOT_FINITE: "its codes are not finite"}


def scores(
    postings: Postings, words: NDArray[np.int32], codes: Codes, weighting: Weighting
) -> NDArray[np.float64]:
    """Scores of one query with at least one word, as `asmk.asmk_scores`."""
    query = Queries(np.array([0, len(words)], np.int64), words, codes)
    tile = _Tile(postings, query, 0, 1, weighting)
    tile.scratch = np.empty(tile.size, tile.dtype)
    tile.compare(0, len(words))
    row = np.empty(len(postings.inverse_norms))
    _raise(tile.add_up(row))
    if not np.isfinite(row).all():
        _raise(NOT_FINITE)
    return row


def top_k(
    postings: Postings,
    k: int,
    weighting: Weighting,
    threads: int,
    queries: Queries,
    exclude: NDArray[np.int64],
) -> Best:
    """The best images of a batch of queries, as `asmk.asmk_top_k`."""
    images = np.full((len(queries), k), -1, np.int32)
    best = np.zeros((len(queries), k))
    dtype = _result_type(postings)
    share = _FLOAT_SHARE if dtype == np.float32 else _BINARY_SHARE
    size = int(np.clip(postings.codes.nbytes // share, _MIN_SCRATCH, _MAX_SCRATCH)) // dtype.itemsize
    scratch = np.empty(0, dtype)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for start, stop in _ranges(postings, queries, size):
            tile = _Tile(postings, queries, start, stop, weighting)
            scratch = scratch if tile.size <= len(scratch) else np.empty(max(size, tile.size), dtype)
            tile.scratch = scratch
            for _ in pool.map(tile.compare, *_shares(len(tile.words), threads)):
                pass
            rank = partial(tile.rank, exclude[start:stop], images[start:stop], best[start:stop])
            for _ in pool.map(rank, *_shares(stop - start, threads)):
                pass
    return images, best


def _result_type(postings: Postings) -> np.dtype[Any]:
    """What a meeting leaves: a Hamming distance, in as few bytes as hold it, or a weight."""
    if postings.codes.dtype != np.uint64:
        return np.dtype(np.float32)
    return np.dtype(np.uint8 if 64 * postings.codes.shape[1] < 256 else np.uint16)


def _ranges(postings: Postings, queries: Queries, limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of queries that meet at most `limit` codes (or one query), as alike as that allows."""
    lengths = (postings.offsets[1:] - postings.offsets[:-1]).take(queries.words)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])[queries.offsets]
    start = 0
    while start < len(queries):
        left = int(ends[-1] - ends[start])
        share = left / max(1, -(-left // max(1, limit)))
        stop = int(np.searchsorted(ends, ends[start] + share, side="right")) - 1
        stop = min(max(stop, start + 1), len(queries))
        yield start, stop
        start = stop


def _shares(count: int, threads: int) -> tuple[list[int], list[int]]:
    edges = np.linspace(0, count, _PARTS * threads + 1).astype(int).tolist()
    return edges[:-1], edges[1:]


class _Tile:
    """Some queries and the places in scratch memory where their meetings with the data base go."""

    def __init__(
        self, postings: Postings, queries: Queries, start: int, stop: int, weighting: Weighting
    ) -> None:
        rows = slice(int(queries.offsets[start]), int(queries.offsets[stop]))
        # Read-only all of them, as mapped files are: else numba compiles for either.
        self.blocks, self.images = _frozen(postings.offsets), _frozen(postings.images)
        self.norms = _frozen(postings.inverse_norms)
        self.base = _frozen(postings.codes.T if postings.codes.dtype == np.uint64 else postings.codes)
        self.words = _frozen(queries.words[rows])
        if queries.rows is None or self.base.dtype == np.uint64:
            self.codes = _frozen(queries.codes_of(start, stop))
            self.rows = _frozen(np.arange(len(self.words), dtype=np.int32))
        else:
            self.codes, self.rows = _frozen(queries.codes), _frozen(queries.rows[rows])
        self.offsets = queries.offsets[start : stop + 1] - queries.offsets[start]
        self.weighting = weighting.alpha, np.float32(weighting.threshold)
        self.dtype = _result_type(postings)
        places = np.cumsum(postings.offsets[self.words + 1] - postings.offsets[self.words])
        self.places = np.concatenate([np.zeros(1, np.int64), places])
        self.size = int(self.places[-1])
        self.scratch = np.empty(0, self.dtype)
        # numpy sorts integers of 16 bits by radix, in linear time
        kind = np.uint16 if len(postings.offsets) <= 1 << 16 else np.int32
        self.order = np.argsort(self.words.astype(kind), kind="stable")
        # Hamming distances become weights in the second pass, products in the first.
        self.table = weights_by_distance(postings, weighting)

    def compare(self, start: int, stop: int) -> None:
        """First pass: a number for each meeting of these codes of the tile, counted by ascending word."""
        asking = (self.words, self.codes, self.rows, self.order[start:stop], self.places)
        if self.base.dtype == np.uint64:
            asmk_loops.distances(self.blocks, self.base, *asking, self.scratch)
        else:
            asmk_loops.weights(self.blocks, self.base, *asking, self.scratch, *self.weighting)

    def add_up(self, row: NDArray[np.float64]) -> int:
        """Second pass of the only query: all its scores."""
        return asmk_loops.add_up(0, row, *self._meetings())

    def rank(
        self,
        exclude: NDArray[np.int64],
        images: NDArray[np.int32],
        best: NDArray[np.float64],
        start: int,
        stop: int,
    ) -> None:
        """Second pass: the best images of these queries of the tile."""
        row = np.empty(len(self.norms))
        _raise(asmk_loops.rank(start, stop, row, exclude, images, best, *self._meetings()))

    def _meetings(self) -> tuple[NDArray[Any], ...]:
        queries = (self.words, self.offsets, self.places)
        return (self.blocks, self.images, self.norms, *queries, self.scratch, self.table)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _raise(outcome: int) -> None:
    if outcome != FINE:
        raise ValueError(f"asmk: the data base is damaged: {_DAMAGE[outcome]}")
