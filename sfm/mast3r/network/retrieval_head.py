"""Local and global descriptors for retrieval, from tokens that the encoder has computed anyway.

MASt3R-SfM (Duisterhof et al. 2024) §3.1: tokens are whitened, weighed by their length, and the strongest are
handed to ASMK.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from .retrieval_weights import RetrievalHeadWeights


class RetrievalHead:
    """A retrieval head over encoder tokens of D channels.

    Whitening runs in float64, on the CPU where the device has none (MPS).
    """

    def __init__(self, weights: RetrievalHeadWeights) -> None:
        self._weights = weights

    def to(self, device: torch.device) -> RetrievalHead:
        """The same head on a device."""
        w = self._weights
        wide = torch.device("cpu") if device.type == "mps" else device
        return RetrievalHead(
            RetrievalHeadWeights(
                prewhiten=_moved(w.prewhiten, wide),
                postwhiten=_moved(w.postwhiten, wide),
                projector={name: tensor.to(device) for name, tensor in w.projector.items()},
                hidden_dims=w.hidden_dims,
                residual=w.residual,
                nfeat=w.nfeat,
                image_size=w.image_size,
                num_clusters=w.num_clusters,
            )
        )

    @property
    def image_size(self) -> int:
        """Longer side of the images that the head was made for, px."""
        return self._weights.image_size

    def features(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Every token's descriptor and its weight.

        Args:
            tokens: (B, N, D), output of the encoder; half precision is widened first.

        Returns:
            descriptors (B, N, E) float32, not normalised, and attention (B, N) float32 >= 0.
        """
        x = _whiten(tokens.float(), self._weights.prewhiten)
        projected = self._project(x)
        if self._weights.residual:
            projected = projected + x
        return _whiten(projected, self._weights.postwhiten), projected.norm(dim=-1)

    def local(self, tokens: Tensor, count: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The strongest descriptors of each photo, strongest first.

        Args:
            tokens: (B, N, D).
            count: descriptors wanted, at most N are given; None takes the number that the weights name.

        Returns:
            descriptors (B, n, E), attention (B, n), both float32, and the rows (B, n) int64 of their tokens.
        """
        descriptors, attention = self.features(tokens)
        count = self._count(tokens.shape[1]) if count is None else min(count, tokens.shape[1])
        strongest, rows = attention.topk(count, dim=-1)
        return descriptors.gather(1, rows[..., None].expand(-1, -1, descriptors.shape[-1])), strongest, rows

    def pooled(self, tokens: Tensor) -> Tensor:
        """One descriptor a photo, (B, E) float32 of unit length: the weighted sum of all."""
        descriptors, attention = self.features(tokens)
        return F.normalize(torch.einsum("bn,bne->be", attention, descriptors), dim=-1)

    def _count(self, tokens: int) -> int:
        wanted = self._weights.nfeat
        return min(int(-wanted * tokens) if wanted < 0 else int(wanted), tokens)

    def _project(self, x: Tensor) -> Tensor:
        """Linear layers with a layer norm and a GELU between them, every third place of the sequence."""
        w = self._weights.projector
        places = range(0, 3 * len(self._weights.hidden_dims), 3)
        for place, following in pairwise((*places, None)):
            x = F.linear(x, w[f"{place}.weight"], w[f"{place}.bias"])
            if following is not None:
                norm = f"{place + 1}"
                x = F.gelu(F.layer_norm(x, x.shape[-1:], w[f"{norm}.weight"], w[f"{norm}.bias"], eps=1e-5))
        return x


def _whiten(x: Tensor, whitening: tuple[Tensor, Tensor] | None) -> Tensor:
    if whitening is None:
        return x
    mean, matrix = whitening
    return ((x.to(mean.device, mean.dtype) - mean) @ matrix).to(x.device, x.dtype)


def _moved(whitening: tuple[Tensor, Tensor] | None, device: torch.device) -> tuple[Tensor, Tensor] | None:
    return None if whitening is None else (whitening[0].to(device), whitening[1].to(device))
