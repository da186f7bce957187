"""Rotary position embedding over image rows and columns, of attention's queries and keys."""

import functools

import torch
from torch import Tensor

from kernels.dispatch import backend_for


def rope2d(x: Tensor, positions: Tensor, *, base: float = 100.0) -> Tensor:
    """Rotate the channels of every attention head by the row and the column of its token.

    Rotary embedding of Su et al. 2021 (eq. 34), once for each image axis as in CroCo v2 (§3.2): channels
    [0, C/2) turn with the row, [C/2, C) with the column. A half has D = C/2 channels: channel i pairs with
    i + D/2 and turns by position * base^(-2i/D), i = 0 .. D/2 - 1.

    Args:
        x: (B, heads, N, C), any floating type and any strides, C divisible by 4.
        positions: (B, N, 2) integer, (row, column) of each token on the patch grid; (1, N, 2) serves all B.
        base: wavelength base; 100 in the published MASt3R checkpoints.

    Returns:
        (B, heads, N, C) contiguous, of the type of `x`. Angles are float32 for every type of `x`; types
        narrower than float32 are rotated in float32 and rounded once.

    Raises:
        ValueError: C is not divisible by 4, or `positions` does not fit `x`.
    """
    if x.dim() != 4 or x.shape[-1] % 4:
        raise ValueError(f"rope2d: x is (B, heads, N, C) with C divisible by 4, not {tuple(x.shape)}")
    fits = positions.shape in {(x.shape[0], x.shape[2], 2), (1, x.shape[2], 2)}
    if not fits or positions.is_floating_point():
        raise ValueError(
            f"rope2d: positions are (B, N, 2) integers, not {tuple(positions.shape)} "
            f"{positions.dtype} for x of {tuple(x.shape)}"
        )
    frequencies = _frequencies(x.shape[-1] // 4, base, x.device)
    if x.dtype != torch.float64 and backend_for(x) == "triton":
        from kernels.rope2d_triton import rope2d_triton

        return rope2d_triton(x, positions, frequencies)
    return rope2d_torch(x, positions, frequencies)


def rope2d_torch(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    """The definition; every other version is tested against this one."""
    angles = (positions.float()[..., None] * frequencies).unsqueeze(1)
    if x.dtype == torch.float64:
        angles = angles.double()
    cos, sin = angles.cos(), angles.sin()
    # One copy of a view into fused projections is six times faster than four passes over its strides.
    wide = x.to(cos.dtype).contiguous()
    halves = (*x.shape[:-1], 2, 2, x.shape[-1] // 4)
    first, second = wide.view(halves).unbind(-2)
    out = torch.empty(x.shape, dtype=cos.dtype, device=x.device)
    out_first, out_second = out.view(halves).unbind(-2)
    torch.mul(first, cos, out=out_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out_second).addcmul_(first, sin)
    return out.to(x.dtype)


@functools.lru_cache(maxsize=16)
def _frequencies(quarter: int, base: float, device: torch.device) -> Tensor:
    """Radians (C/4,) that one step along an axis turns each pair of channels by."""
    # Kept across calls, so it must not belong to the inference mode of the first one. Computed on the CPU,
    # whose powers differ from those of a GPU in the last digit.
    with torch.inference_mode(False):
        steps = torch.arange(quarter, dtype=torch.float32, device="cpu") / quarter
        return (1.0 / base**steps).to(device)
