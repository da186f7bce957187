"""From an image's local descriptors to its ASMK codes: one residual for each visual word that it hits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kernels.values import Codes, Queries

from .codebook import Codebook, Descriptors, check_descriptors
from .errors import RetrievalError

_RESIDUALS_PER_BLOCK = 1 << 17
"""Components of residuals held at a time, half a MB: they stay in cache."""
_LOOKUP_ROWS = 512
"""Descriptors looked up at a time; faiss then keeps 2 MB of distances."""
_MAX_DESCRIPTORS = 2**31 - 1
_EPSILON = 1e-6
"""Added to the length of a float residual, as the reference does."""


def code_bits(dim: int) -> int:
    """Divisor of the Hamming distance: descriptor length, padded to a multiple of 32 as in the reference."""
    return 32 * -(-dim // 32)


def empty_codes(count: int, dim: int, binary: bool) -> Codes:
    """Codes to be written, in the memory order that scoring reads fastest: bits by column, floats by row."""
    if binary:
        return np.empty((-(-dim // 64), count), np.uint64).T
    return np.empty((count, dim), np.float32)


def inverse_norms(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """One over the square root of each image's number of words, 0 for images without any."""
    return np.divide(1.0, np.sqrt(counts), out=np.zeros(len(counts)), where=counts > 0)


def aggregate(codebook: Codebook, descriptors: Sequence[Descriptors], count: int, *, binary: bool) -> Queries:
    """Codes of each image, image by image, words ascending.

    A word's code is the sum of (descriptor - centroid) over the image's descriptors assigned to it, each
    descriptor counting for its `count` nearest words; then the signs of the sum, or the sum at length one.

    Args:
        descriptors: (n, d) float32 of each image; n may be 0.
        count: multiple assignment.
        binary: pack signs (component > 0) into uint64; else float32.

    Raises:
        RetrievalError: descriptors that do not fit the codebook, NaN or infinity.
    """
    return Assigned.of(codebook, descriptors, count).codes(count, binary=binary)


@dataclass(frozen=True, slots=True)
class Assigned:
    """Images' descriptors with their visual words."""

    codebook: Codebook
    descriptors: Sequence[Descriptors]
    """(n, d) float32 of each image."""
    words: NDArray[np.int32]
    """(sum of n, multiple assignment), nearest first."""

    @classmethod
    def of(cls, codebook: Codebook, descriptors: Sequence[Descriptors], count: int) -> Assigned:
        """Look up the `count` nearest words of each descriptor.

        Raises:
            RetrievalError: descriptors that do not fit the codebook, NaN or infinity; more than 2^31.
        """
        total, count = sum(map(len, descriptors)), min(count, len(codebook))
        if total * count > _MAX_DESCRIPTORS:
            raise RetrievalError(f"{total} descriptors are too many to be added at once; add fewer photos")
        words = np.empty((total, count), np.int32)
        for block in _blocks([len(array) for array in descriptors], _LOOKUP_ROWS):
            parts = [check_descriptors(array, codebook.dim) for array in descriptors[block.images]]
            stacked, found = _stacked(parts), words[block.first : block.last]
            for first in range(0, len(stacked), _LOOKUP_ROWS):
                part = slice(first, first + _LOOKUP_ROWS)
                found[part] = codebook.assign(stacked[part], count)
        return cls(codebook, descriptors, words)

    def words_of_images(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Where the words of each image begin, (N + 1,), and the words, ascending within an image."""
        found, counts = np.empty(len(self.words) * count, np.int32), [np.zeros(1, np.int64)]
        done = 0
        for block in self._blocks(count):
            keys = np.unique(self._keys(block, count))
            found[done : done + len(keys)] = keys % len(self.codebook)
            done += len(keys)
            images = keys // len(self.codebook)
            counts.append(np.bincount(images, minlength=block.images.stop - block.images.start))
        return np.cumsum(np.concatenate(counts)), found[:done]

    def codes(self, count: int, *, binary: bool) -> Queries:
        """Codes of all images, image by image."""
        offsets, words = self.words_of_images(count)
        codes = cast(Codes, np.ascontiguousarray(empty_codes(len(words), self.codebook.dim, binary)))
        self.write_codes(codes, count, offsets)
        return Queries(offsets, words.copy(), codes)

    def write_codes(
        self, out: Codes, count: int, offsets: NDArray[np.int64], rows: NDArray[np.int32] | None = None
    ) -> None:
        """Write the codes, some images at a time: threads would mostly wait for the interpreter's lock.

        Args:
            out: one row for each word of each image.
            count: multiple assignment.
            offsets: where the words of each image begin, from `words_of_images`.
            rows: row of `out` for each code, ordered by image and word; None: in this order.
        """

        for block in self._blocks(count):
            part = slice(int(offsets[block.images.start]), int(offsets[block.images.stop]))
            if part.start < part.stop:
                out[part if rows is None else rows[part]] = self._block_codes(block, count, out.dtype)

    def _block_codes(self, block: _Block, count: int, dtype: np.dtype[Any]) -> Codes:
        count = min(count, self.words.shape[1])
        keys = self._keys(block, count)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        stacked = _stacked(self.descriptors[block.images])
        residuals = stacked.take(order // count if count > 1 else order, axis=0)
        residuals -= self.codebook.centroids.take(keys % len(self.codebook), axis=0)
        return _codes(_sums(residuals, starts), dtype == np.uint64)

    def _blocks(self, count: int) -> Iterator[_Block]:
        limit = max(1, _RESIDUALS_PER_BLOCK // (count * self.codebook.dim))
        return _blocks([len(array) for array in self.descriptors], limit)

    def _keys(self, block: _Block, count: int) -> NDArray[np.int64]:
        """(rows * count,) image * K + word of each descriptor of a block."""
        lengths = [len(array) for array in self.descriptors[block.images]]
        images = np.repeat(np.arange(len(lengths)), lengths)
        words = self.words[block.first : block.last, :count]
        return (images[:, None] * len(self.codebook) + words).ravel()


@dataclass(frozen=True, slots=True)
class _Block:
    images: slice
    first: int
    last: int


def _blocks(lengths: Sequence[int], limit: int) -> Iterator[_Block]:
    """Images that together have at most `limit` descriptors, or one image alone."""
    ends = np.cumsum([0, *lengths])
    image = 0
    while image < len(lengths):
        stop = int(np.searchsorted(ends, ends[image] + limit, side="right")) - 1
        stop = max(stop, image + 1)
        yield _Block(slice(image, stop), int(ends[image]), int(ends[stop]))
        image = stop


def _stacked(parts: Sequence[Descriptors]) -> Descriptors:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _sums(residuals: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Sum of each run of rows; most runs have one."""
    lengths = np.diff(starts, append=len(residuals))
    sums = residuals.take(starts, axis=0)
    several = lengths > 1
    if several.any():
        rows = np.repeat(several, lengths)
        ends = np.cumsum(lengths[several])
        sums[several] = np.add.reduceat(residuals[rows], ends - lengths[several], axis=0)
    return sums


def _codes(sums: NDArray[np.float32], binary: bool) -> Codes:
    if binary:
        return pack_signs(sums)
    sums /= np.linalg.norm(sums, axis=1, keepdims=True) + np.float32(_EPSILON)
    return sums


def pack_signs(residuals: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(n, d) float32 to (n, ceil(d / 64)) uint64: a bit is set where a component is above 0; zero padding."""
    packed = np.packbits(residuals > 0, axis=1)
    num_bytes = 8 * -(-residuals.shape[1] // 64)
    padded = np.zeros((len(residuals), num_bytes), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)
