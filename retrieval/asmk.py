"""From an image's local descriptors to its ASMK codes: one residual for each visual word that it hits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kernels.asmk import Codes, Queries

from .codebook import Codebook, Descriptors, check_descriptors

_RESIDUALS_PER_BLOCK = 1 << 24
"""Components of residuals held at a time, 64 MB."""
_EPSILON = 1e-6
"""Added to the length of a float residual, as the reference does."""


def code_bits(dim: int) -> int:
    """Divisor of the Hamming distance: descriptor length, padded to a multiple of 32 as in the reference."""
    return 32 * -(-dim // 32)


def empty_codes(dim: int, binary: bool) -> Codes:
    """No codes, with the shape and type that codes of this dimension have."""
    return np.empty((0, -(-dim // 64)), np.uint64) if binary else np.empty((0, dim), np.float32)


def laid_out(codes: Codes) -> Codes:
    """Codes of an inverted file in the memory order that scoring reads fastest."""
    order: Literal["F", "C"] = "F" if codes.dtype == np.uint64 else "C"
    return codes.copy(order=order)


def inverse_norms(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """One over the square root of each image's number of words, 0 for images without any."""
    return np.divide(1.0, np.sqrt(counts), out=np.zeros(len(counts)), where=counts > 0)


def aggregate(
    codebook: Codebook, descriptors: Sequence[Descriptors], counts: Sequence[int], *, binary: bool
) -> list[Queries]:
    """Codes of each image, image by image, for several multiple assignments at the price of one word lookup.

    A word's code is the sum of (descriptor - centroid) over the image's descriptors assigned to it, each
    descriptor counting for its `count` nearest words; then the signs of the sum, or the sum at length one.

    Args:
        codebook: K words.
        descriptors: (n, d) float32 of each image; n may be 0.
        counts: multiple assignments wanted.
        binary: pack signs (component > 0) into uint64; else float32.

    Returns:
        For each of `counts`, one entry for each image, words ascending.

    Raises:
        RetrievalError: descriptors that do not fit the codebook, NaN or infinity.
    """
    limit = max(1, _RESIDUALS_PER_BLOCK // (max(counts) * codebook.dim))
    parts: list[list[Queries]] = [[] for _ in counts]
    for block in _blocks(descriptors, limit):
        stacked = np.concatenate([check_descriptors(part, codebook.dim) for part in block])
        words = codebook.assign(stacked, max(counts))
        images = np.repeat(np.arange(len(block)), [len(part) for part in block])
        for part, count in zip(parts, counts, strict=True):
            sums, keys = _residual_sums(codebook, stacked, words[:, :count], images)
            offsets = np.searchsorted(keys, np.arange(len(block) + 1) * len(codebook))
            part.append(Queries(offsets, (keys % len(codebook)).astype(np.int32), _codes(sums, binary)))
    empty = Queries(np.zeros(1, np.int64), np.empty(0, np.int32), empty_codes(codebook.dim, binary))
    return [concatenated([empty, *part]) for part in parts]


def concatenated(parts: Sequence[Queries]) -> Queries:
    """The images of all parts, one after the other."""
    counts = [np.diff(part.offsets) for part in parts]
    return Queries(
        np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))]),
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.codes for part in parts]),
    )


def _blocks(descriptors: Sequence[Descriptors], limit: int) -> Iterator[list[Descriptors]]:
    """Images that together have at most `limit` descriptors, or one image alone."""
    block: list[Descriptors] = []
    rows = 0
    for array in descriptors:
        if block and rows + len(array) > limit:
            yield block
            block, rows = [], 0
        block.append(array)
        rows += len(array)
    if block:
        yield block


def _residual_sums(
    codebook: Codebook, stacked: Descriptors, words: NDArray[np.int64], images: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Sum of residuals of each (image, word) that occurs, and its key, image * K + word, ascending."""
    keys = (images[:, None] * len(codebook) + words).ravel()
    order = np.argsort(keys, kind="stable")
    unique_keys, starts = np.unique(keys[order], return_index=True)
    rows = order // words.shape[1]
    residuals = stacked[rows] - codebook.centroids[words.ravel()[order]]
    return (np.add.reduceat(residuals, starts, axis=0) if len(starts) else residuals), unique_keys


def _codes(sums: NDArray[np.float32], binary: bool) -> Codes:
    if binary:
        return pack_signs(sums)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True) + np.float32(_EPSILON)
    return np.asarray(sums / lengths, np.float32)


def pack_signs(residuals: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(n, d) float32 to (n, ceil(d / 64)) uint64: a bit is set where a component is above 0; zero padding."""
    packed = np.packbits(residuals > 0, axis=1)
    num_bytes = 8 * -(-residuals.shape[1] // 64)
    padded = np.zeros((len(residuals), num_bytes), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)
