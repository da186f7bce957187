"""Nearest neighbours with product and running arg-max in one kernel, in Triton; imported only where it runs.

Each program keeps, for a block of queries, the best similarity of every column of its tiles, and the tile.
It reduces over columns once, at the end. Where there are too few queries to occupy a device, several programs
share the base.
"""

from __future__ import annotations

from typing import Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

Precision = Literal["ieee", "tf32x3", "tf32"]
"""How products of float32 are formed: exactly, as three products of TF32, or as one."""

_QUERIES = 64
_COLUMNS = 64
_PROGRAMS_PER_PROCESSOR = 4
_LEAST_TILES = 8
"""Tiles that a share of the base has at least."""


def nearest_triton(
    a: Tensor, b: Tensor, *, precision: Precision = "ieee", shares: int | None = None
) -> tuple[Tensor, Tensor]:
    """The same as `nearest_torch`, for N, M >= 1 and finite rows, M < 2^31.

    Two sets of one 16-bit type are multiplied as they are; products are summed in float32 either way.

    Args:
        precision: of float32 products; the others are faster, and choose other neighbours among close ones.
        shares: programs that the base is shared out among; None decides by the device.
    """
    if a.dtype != b.dtype or a.dtype not in (torch.float16, torch.bfloat16):
        a, b = a.float(), b.float()
    blocks, tiles = triton.cdiv(len(a), _QUERIES), triton.cdiv(len(b), _COLUMNS)
    each = triton.cdiv(tiles, shares or _shares(a, blocks, tiles))
    shares = triton.cdiv(tiles, each)
    best = torch.empty((len(a), shares), device=a.device)
    index = torch.empty((len(a), shares), dtype=torch.int32, device=a.device)
    with torch.cuda.device_of(a):  # type: ignore[no-untyped-call]
        _best_of_share[(blocks, shares)](
            a,
            b,
            best,
            index,
            len(a),
            len(b),
            a.shape[1],
            each,
            *a.stride(),
            *b.stride(),
            QUERIES=_QUERIES,
            COLUMNS=_COLUMNS,
            # A product has at least 16 terms.
            DEPTH=max(triton.next_power_of_2(a.shape[1]), 16),
            PRECISION=precision,
        )
    similarity, share = best.max(dim=1, keepdim=True)
    return index.gather(1, share).squeeze(1).long(), similarity.squeeze(1)


def _shares(a: Tensor, blocks: int, tiles: int) -> int:
    if not a.is_cuda:
        return 1
    processors = torch.cuda.get_device_properties(a.device).multi_processor_count
    wanted: int = triton.cdiv(_PROGRAMS_PER_PROCESSOR * processors, blocks)
    return max(1, min(wanted, tiles // _LEAST_TILES))


@triton.jit  # type: ignore[untyped-decorator]
def _best_of_share(
    a: tl.tensor,
    b: tl.tensor,
    best: tl.tensor,
    index: tl.tensor,
    num_a: tl.tensor,
    num_b: tl.tensor,
    depth: tl.tensor,
    tiles: tl.tensor,
    a_row_step: tl.tensor,
    a_step: tl.tensor,
    b_row_step: tl.tensor,
    b_step: tl.tensor,
    QUERIES: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """Best of one share of the base, `tiles` tiles, for a block of queries."""
    rows = tl.program_id(0).to(tl.int64) * QUERIES + tl.arange(0, QUERIES)
    columns = tl.arange(0, COLUMNS)
    channels = tl.arange(0, DEPTH)
    queries = tl.load(
        a + rows[:, None] * a_row_step + channels[None, :] * a_step,
        mask=(rows < num_a)[:, None] & (channels < depth)[None, :],
        other=0.0,
    )
    first_tile = tl.program_id(1) * tiles
    running = tl.full((QUERIES, COLUMNS), float("-inf"), tl.float32)
    origin = tl.zeros((QUERIES, COLUMNS), tl.int32)
    for tile in range(first_tile, first_tile + tiles):
        found = columns.to(tl.int64) + tile * COLUMNS
        base = tl.load(
            b + found[None, :] * b_row_step + channels[:, None] * b_step,
            mask=(found < num_b)[None, :] & (channels < depth)[:, None],
            other=0.0,
        )
        similarity = tl.dot(queries, base, input_precision=PRECISION, out_dtype=tl.float32)
        similarity = tl.where((found < num_b)[None, :], similarity, float("-inf"))
        # Strictly better, so that the first of equals stays.
        better = similarity > running
        running = tl.where(better, similarity, running)
        origin = tl.where(better, tile, origin)
    largest = tl.max(running, axis=1)
    position = origin * COLUMNS + columns[None, :]
    first = tl.min(tl.where(running == largest[:, None], position, 2147483647), axis=1)
    target = rows * tl.num_programs(1) + tl.program_id(1)
    tl.store(best + target, largest, mask=rows < num_a)
    tl.store(index + target, first, mask=rows < num_a)
