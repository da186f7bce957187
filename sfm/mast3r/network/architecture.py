"""Sizes and output conventions that distinguish one MASt3R or DUSt3R network from another.

`model_call` reads them from a checkpoint; `tensor_shapes` tells which tensors such a checkpoint must hold.
"""

import math
from dataclasses import dataclass, field
from typing import Final, Literal

from sfm.errors import InputError

PATCH_SIZE: Final = 16
"""Pixels of a token's side; the point head's upsampling is tied to it."""
DPT_CHANNELS: Final = (96, 192, 384, 768)
"""Channels of the four hooked layers after reassembly, whatever the token width (DPT paper, ViT-Large)."""
FUSION_CHANNELS: Final = 256
LOCAL_FEATURE_RATIO: Final = 4
"""Hidden width of the descriptor head over its input width."""

_MAX_DIM, _MAX_DEPTH, _MAX_HEADS, _MAX_DESCRIPTOR, _MAX_RATIO = 4096, 64, 64, 256, 16


Head = Literal["catmlp+dpt", "dpt", "linear"]
"""MASt3R's, with descriptors; DUSt3R's, by the dense prediction transformer or one linear layer."""


class ArchitectureError(InputError):
    """A description of a network that cannot be understood or built."""


@dataclass(frozen=True, slots=True)
class NetworkArchitecture:
    """One network, up to its weights; the defaults are the official MASt3R, 688,638,856 parameters.

    Raises:
        ArchitectureError: sizes that do not fit each other, or that no real network has.
    """

    encoder_dim: int = 1024
    encoder_depth: int = 24
    encoder_heads: int = 16
    decoder_dim: int = 768
    decoder_depth: int = 12
    decoder_heads: int = 12
    mlp_ratio: int = 4
    descriptor_dim: int = 24
    """0 for DUSt3R's, which give points alone."""
    head: Head = "catmlp+dpt"
    two_confs: bool = True
    """Descriptors have a confidence of their own; else they share the points'."""
    rope_base: float = 100.0
    conf_floor: float = 1.0
    """Point confidence is floor + exp(raw)."""
    desc_conf_floor: float = 0.0
    """Descriptor confidence is floor + exp(raw)."""
    trained_px: int = field(default=0, compare=False)
    """Longer side of the images that it was trained on; 0 where its description does not say."""

    def __post_init__(self) -> None:
        for name, limit in (
            ("encoder_dim", _MAX_DIM),
            ("encoder_depth", _MAX_DEPTH),
            ("encoder_heads", _MAX_HEADS),
            ("decoder_dim", _MAX_DIM),
            ("decoder_depth", _MAX_DEPTH),
            ("decoder_heads", _MAX_HEADS),
            ("mlp_ratio", _MAX_RATIO),
            *([("descriptor_dim", _MAX_DESCRIPTOR)] if self.head == "catmlp+dpt" else []),
        ):
            value = getattr(self, name)
            if not 1 <= value <= limit:
                raise ArchitectureError(f"network description: {name} is {value}, must be 1 to {limit}")
        if self.head != "catmlp+dpt" and self.descriptor_dim:
            raise ArchitectureError(f"network description: head_type {self.head} gives no descriptors")
        for side in ("encoder", "decoder"):
            dim, heads = getattr(self, f"{side}_dim"), getattr(self, f"{side}_heads")
            if dim % (4 * heads):
                raise ArchitectureError(
                    f"network description: {side}_dim {dim} must be a multiple of 4 x {heads} heads, "
                    "because positions turn quarters of a head"
                )
        if self.decoder_depth <= 9 and self.head != "linear":
            raise ArchitectureError(
                f"network description: decoder_depth is {self.decoder_depth}, the point head needs 10 or more"
            )
        if not (1.0 < self.rope_base < math.inf):
            raise ArchitectureError(f"network description: RoPE base {self.rope_base} must be above 1")
        for name in ("conf_floor", "desc_conf_floor"):
            if not (0.0 <= getattr(self, name) < math.inf):
                raise ArchitectureError(f"network description: {name} must be 0 or more, and finite")

    @property
    def has_descriptors(self) -> bool:
        """Whether pixels get descriptors to be matched by; else they are matched by their points."""
        return self.head == "catmlp+dpt"

    @property
    def hooks(self) -> tuple[int, int, int, int]:
        """Layers that the point head reads: 0 is the encoder's output, k the output of decoder layer k."""
        depth = self.decoder_depth
        return 0, depth * 2 // 4, depth * 3 // 4, depth

    @property
    def local_feature_channels(self) -> int:
        """Channels a pixel of the descriptor head."""
        return self.descriptor_dim + int(self.two_confs)
