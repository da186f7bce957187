"""ASMK's inner loops, compiled by numba; imported where they run.

Arrays are those of `asmk_numba`: `blocks` and `images` of the inverted file; `offsets`, `words` and `codes`
(of which `rows` are meant) of a tile of queries. `places` are where each word's products begin in `scratch`.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from .compiled import compiled

FINE, FOREIGN_IMAGE, NOT_FINITE = 0, 1, 2
"""What adding up and choosing find."""


def _bit_count(context: Any, bits: Any) -> Any:
    """Number of bits that are set in a uint64; numba has no np.bitwise_count."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_count: Any = intrinsic(_bit_count)


@compiled()
def distances(
    blocks: Any, columns: Any, words: Any, codes: Any, rows: Any, order: Any, places: Any, scratch: Any
) -> None:
    """Hamming distances of each query code to the block of its word; codes of the data base by column."""
    for i in range(len(order)):
        row = order[i]
        start = blocks[words[row]]
        count = blocks[words[row] + 1] - start
        out = scratch[places[row] : places[row] + count]
        column, mine = columns[0, start : start + count], codes[rows[row], 0]
        for j in range(count):
            out[j] = _count(column[j] ^ mine)
        for c in range(1, len(columns)):
            column, mine = columns[c, start : start + count], codes[rows[row], c]
            for j in range(count):
                out[j] += _count(column[j] ^ mine)


# Sums may be taken in any order, as in a BLAS; NaN stays NaN.
@compiled(fastmath={"reassoc", "contract", "nsz"})
def _weights_of_one(block: Any, code: Any, scratch: Any, alpha: float, threshold: Any) -> None:
    for j in range(len(block)):
        theirs = block[j]
        product = np.float32(0)
        for t in range(len(code)):
            product += code[t] * theirs[t]
        scratch[j] = product
    _raise_to(alpha, threshold, scratch[: len(block)])


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _products_of_four(block: Any, queries: Any, places: Any, scratch: Any) -> None:
    """Dot products of four query codes with a block, each code's from its place in the scratch memory on.

    Sixteen at once, four codes by four, read each number a quarter as often as one by one.
    """
    q0, q1, q2, q3 = queries
    p0, p1, p2, p3 = places
    zero, count = np.float32(0), len(block)
    for j in range(0, count, 4):
        j1, j2, j3 = min(j + 1, count - 1), min(j + 2, count - 1), min(j + 3, count - 1)
        c0, c1, c2, c3 = block[j], block[j1], block[j2], block[j3]
        s00 = s01 = s02 = s03 = zero
        s10 = s11 = s12 = s13 = zero
        s20 = s21 = s22 = s23 = zero
        s30 = s31 = s32 = s33 = zero
        for t in range(len(q0)):
            s00 += q0[t] * c0[t]
            s01 += q0[t] * c1[t]
            s02 += q0[t] * c2[t]
            s03 += q0[t] * c3[t]
            s10 += q1[t] * c0[t]
            s11 += q1[t] * c1[t]
            s12 += q1[t] * c2[t]
            s13 += q1[t] * c3[t]
            s20 += q2[t] * c0[t]
            s21 += q2[t] * c1[t]
            s22 += q2[t] * c2[t]
            s23 += q2[t] * c3[t]
            s30 += q3[t] * c0[t]
            s31 += q3[t] * c1[t]
            s32 += q3[t] * c2[t]
            s33 += q3[t] * c3[t]
        scratch[p0 + j], scratch[p0 + j1] = s00, s01
        scratch[p0 + j2], scratch[p0 + j3] = s02, s03
        scratch[p1 + j], scratch[p1 + j1] = s10, s11
        scratch[p1 + j2], scratch[p1 + j3] = s12, s13
        scratch[p2 + j], scratch[p2 + j1] = s20, s21
        scratch[p2 + j2], scratch[p2 + j3] = s22, s23
        scratch[p3 + j], scratch[p3 + j1] = s30, s31
        scratch[p3 + j2], scratch[p3 + j3] = s32, s33


@compiled(fastmath={"reassoc", "contract", "nsz"})
def weights(
    blocks: Any,
    base: Any,
    words: Any,
    codes: Any,
    rows: Any,
    order: Any,
    places: Any,
    scratch: Any,
    alpha: float,
    threshold: Any,
) -> None:
    """Dot products of each query code with the block of its word, to the power of alpha; 0 below a threshold.

    Query codes go by four; where fewer are left, the last stands in for the others. One or two go alone.
    """
    first, end = 0, 0
    while first < len(order):
        word = words[order[first]]
        if first == end:
            while end < len(order) and words[order[end]] == word:
                end += 1
        block = base[blocks[word] : blocks[word + 1]]
        if end - first <= 2:
            row = order[first]
            _weights_of_one(block, codes[rows[row]], scratch[places[row] :], alpha, threshold)
            first += 1
            continue
        r0, r1 = order[first], order[min(first + 1, end - 1)]
        r2, r3 = order[min(first + 2, end - 1)], order[min(first + 3, end - 1)]
        first = min(first + 4, end)
        queries = codes[rows[r0]], codes[rows[r1]], codes[rows[r2]], codes[rows[r3]]
        p0, p1, p2, p3 = places[r0], places[r1], places[r2], places[r3]
        _products_of_four(block, queries, (p0, p1, p2, p3), scratch)
        count = len(block)
        _raise_to(alpha, threshold, scratch[p0 : p0 + count])
        if r1 != r0:
            _raise_to(alpha, threshold, scratch[p1 : p1 + count])
        if r2 != r1:
            _raise_to(alpha, threshold, scratch[p2 : p2 + count])
        if r3 != r2:
            _raise_to(alpha, threshold, scratch[p3 : p3 + count])


@compiled()
def _raise_to(alpha: float, threshold: Any, similarities: Any) -> None:
    for j in range(len(similarities)):
        s = similarities[j]
        if s < threshold:
            similarities[j] = 0
        elif alpha == 3.0:
            similarities[j] = s * s * s
        else:
            similarities[j] = s**alpha


@compiled()
def add_up(
    query: int,
    row: Any,
    blocks: Any,
    images: Any,
    norms: Any,
    words: Any,
    offsets: Any,
    places: Any,
    scratch: Any,
    table: Any,
) -> int:
    """Scores of one query, into `row`."""
    row[:] = 0.0
    for i in range(offsets[query], offsets[query + 1]):
        start = blocks[words[i]]
        count = blocks[words[i] + 1] - start
        owners, found = images[start : start + count], scratch[places[i] : places[i] + count]
        largest = np.uint32(0)
        for j in range(count):
            largest = max(largest, np.uint32(owners[j]))
        if count and largest >= np.uint32(len(row)):
            return FOREIGN_IMAGE
        if len(table):
            for j in range(count):
                row[np.uint32(owners[j])] += table[np.uint32(found[j])]
        else:
            for j in range(count):
                row[np.uint32(owners[j])] += found[j]
    length = 1 / math.sqrt(offsets[query + 1] - offsets[query])
    for j in range(len(row)):
        row[j] = row[j] * norms[j] * length
    return FINE


@compiled()
def rank(
    start: int,
    stop: int,
    row: Any,
    exclude: Any,
    best_images: Any,
    best_scores: Any,
    blocks: Any,
    images: Any,
    norms: Any,
    words: Any,
    offsets: Any,
    places: Any,
    scratch: Any,
    table: Any,
) -> int:
    """The best images of queries [start, stop) of a tile."""
    for query in range(start, stop):
        if offsets[query] == offsets[query + 1]:
            continue
        outcome = add_up(query, row, blocks, images, norms, words, offsets, places, scratch, table)
        if outcome != FINE:
            return outcome
        if exclude[query] >= 0:
            row[exclude[query]] = 0.0
        outcome = choose(row, best_images[query], best_scores[query])
        if outcome != FINE:
            return outcome
    return FINE


@compiled()
def choose(row: Any, images: Any, scores: Any) -> int:
    """The largest of `row` above 0, largest first, ties by ascending position: a heap, the worst on top."""
    size, k = 0, len(images)
    for j in range(len(row)):
        if row[j] <= (scores[0] if size == k else 0.0):
            continue
        if not math.isfinite(row[j]):
            return NOT_FINITE
        if size < k:
            size += 1
            _rise(images, scores, size - 1, j, row[j])
        else:
            _sink(images, scores, size, j, row[j])
    for last in range(size - 1, 0, -1):
        image, score = images[last], scores[last]
        images[last], scores[last] = images[0], scores[0]
        _sink(images, scores, last, image, score)
    return FINE


@compiled()
def _rise(images: Any, scores: Any, at: int, image: int, score: float) -> None:
    while at > 0:
        above = (at - 1) // 2
        if scores[above] < score or (scores[above] == score and images[above] > image):
            break
        images[at], scores[at] = images[above], scores[above]
        at = above
    images[at], scores[at] = image, score


@compiled()
def _sink(images: Any, scores: Any, size: int, image: int, score: float) -> None:
    """Put an entry in the place of the worst of a heap of this size."""
    at = 0
    while 2 * at + 1 < size:
        below = 2 * at + 1
        other = below + 1
        if other < size and (
            scores[other] < scores[below]
            or (scores[other] == scores[below] and images[other] > images[below])
        ):
            below = other
        if score < scores[below] or (score == scores[below] and image > images[below]):
            break
        images[at], scores[at] = images[below], scores[below]
        at = below
    images[at], scores[at] = image, score
