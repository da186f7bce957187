"""Nearest neighbours with product and running arg-max in one kernel, in Triton; imported only where it runs.

Each program keeps, for a block of queries, the best similarity of every column of its tiles, and the tile.
It reduces over columns once, at the end. Where there are too few queries to occupy a device, several programs
share the base. Float32 goes through matrix units as two numbers of 16 bits each: float32's own products are
ten times slower on an H200, and no more exact once 24 of them are added up.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

_QUERIES = 128
_COLUMNS = 64
_WARPS, _STAGES = 4, 4
"""The fastest of 36 combinations on an H200, for 3,072 queries among 196,608 rows of 24 numbers."""
_PROGRAMS_PER_PROCESSOR = 4
_LEAST_TILES = 8
"""Tiles that a share of the base has at least."""
_EXPONENT = 10
"""Of the largest number of a row after scaling: far enough from the smallest and the largest of float16."""


class _Rows(NamedTuple):
    """Rows (R, D) as the kernel reads them, D a power of two; high + low is the row, scaled."""

    high: Tensor
    low: Tensor
    """`high` itself where rows are of 16 bits."""
    exponent: Tensor
    """Of 2, that rows were scaled by; (R, 1), or (1, 1) for all rows alike."""


class NearestTriton:
    """A set of rows, ready to be searched many times."""

    def __init__(self, b: Tensor) -> None:
        """Take the base (M, d), 1 <= M < 2^31, of finite numbers."""
        self._base = b
        self._ready: dict[bool, _Rows] = {}

    def __call__(self, a: Tensor, shares: int | None = None) -> tuple[Tensor, Tensor]:
        """The same as `nearest_torch`, for a (N, d), N >= 1, of finite rows.

        Two sets of one 16-bit type are multiplied as they are; products are summed in float32 either way.

        Args:
            shares: programs that the base is shared out among; None decides by the device.
        """
        narrow = a.dtype == self._base.dtype and a.dtype in (torch.float16, torch.bfloat16)
        if narrow not in self._ready:
            self._ready[narrow] = _rows(self._base, _COLUMNS, narrow=narrow, alike=True)
        base, queries = self._ready[narrow], _rows(a, 1, narrow=narrow, alike=False)
        blocks, tiles = triton.cdiv(len(a), _QUERIES), len(base.high) // _COLUMNS
        each = triton.cdiv(tiles, shares or _shares(a, blocks, tiles))
        shares = triton.cdiv(tiles, each)
        best = torch.empty((len(a), shares), device=a.device)
        index = torch.empty((len(a), shares), dtype=torch.int32, device=a.device)
        with torch.cuda.device_of(a):  # type: ignore[no-untyped-call]
            _best_of_share[(blocks, shares)](
                queries.high,
                queries.low,
                base.high,
                base.low,
                best,
                index,
                len(a),
                each,
                tiles,
                QUERIES=_QUERIES,
                COLUMNS=_COLUMNS,
                DEPTH=base.high.shape[1],
                SPLIT=not narrow,
                num_warps=_WARPS,
                num_stages=_STAGES,
            )
        similarity, share = best.max(dim=1, keepdim=True)
        # Rows behind the last one are copies of it.
        found = index.gather(1, share).long().clamp_(max=len(self._base) - 1)
        # One after the other: a power of both could be no number of float32.
        similarity = torch.ldexp(torch.ldexp(similarity, -queries.exponent), -base.exponent)
        return found.squeeze(1), similarity.squeeze(1)


def nearest_triton(a: Tensor, b: Tensor, shares: int | None = None) -> tuple[Tensor, Tensor]:
    """The same as `nearest_torch`, for N, M >= 1 and finite rows, M < 2^31."""
    return NearestTriton(b)(a, shares)


def _rows(x: Tensor, multiple: int, *, narrow: bool, alike: bool) -> _Rows:
    """Rows in the kernel's form, their number rounded up to a multiple by copies of the last one.

    Args:
        narrow: whether they stay in their 16 bits.
        alike: whether all are scaled by one factor, as a base has to be: factors of its rows would change
            which is nearest. A query's factor changes nothing.
    """
    count, depth = x.shape
    # A product has at least 16 terms.
    shape = triton.cdiv(count, multiple) * multiple, max(triton.next_power_of_2(depth), 16)
    none = torch.zeros((1, 1), dtype=torch.int32, device=x.device)
    if narrow:
        high = _padded(x, shape)
        return _Rows(high, high, none)
    wide = x.float()
    largest = wide.abs().amax(dim=(0, 1) if alike else (1,), keepdim=True)
    exponent = _EXPONENT - torch.frexp(largest).exponent
    # Powers beyond these are no numbers of float32.
    exponent = torch.where(largest > 0, exponent.clamp(-126, 126), none)
    wide = torch.ldexp(wide, exponent)
    high = wide.half()
    return _Rows(_padded(high, shape), _padded((wide - high.float()).half(), shape), exponent)


def _padded(x: Tensor, shape: tuple[int, int]) -> Tensor:
    out = torch.zeros(shape, dtype=x.dtype, device=x.device)
    out[: len(x), : x.shape[1]] = x
    out[len(x) :, : x.shape[1]] = x[-1]
    return out


def _shares(a: Tensor, blocks: int, tiles: int) -> int:
    if not a.is_cuda:
        return 1
    processors = torch.cuda.get_device_properties(a.device).multi_processor_count
    wanted: int = triton.cdiv(_PROGRAMS_PER_PROCESSOR * processors, blocks)
    return max(1, min(wanted, tiles // _LEAST_TILES))


@triton.jit  # type: ignore[untyped-decorator]
def _best_of_share(
    a_high: tl.tensor,
    a_low: tl.tensor,
    b_high: tl.tensor,
    b_low: tl.tensor,
    best: tl.tensor,
    index: tl.tensor,
    num_a: tl.tensor,
    tiles_each: tl.tensor,
    num_tiles: tl.tensor,
    QUERIES: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    SPLIT: tl.constexpr,
) -> None:
    """Best of one share of the base, whole tiles of it, for a block of queries."""
    rows = tl.program_id(0).to(tl.int64) * QUERIES + tl.arange(0, QUERIES)
    columns = tl.arange(0, COLUMNS)
    channels = tl.arange(0, DEPTH)
    known = (rows < num_a)[:, None]
    source = rows[:, None] * DEPTH + channels[None, :]
    high = tl.load(a_high + source, mask=known, other=0.0)
    low = tl.load(a_low + source, mask=known, other=0.0)
    first = tl.program_id(1) * tiles_each
    running = tl.full((QUERIES, COLUMNS), float("-inf"), tl.float32)
    origin = tl.zeros((QUERIES, COLUMNS), tl.int32)
    for tile in range(first, tl.minimum(first + tiles_each, num_tiles)):
        where = (columns.to(tl.int64) + tile * COLUMNS)[None, :] * DEPTH + channels[:, None]
        base_high = tl.load(b_high + where)
        if SPLIT:
            # Small products first, so that they are not lost beside the large ones.
            similarity = tl.dot(high, tl.load(b_low + where), out_dtype=tl.float32)
            similarity = tl.dot(low, base_high, acc=similarity)
            similarity = tl.dot(high, base_high, acc=similarity)
        else:
            similarity = tl.dot(high, base_high, out_dtype=tl.float32)
        # Strictly better, so that the first of equals stays.
        better = similarity > running
        running = tl.where(better, similarity, running)
        origin = tl.where(better, tile, origin)
    largest = tl.max(running, axis=1)
    position = origin * COLUMNS + columns[None, :]
    nearest = tl.min(tl.where(running == largest[:, None], position, 2147483647), axis=1)
    target = rows * tl.num_programs(1) + tl.program_id(1)
    tl.store(best + target, largest, mask=rows < num_a)
    tl.store(index + target, nearest, mask=rows < num_a)
