"""The head that gives every pixel a descriptor and a confidence in it (MASt3R §3.2)."""

import torch
from torch import Tensor

from .architecture import LOCAL_FEATURE_RATIO, PATCH_SIZE, NetworkArchitecture
from .layers import Mlp


class DescriptorHead(Mlp):
    """An MLP on each token's encoder and decoder output, which yields all pixels of its patch."""

    def __init__(self, architecture: NetworkArchitecture) -> None:
        dim = architecture.encoder_dim + architecture.decoder_dim
        outputs = architecture.local_feature_channels * PATCH_SIZE**2
        super().__init__(dim, LOCAL_FEATURE_RATIO * dim, outputs)


def patches_to_pixels(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, h * w, C * 16 * 16), channels of each patch first, to (B, 16 h, 16 w, C)."""
    batch, _, channels = tokens.shape
    height, width = grid
    patches = tokens.view(batch, height, width, channels // PATCH_SIZE**2, PATCH_SIZE, PATCH_SIZE)
    pixels = patches.permute(0, 1, 4, 2, 5, 3)
    return pixels.reshape(batch, height * PATCH_SIZE, width * PATCH_SIZE, channels // PATCH_SIZE**2)


def descriptors_and_confidence(
    pixels: Tensor, descriptor_dim: int, floor: float
) -> tuple[Tensor, Tensor | None]:
    """Unit descriptors (B, H, W, D) and confidence floor + exp(raw), or None where the head has none.

    Args:
        pixels: (B, H, W, D) or (B, H, W, D + 1), raw.
        descriptor_dim: D.
        floor: lower bound of the confidence.
    """
    pixels = pixels.to(torch.promote_types(pixels.dtype, torch.float32))
    raw = pixels[..., :descriptor_dim]
    descriptors = raw / raw.norm(dim=-1, keepdim=True)
    if pixels.shape[-1] == descriptor_dim:
        return descriptors, None
    return descriptors, floor + pixels[..., descriptor_dim].exp()
