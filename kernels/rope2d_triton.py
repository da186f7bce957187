"""The rotary embedding in one pass over memory, in Triton; imported only where it runs."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TOKENS = 64


def rope2d_triton(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    """The same as `rope2d_torch`, for types up to float32; numbers are rotated in float32, rounded once."""
    batch, heads, tokens, channels = x.shape
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if not out.numel():
        return out
    quarter = channels // 4
    shared = 0 if len(positions) == 1 else positions.stride(0)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        _rotate[(batch * heads, triton.cdiv(tokens, _TOKENS))](
            x,
            positions,
            frequencies,
            out,
            heads,
            tokens,
            quarter,
            *x.stride(),
            shared,
            *positions.stride()[1:],
            TOKENS=_TOKENS,
            QUARTER=triton.next_power_of_2(quarter),
        )
    return out


@triton.jit  # type: ignore[untyped-decorator]
def _rotate(
    x: tl.tensor,
    positions: tl.tensor,
    frequencies: tl.tensor,
    out: tl.tensor,
    num_heads: tl.tensor,
    num_tokens: tl.tensor,
    quarter: tl.tensor,
    batch_step: tl.tensor,
    head_step: tl.tensor,
    token_step: tl.tensor,
    channel_step: tl.tensor,
    position_batch_step: tl.tensor,
    position_token_step: tl.tensor,
    position_axis_step: tl.tensor,
    TOKENS: tl.constexpr,
    QUARTER: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    batch, head = row // num_heads, row % num_heads
    tokens = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    channels = tl.arange(0, QUARTER)
    known = tokens < num_tokens
    wanted = known[:, None] & (channels < quarter)[None, :]
    frequency = tl.load(frequencies + channels, mask=channels < quarter, other=0.0)
    source = x + batch * batch_step + head * head_step + tokens[:, None] * token_step
    target = out + (row * num_tokens + tokens[:, None]) * (4 * quarter)
    where = positions + batch * position_batch_step + tokens * position_token_step
    for axis in tl.static_range(2):
        position = tl.load(where + axis * position_axis_step, mask=known, other=0).to(tl.float32)
        angle = position[:, None] * frequency[None, :]
        cos, sin = tl.cos(angle), tl.sin(angle)
        first = (2 * axis * quarter + channels)[None, :]
        second = first + quarter
        # Widened before any arithmetic, so that every type is rotated in float32.
        u = tl.load(source + first * channel_step, mask=wanted, other=0.0).to(tl.float32)
        v = tl.load(source + second * channel_step, mask=wanted, other=0.0).to(tl.float32)
        tl.store(target + first, (u * cos - v * sin).to(out.dtype.element_ty), mask=wanted)
        tl.store(target + second, (v * cos + u * sin).to(out.dtype.element_ty), mask=wanted)
