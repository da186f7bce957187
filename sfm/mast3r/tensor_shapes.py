"""Names and shapes of the tensors of a MASt3R checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .architecture import DPT_CHANNELS, FUSION_CHANNELS, LOCAL_FEATURE_RATIO, PATCH_SIZE, NetworkArchitecture

Shapes = dict[str, tuple[int, ...]]
"""Shape of each tensor by its name."""

ALIASES: Final[Mapping[str, str]] = {
    f"downstream_head{head}.dpt.scratch.layer_rn.{i}.weight": (
        f"downstream_head{head}.dpt.scratch.layer{i + 1}_rn.weight"
    )
    for head in (1, 2)
    for i in range(4)
}
"""Second names under which checkpoints hold the same tensors; a file may have either name or both."""


def expected_shapes(architecture: NetworkArchitecture) -> Shapes:
    """Names and shapes of every tensor of a checkpoint with this network, second names (`ALIASES`) included.

    A few belong to checkpoints although inference never reads them: `mask_token`, and `resConfUnit1` of the
    coarsest fusion.
    """
    a = architecture
    shapes: Shapes = {
        "mask_token": (1, 1, a.decoder_dim),
        "patch_embed.proj.weight": (a.encoder_dim, 3, PATCH_SIZE, PATCH_SIZE),
        "patch_embed.proj.bias": (a.encoder_dim,),
    }
    for layer in range(a.encoder_depth):
        block = f"enc_blocks.{layer}"
        shapes |= _norms(block, a.encoder_dim, "norm1", "norm2")
        shapes |= _attention(f"{block}.attn", a.encoder_dim) | _mlp(
            f"{block}.mlp", a.encoder_dim, a.mlp_ratio
        )
    shapes |= _norms("", a.encoder_dim, "enc_norm")
    shapes |= _linear("decoder_embed", a.encoder_dim, a.decoder_dim)
    for branch in ("dec_blocks", "dec_blocks2"):
        for layer in range(a.decoder_depth):
            block = f"{branch}.{layer}"
            shapes |= _norms(block, a.decoder_dim, "norm1", "norm2", "norm3", "norm_y")
            shapes |= _attention(f"{block}.attn", a.decoder_dim)
            shapes |= _mlp(f"{block}.mlp", a.decoder_dim, a.mlp_ratio)
            for name in ("projq", "projk", "projv", "proj"):
                shapes |= _linear(f"{block}.cross_attn.{name}", a.decoder_dim, a.decoder_dim)
    shapes |= _norms("", a.decoder_dim, "dec_norm")
    for head in ("downstream_head1", "downstream_head2"):
        shapes |= _dpt(f"{head}.dpt", a) | _local_features(f"{head}.head_local_features", a)
    return shapes | {alias: shapes[name] for alias, name in ALIASES.items()}


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _conv(name: str, inputs: int, outputs: int, side: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, side, side), f"{name}.bias": (outputs,)}


def _norms(parent: str, dim: int, *names: str) -> Shapes:
    prefix = f"{parent}." if parent else ""
    return {f"{prefix}{name}.{part}": (dim,) for name in names for part in ("weight", "bias")}


def _attention(name: str, dim: int) -> Shapes:
    return _linear(f"{name}.qkv", dim, 3 * dim) | _linear(f"{name}.proj", dim, dim)


def _mlp(name: str, dim: int, ratio: int) -> Shapes:
    return _linear(f"{name}.fc1", dim, ratio * dim) | _linear(f"{name}.fc2", ratio * dim, dim)


def _local_features(name: str, a: NetworkArchitecture) -> Shapes:
    inputs = a.encoder_dim + a.decoder_dim
    hidden = LOCAL_FEATURE_RATIO * inputs
    outputs = a.local_feature_channels * PATCH_SIZE**2
    return _linear(f"{name}.fc1", inputs, hidden) | _linear(f"{name}.fc2", hidden, outputs)


def _dpt(name: str, a: NetworkArchitecture) -> Shapes:
    shapes: Shapes = {}
    for i, channels in enumerate(DPT_CHANNELS):
        inputs = a.encoder_dim if i == 0 else a.decoder_dim
        shapes |= _conv(f"{name}.act_postprocess.{i}.0", inputs, channels, 1)
        side = (4, 2, None, 3)[i]
        if side:
            shapes |= _conv(f"{name}.act_postprocess.{i}.1", channels, channels, side)
        shapes[f"{name}.scratch.layer{i + 1}_rn.weight"] = (FUSION_CHANNELS, channels, 3, 3)
        refine = f"{name}.scratch.refinenet{i + 1}"
        shapes |= _conv(f"{refine}.out_conv", FUSION_CHANNELS, FUSION_CHANNELS, 1)
        for unit in ("resConfUnit1", "resConfUnit2"):
            for conv in ("conv1", "conv2"):
                shapes |= _conv(f"{refine}.{unit}.{conv}", FUSION_CHANNELS, FUSION_CHANNELS, 3)
    half = FUSION_CHANNELS // 2
    return (
        shapes
        | _conv(f"{name}.head.0", FUSION_CHANNELS, half, 3)
        | _conv(f"{name}.head.2", half, half, 3)
        | _conv(f"{name}.head.4", half, 4, 1)
    )
