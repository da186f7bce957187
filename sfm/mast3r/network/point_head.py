"""The head that regresses a 3D point and its confidence for every pixel.

Dense prediction transformer of Ranftl, Bochkovskiy and Koltun 2021 ("DPT", §3) over four of the network's
layers. Maps are channels-last throughout: tokens already lie so in memory, and convolutions are as fast.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .architecture import DPT_CHANNELS, FUSION_CHANNELS, NetworkArchitecture


class PointHead(nn.Module):
    """Four layers of tokens to raw points and confidence."""

    def __init__(self, architecture: NetworkArchitecture) -> None:
        super().__init__()
        encoder, decoder = architecture.encoder_dim, architecture.decoder_dim
        finest, fine, coarse, coarsest = DPT_CHANNELS
        self.act_postprocess = nn.ModuleList(
            (
                nn.Sequential(nn.Conv2d(encoder, finest, 1), nn.ConvTranspose2d(finest, finest, 4, stride=4)),
                nn.Sequential(nn.Conv2d(decoder, fine, 1), nn.ConvTranspose2d(fine, fine, 2, stride=2)),
                nn.Sequential(nn.Conv2d(decoder, coarse, 1)),
                nn.Sequential(
                    nn.Conv2d(decoder, coarsest, 1), nn.Conv2d(coarsest, coarsest, 3, stride=2, padding=1)
                ),
            )
        )
        self.scratch = _Scratch()
        half = FUSION_CHANNELS // 2
        self.head = nn.Sequential(
            nn.Conv2d(FUSION_CHANNELS, half, 3, padding=1),
            nn.UpsamplingBilinear2d(scale_factor=2),
            nn.Conv2d(half, half, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, 4, 1),
        )

    def forward(self, layers: tuple[Tensor, ...], grid: tuple[int, int]) -> Tensor:
        """Raw outputs, before any exponential.

        Args:
            layers: four of (B, N, D), finest first: the encoder's output, then three of the decoder's.
            grid: rows and columns of tokens, N = h * w.

        Returns:
            (B, 4, 16 h, 16 w): x, y, z, confidence; of the type of the weights.
        """
        dtype = self.scratch.layer1_rn.weight.dtype
        maps = [
            project(layer.to(dtype).transpose(1, 2).view(len(layer), layer.shape[2], *grid))
            for project, layer in zip(self.act_postprocess, layers, strict=True)
        ]
        raw: Tensor = self.head(self.scratch(maps))
        return raw


class _Scratch(nn.Module):
    """Fusion of the four maps from coarse to fine; the name is the checkpoints'."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1_rn, self.layer2_rn, self.layer3_rn, self.layer4_rn = (
            nn.Conv2d(channels, FUSION_CHANNELS, 3, padding=1, bias=False) for channels in DPT_CHANNELS
        )
        self.refinenet1, self.refinenet2, self.refinenet3 = (_Fusion(skip=True) for _ in range(3))
        self.refinenet4 = _Fusion(skip=False)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(B, 256, 8 h, 8 w) from maps of 4, 2, 1 and half (rounded up) times the grid."""
        finest, fine, coarse, coarsest = maps
        coarse = self.layer3_rn(coarse)
        path = self.refinenet4(self.layer4_rn(coarsest))
        # Half of an odd grid is rounded up, so that twice the half has a row or column too many.
        path = path[..., : coarse.shape[-2], : coarse.shape[-1]]
        path = self.refinenet3(path, coarse)
        path = self.refinenet2(path, self.layer2_rn(fine))
        fused: Tensor = self.refinenet1(path, self.layer1_rn(finest))
        return fused


class _Fusion(nn.Module):
    """Adds the skip connection, refines, and doubles the resolution."""

    def __init__(self, skip: bool) -> None:
        super().__init__()
        if skip:
            self.resConfUnit1 = _Residual()
        self.resConfUnit2 = _Residual()
        self.out_conv = nn.Conv2d(FUSION_CHANNELS, FUSION_CHANNELS, 1)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """(B, 256, h, w), and the skip connection alike, to (B, 256, 2 h, 2 w)."""
        if skip is not None:
            x = self.resConfUnit1(skip).add_(x)
        # The paper projects after upsampling. Both are linear and the interpolation's weights sum to 1, so
        # they commute, and this order is a quarter of the work.
        x = self.out_conv(self.resConfUnit2(x))
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(FUSION_CHANNELS, FUSION_CHANNELS, 3, padding=1)
        self.conv2 = nn.Conv2d(FUSION_CHANNELS, FUSION_CHANNELS, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x plus two convolutions of it; x is unchanged."""
        out: Tensor = self.conv2(F.relu_(self.conv1(F.relu(x))))
        return out.add_(x)


def points_and_confidence(raw: Tensor, conf_floor: float) -> tuple[Tensor, Tensor]:
    """Points and confidence from what the head regressed (DUSt3R §3.1, with MASt3R's exponential depth).

    Args:
        raw: (B, 4, H, W).
        conf_floor: confidence is this plus exp(raw).

    Returns:
        points (B, H, W, 3), in the direction of the raw vector v at distance exp(|v|) - 1, and confidence
        (B, H, W), at least float32.
    """
    raw = raw.to(torch.promote_types(raw.dtype, torch.float32)).permute(0, 2, 3, 1)
    vector = raw[..., :3]
    length = vector.norm(dim=-1, keepdim=True)
    return vector * (torch.expm1(length) / length.clamp(min=1e-8)), conf_floor + raw[..., 3].exp()
