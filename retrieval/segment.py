"""A part of an index that never changes: an inverted file, and where in it each of its images lies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from kernels.values import Codes, Postings, Queries

from .asmk import Assigned, code_bits, empty_codes, inverse_norms
from .codebook import Codebook, Descriptors

MAX_POSTINGS = 2**31 - 1
_BINARY_BATCH, _FLOAT_BATCH = 1 << 16, 1 << 18
"""Codes that ask at a time: enough for a tile or more, and their places are small beside them."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """N images with P codes.

    offsets: (N + 1,) int64, image i owns rows [offsets[i], offsets[i + 1]).
    rows: (P,) int32, where in the inverted file the codes of each image lie, words ascending.
    asking: codes of the images as queries, where multiple assignment makes them others than those searched.
    """

    names: tuple[str, ...]
    postings: Postings
    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    asking: Queries | None

    def __len__(self) -> int:
        return len(self.names)

    def queries(
        self, start: int, stop: int, words_of_rows: NDArray[np.unsignedinteger] | None = None
    ) -> Queries:
        """Images [start, stop) as queries; `words_of_rows` spares the lookup of the word of each row.

        Raises:
            ValueError: the segment comes from a damaged file.
        """
        if self.asking is not None:
            part = slice(int(self.asking.offsets[start]), int(self.asking.offsets[stop]))
            offsets = self.asking.offsets[start : stop + 1] - self.asking.offsets[start]
            words = np.asarray(self.asking.words[part])
            _check(words, len(self.postings.offsets) - 1)
            return Queries(offsets, words, self.asking.codes[part])
        rows = np.asarray(self.rows[self.offsets[start] : self.offsets[stop]])
        _check(rows, len(self.rows))
        if words_of_rows is None:
            words = np.searchsorted(self.postings.offsets, rows, side="right").astype(np.int32) - np.int32(1)
        else:
            words = words_of_rows[rows].astype(np.int32)
        return Queries(self.offsets[start : stop + 1] - self.offsets[start], words, self.postings.codes, rows)

    def batches(self) -> Iterator[Queries]:
        """All images as queries, some at a time."""
        counts = np.diff(self.postings.offsets)
        words = np.repeat(np.arange(len(counts), dtype=np.min_scalar_type(len(counts))), counts)
        limit = _BINARY_BATCH if self.postings.codes.dtype == np.uint64 else _FLOAT_BATCH
        ends = self.offsets if self.asking is None else self.asking.offsets
        start = 0
        while start < len(self):
            stop = int(np.searchsorted(ends, ends[start] + limit, side="right")) - 1
            stop = min(max(stop, start + 1), len(self))
            yield self.queries(start, stop, words)
            start = stop


def build_segment(
    codebook: Codebook, descriptors: Mapping[str, Descriptors], *, multiple_assignment: int, binary: bool
) -> Segment:
    """The segment of these images; its codes are written once, where they stay.

    Raises:
        RetrievalError: descriptors that cannot be used.
    """
    assigned = Assigned.of(codebook, list(descriptors.values()), multiple_assignment)
    offsets, words = assigned.words_of_images(1)
    counts = np.bincount(words, minlength=len(codebook))
    rows = _sorted_places(words, len(codebook))
    del words  # what is gone before the codes come adds nothing to the most that is held
    images = np.empty(len(rows), np.int32)
    images[rows] = np.repeat(np.arange(len(descriptors), dtype=np.int32), np.diff(offsets))
    codes = empty_codes(len(rows), codebook.dim, binary)
    assigned.write_codes(codes, 1, offsets, rows)
    postings = Postings(
        _offsets(counts), images, codes, inverse_norms(np.diff(offsets)), code_bits(codebook.dim)
    )
    asking = assigned.codes(multiple_assignment, binary=binary) if multiple_assignment > 1 else None
    return Segment(tuple(descriptors), postings, offsets, rows, asking)


def merged(first: Segment, second: Segment) -> Segment:
    """One segment of the images of both, linear in their size; equal to one built from all images at once."""
    a, b = first.postings, second.postings
    # In each word's block the images of the first come before those of the second.
    moved_a = _moved(a, b.offsets[:-1])
    moved_b = _moved(b, a.offsets[1:])
    total = len(moved_a) + len(moved_b)
    images = np.empty(total, np.int32)
    images[moved_a], images[moved_b] = a.images, b.images + np.int32(len(first))
    if a.codes.dtype == np.uint64:
        codes: Codes = np.empty((a.codes.shape[1], total), np.uint64).T
    else:
        codes = np.empty((total, a.codes.shape[1]), np.float32)
    codes[moved_a], codes[moved_b] = a.codes, b.codes
    norms = np.concatenate([a.inverse_norms, b.inverse_norms])
    return Segment(
        first.names + second.names,
        Postings(a.offsets + b.offsets, images, codes, norms, a.num_bits),
        np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        np.concatenate([moved_a.take(first.rows), moved_b.take(second.rows)]),
        _joined(first.asking, second.asking),
    )


def _joined(first: Queries | None, second: Queries | None) -> Queries | None:
    if first is None or second is None:
        return None
    return Queries(
        np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        np.concatenate([first.words, second.words]),
        cast(Codes, np.concatenate([first.codes, second.codes])),
    )


def _moved(postings: Postings, shifts: NDArray[np.int64]) -> NDArray[np.int32]:
    """(P,) new place of each code when every word's block is shifted."""
    places = np.repeat(shifts.astype(np.int32), np.diff(postings.offsets))
    places += np.arange(len(places), dtype=np.int32)
    return places


def _sorted_places(words: NDArray[np.int32], num_words: int) -> NDArray[np.int32]:
    """Place of each entry when entries are sorted by word, order kept within a word."""
    # numpy sorts integers of 16 bits by radix, in linear time
    kind = np.uint16 if num_words <= 1 << 16 else np.int32
    order = np.argsort(words.astype(kind), kind="stable")
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _check(values: NDArray[np.int32], limit: int) -> None:
    if len(values) and (values.min() < 0 or values.max() >= limit):
        raise ValueError("asmk: the data base is damaged: images have codes that are not there")
