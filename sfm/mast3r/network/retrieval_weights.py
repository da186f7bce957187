"""The weights of a retrieval head, as its checkpoint holds them."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class RetrievalHeadWeights:
    """Tensors and settings of a retrieval head over encoder tokens of D channels.

    The head whitens tokens, weighs each by the length of its projection, and may whiten the tokens again.
    Every part may be absent, which makes it the identity; a head without training has `prewhiten` alone.
    """

    prewhiten: tuple[torch.Tensor, torch.Tensor] | None
    """Mean m (1, D) and matrix p (D, D), float64: tokens become (x - m) @ p."""
    postwhiten: tuple[torch.Tensor, torch.Tensor] | None
    """The same for what leaves the projector, (1, E) and (E, E), float64."""
    projector: dict[str, torch.Tensor]
    """Float32, named "0.weight", "0.bias", "1.weight" ...: the first number is the place in the sequence
    Linear (D -> h1), LayerNorm (h1), GELU, Linear (h1 -> h2) ... Empty when `hidden_dims` is."""
    hidden_dims: tuple[int, ...]
    """Output channels of each Linear of the projector."""
    residual: bool
    """Whether the projector's input is added to its output."""
    nfeat: int | float
    """Local features kept a photo: a number >= 1, or -f for the fraction 0 < f <= 1 of the tokens."""
    image_size: int = 512
    """Long side of the photos that the head was made for, px."""
    num_clusters: int | None = None
    """Words of the codebook that goes with the head; None where the file doesn't say."""

    @property
    def token_dim(self) -> int:
        """D, channels of the tokens that the head takes."""
        if self.prewhiten is not None:
            return self.prewhiten[1].shape[0]
        return self.projector["0.weight"].shape[1] if self.hidden_dims else self.descriptor_dim

    @property
    def descriptor_dim(self) -> int:
        """E, channels of the descriptors that it gives.

        Raises:
            ValueError: a head without any part, which takes whatever comes.
        """
        if self.hidden_dims:
            return self.hidden_dims[-1]
        whitening = self.postwhiten or self.prewhiten
        if whitening is None:
            raise ValueError("a retrieval head without any part")
        return whitening[1].shape[1]
