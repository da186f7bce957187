"""Transformer blocks of the encoder and of the decoder (CroCo v2 §3, DUSt3R §3.1).

Residual sums and layer norms keep the type of the norms' parameters, float32, while matrix products run in
the type of their own weights. With bf16 weights that is what autocast does, but no weight is cast in a call.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from kernels.rope2d import rope2d

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class SelfAttention(nn.Module):
    """Attention among the tokens of one photo, with rotary positions."""

    def __init__(self, dim: int, heads: int, rope_base: float) -> None:
        super().__init__()
        self.heads = heads
        self.rope_base = rope_base
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Args: x (B, N, D); positions (1, N, 2), row and column. Returns: (B, N, D)."""
        batch, tokens, dim = x.shape
        fused = self.qkv(x.to(self.qkv.weight.dtype))
        queries_keys, values = fused.split((2 * dim, dim), dim=-1)
        # Queries and keys turn by the same angles: one call for both, as twice as many heads.
        turned = rope2d(_split(queries_keys, 2 * self.heads), positions, base=self.rope_base)
        queries, keys = turned.chunk(2, dim=1)
        mixed = F.scaled_dot_product_attention(queries, keys, _split(values, self.heads))
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))  # type: ignore[no-any-return]


class CrossAttention(nn.Module):
    """Attention of one photo's tokens to the other photo's."""

    def __init__(self, dim: int, heads: int, rope_base: float) -> None:
        super().__init__()
        self.heads = heads
        self.rope_base = rope_base
        self.projq = nn.Linear(dim, dim)
        self.projk = nn.Linear(dim, dim)
        self.projv = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, y: Tensor, x_positions: Tensor, y_positions: Tensor) -> Tensor:
        """Args: x (B, N, D) asks y (B, M, D); positions (1, N, 2) and (1, M, 2). Returns: (B, N, D)."""
        batch, tokens, dim = x.shape
        x, y = x.to(self.projq.weight.dtype), y.to(self.projq.weight.dtype)
        queries = rope2d(_split(self.projq(x), self.heads), x_positions, base=self.rope_base)
        keys = rope2d(_split(self.projk(y), self.heads), y_positions, base=self.rope_base)
        mixed = F.scaled_dot_product_attention(queries, keys, _split(self.projv(y), self.heads))
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two layers with the exact (erf) GELU between them."""

    def __init__(self, dim: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, N, inputs). Returns: (B, N, outputs), of the type of the weights."""
        return self.fc2(F.gelu(self.fc1(x.to(self.fc1.weight.dtype))))  # type: ignore[no-any-return]


class EncoderBlock(nn.Module):
    """Self attention, then the MLP, each on normalised input and added to what came in."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, rope_base: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.attn = SelfAttention(dim, heads, rope_base)
        self.norm2 = LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio * dim, dim)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Args: x (B, N, D); positions (1, N, 2). Returns: (B, N, D), x unchanged."""
        x = x + self.attn(self.norm1(x), positions)
        x += self.mlp(self.norm2(x))
        return x


class DecoderBlock(nn.Module):
    """Self attention, attention to the other photo, then the MLP."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, rope_base: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.attn = SelfAttention(dim, heads, rope_base)
        self.norm_y = LayerNorm(dim)
        self.norm2 = LayerNorm(dim)
        self.cross_attn = CrossAttention(dim, heads, rope_base)
        self.norm3 = LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio * dim, dim)

    def forward(self, x: Tensor, y: Tensor, x_positions: Tensor, y_positions: Tensor) -> Tensor:
        """Args: x (B, N, D), y (B, M, D) of the other photo; positions. Returns: (B, N, D), x unchanged."""
        x = x + self.attn(self.norm1(x), x_positions)
        x += self.cross_attn(self.norm2(x), self.norm_y(y), x_positions, y_positions)
        x += self.mlp(self.norm3(x))
        return x


def _split(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads * C) as (B, heads, N, C), without a copy."""
    return x.view(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)
