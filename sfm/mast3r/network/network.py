"""The MASt3R network (Leroy, Cabon and Revaud 2024), on DUSt3R's and CroCo v2's architecture.

Its parts are called one by one, because they are wanted at different times: the encoder once a photo, the
decoder once a pair and direction, and of the heads only those whose answer is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from .architecture import PATCH_SIZE, NetworkArchitecture
from .descriptor_head import DescriptorHead, descriptors_and_confidence, patches_to_pixels
from .layers import DecoderBlock, EncoderBlock, LayerNorm
from .point_head import PointHead, points_and_confidence

_POINT_CHANNELS = 4

Size = tuple[int, int]
"""(H, W) of an image, px."""


@dataclass(frozen=True, slots=True)
class ViewLayers:
    """What the heads read of one view."""

    layers: tuple[Tensor, Tensor, Tensor, Tensor]
    """(B, N, D) each: the encoder's output, two layers of the decoder, and its normalised last one."""
    size: Size

    def rows(self, rows: Tensor | slice) -> ViewLayers:
        """Some of the batch."""
        a, b, c, d = (layer[rows] for layer in self.layers)
        return ViewLayers((a, b, c, d), self.size)

    def __len__(self) -> int:
        return len(self.layers[0])


class Mast3rNetwork(nn.Module):
    """Encoder, two-branch decoder and heads; names of parameters are those of the checkpoints.

    Photos may be portrait or landscape, of any sides that are multiples of 16 px, and differ within a pair.
    Nothing checks for overflow: NaN or infinity in the weights or from half precision comes out as such.
    """

    def __init__(self, architecture: NetworkArchitecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        self.patch_embed = _PatchEmbedding(a.encoder_dim)
        self.enc_blocks = nn.ModuleList(
            EncoderBlock(a.encoder_dim, a.encoder_heads, a.mlp_ratio, a.rope_base)
            for _ in range(a.encoder_depth)
        )
        self.enc_norm = LayerNorm(a.encoder_dim)
        self.decoder_embed = nn.Linear(a.encoder_dim, a.decoder_dim)
        self.dec_blocks, self.dec_blocks2 = (
            nn.ModuleList(
                DecoderBlock(a.decoder_dim, a.decoder_heads, a.mlp_ratio, a.rope_base)
                for _ in range(a.decoder_depth)
            )
            for _ in range(2)
        )
        self.dec_norm = LayerNorm(a.decoder_dim)
        self.downstream_head1 = _Heads(a)
        self.downstream_head2 = _Heads(a)

    @classmethod
    def from_tensors(cls, architecture: NetworkArchitecture, tensors: Mapping[str, Tensor]) -> Mast3rNetwork:
        """A network that uses `tensors` as its weights, without copying but those of the convolutions.

        Args:
            architecture: of the network.
            tensors: by the names of a checkpoint; those that inference does not need are passed over.

        Raises:
            KeyError: a tensor is missing.
            RuntimeError: a tensor has another shape.
        """
        with torch.device("meta"):
            network = cls(architecture)
        network.load_state_dict({name: tensors[name] for name in network.state_dict()}, assign=True)
        for module in chain(network.downstream_head1.modules(), network.downstream_head2.modules()):
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                # A quarter faster than contiguous weights (CPU, 512 x 384).
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        return network.requires_grad_(False).eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.enc_norm.weight.device

    def set_precision(
        self,
        transformer: torch.dtype,
        *,
        descriptors: torch.dtype = torch.float32,
        points: torch.dtype = torch.float32,
    ) -> None:
        """Choose the type of matrix products and convolutions, converting weights in place.

        Norms, residual sums, the patch embedding and the final formulas stay in float32. Measured with random
        weights at 256 x 192: a bf16 transformer leaves descriptors at a mean cosine of 0.99998 to those of
        float32, and points within 1.3 % (root mean square); bf16 in both heads as well, 0.99997 and 2.6 %.

        Args:
            transformer: of the encoder's and the decoder's blocks.
            descriptors: of the descriptor head.
            points: of the point head.
        """
        blocks = chain(self.enc_blocks, self.dec_blocks, self.dec_blocks2, [self.decoder_embed])
        for module in (module for block in blocks for module in block.modules()):
            if isinstance(module, nn.Linear):
                module.to(transformer)
        for heads in (self.downstream_head1, self.downstream_head2):
            for name, head in heads.named_children():
                head.to(descriptors if name == "head_local_features" else points)

    def compile_blocks(self) -> None:
        """Compile the transformer's blocks with `torch.compile`; every block of a kind shares the code.

        Shapes are compiled one by one, because PyTorch 2.13 fails on the decoder with sizes left open. After
        eight of them (PyTorch's limit) further ones run uncompiled.
        """
        for block in chain(self.enc_blocks, self.dec_blocks, self.dec_blocks2):
            block.compile(dynamic=False)

    def encode(self, images: Tensor) -> Tensor:
        """Tokens of photos, which serve every pair that they are in.

        Args:
            images: (B, 3, H, W) in [-1, 1], H and W multiples of 16.

        Returns:
            (B, N, D), N = (H / 16) * (W / 16), row-major, normalised.

        Raises:
            ValueError: H or W is no positive multiple of 16.
        """
        height, width = images.shape[-2:]
        _check_size((height, width))
        x = self.patch_embed(images)
        positions = _positions((height, width), x.device)
        for block in self.enc_blocks:
            x = block(x, positions)
        tokens: Tensor = self.enc_norm(x)
        return tokens

    def decode(
        self, tokens1: Tensor, size1: Size, tokens2: Tensor, size2: Size
    ) -> tuple[ViewLayers, ViewLayers]:
        """Both branches of the decoder: what the heads of view 1 and of view 2 need.

        Args:
            tokens1: (B, N, D) of the first photos, whose camera frames the points will be in; any float type.
            size1: their size.
            tokens2: (B, M, D) of the second photos.
            size2: their size.

        Raises:
            ValueError: the tokens do not belong to photos of these sizes, or batches differ.
        """
        _check_tokens(tokens1, size1)
        _check_tokens(tokens2, size2)
        if len(tokens1) != len(tokens2):
            raise ValueError(f"decode: {len(tokens1)} first photos, {len(tokens2)} second photos")
        wide = self.dec_norm.weight.dtype
        tokens1, tokens2 = tokens1.to(wide), tokens2.to(wide)
        positions1, positions2 = _positions(size1, tokens1.device), _positions(size2, tokens2.device)
        narrow = self.decoder_embed.weight.dtype
        x1 = self.decoder_embed(tokens1.to(narrow)).to(wide)
        x2 = self.decoder_embed(tokens2.to(narrow)).to(wide)
        hooks = self.architecture.hooks
        kept1, kept2 = {0: tokens1}, {0: tokens2}
        for layer, (block1, block2) in enumerate(
            zip(self.dec_blocks, self.dec_blocks2, strict=True), start=1
        ):
            x1, x2 = (
                block1(x1, x2, positions1, positions2),
                block2(x2, x1, positions2, positions1),
            )
            if layer in hooks[:-1]:
                kept1[layer], kept2[layer] = x1, x2
        first, second, third, _ = hooks
        return (
            ViewLayers((kept1[first], kept1[second], kept1[third], self.dec_norm(x1)), size1),
            ViewLayers((kept2[first], kept2[second], kept2[third], self.dec_norm(x2)), size2),
        )

    def descriptors(self, view: int, layers: ViewLayers) -> tuple[Tensor, Tensor]:
        """Descriptors of one view, 1 or 2.

        Returns:
            descriptors (B, H, W, 24) of unit length and confidence (B, H, W) > 0, float32.

        Raises:
            ValueError: a network of DUSt3R's, which has none.
        """
        if not self.architecture.has_descriptors:
            raise ValueError("network: DUSt3R's gives no descriptors")
        a = self.architecture
        tokens = torch.cat((layers.layers[0], layers.layers[3]), dim=-1)
        pixels = patches_to_pixels(self._heads(view).head_local_features(tokens), _grid(layers.size))
        descriptors, confidence = descriptors_and_confidence(pixels, a.descriptor_dim, a.desc_conf_floor)
        if confidence is None:
            confidence = self.points(view, layers)[1]
        return descriptors, confidence

    def points(self, view: int, layers: ViewLayers) -> tuple[Tensor, Tensor]:
        """Points of one view, 1 or 2, in the camera frame of view 1.

        Returns:
            points (B, H, W, 3) and confidence (B, H, W) > 1, float32.
        """
        raw = self._heads(view).raw_points(layers)
        return points_and_confidence(raw, self.architecture.conf_floor)

    def _heads(self, view: int) -> _Heads:
        if view not in (1, 2):
            raise ValueError(f"view must be 1 or 2, not {view}")
        return self.downstream_head1 if view == 1 else self.downstream_head2


class _PatchEmbedding(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, PATCH_SIZE, stride=PATCH_SIZE)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, N, D), row-major."""
        return self.proj(images.to(self.proj.weight.dtype)).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


class _Heads(nn.Module):
    """The head or heads of one view."""

    def __init__(self, architecture: NetworkArchitecture) -> None:
        super().__init__()
        if architecture.head == "linear":
            self.proj = nn.Linear(architecture.decoder_dim, _POINT_CHANNELS * PATCH_SIZE**2)
        else:
            self.dpt = PointHead(architecture)
        if architecture.has_descriptors:
            self.head_local_features = DescriptorHead(architecture)

    def raw_points(self, layers: ViewLayers) -> Tensor:
        """(B, 4, H, W): x, y, z, confidence, before any exponential."""
        if hasattr(self, "dpt"):
            raw: Tensor = self.dpt(layers.layers, _grid(layers.size))
            return raw
        tokens = layers.layers[3].to(self.proj.weight.dtype)
        return patches_to_pixels(self.proj(tokens), _grid(layers.size)).permute(0, 3, 1, 2)


def _grid(size: Size) -> tuple[int, int]:
    return size[0] // PATCH_SIZE, size[1] // PATCH_SIZE


def _positions(size: Size, device: torch.device) -> Tensor:
    """(1, N, 2): row and column of each token."""
    rows, columns = (torch.arange(n, device=device) for n in _grid(size))
    return torch.cartesian_prod(rows, columns)[None]


def _check_size(size: Size) -> None:
    if min(size) < PATCH_SIZE or size[0] % PATCH_SIZE or size[1] % PATCH_SIZE:
        raise ValueError(
            f"network: photo of {size[1]} x {size[0]} px; sides must be multiples of {PATCH_SIZE}"
        )


def _check_tokens(tokens: Tensor, size: Size) -> None:
    _check_size(size)
    height, width = _grid(size)
    if tokens.shape[1] != height * width:
        raise ValueError(f"network: {tokens.shape[1]} tokens for a photo of {size[1]} x {size[0]} px")
