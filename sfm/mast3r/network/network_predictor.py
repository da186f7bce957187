"""The network behind the interface of pair inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kernels.inference import inference
from sfm.errors import InputError

from .network import Mast3rNetwork, Size, ViewLayers
from .predictor import EncodedPhoto, NetworkPhoto
from .retrieval_head import RetrievalHead

_ROWS_ON_CPU, _ROWS_ON_DEVICE = 1, 8
"""Pairs whose heads run at once: their maps at full resolution would else be most of the memory."""


class NetworkPredictor:
    """A network with its weights on a device; implements `PairPredictor`.

    NaN and infinity, from damaged weights or from half precision, come out as they are.

    Attributes:
        key: identity of the weights, for names of cached results.
        allow_tf32: lets CUDA round float32 products to TF32, which is faster and about 1e-3 less exact.
    """

    def __init__(
        self,
        network: Mast3rNetwork,
        key: str,
        *,
        retrieval_head: RetrievalHead | None = None,
        allow_tf32: bool = False,
    ) -> None:
        self._network = network
        self._retrieval_head = retrieval_head.to(network.device) if retrieval_head else None
        self.key = key
        self.allow_tf32 = allow_tf32

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._network.device

    @property
    def token_dtype(self) -> torch.dtype:
        """The type of the decoder's arithmetic."""
        return self._network.decoder_embed.weight.dtype

    @property
    def has_descriptors(self) -> bool:
        """MASt3R's network has them, DUSt3R's has not."""
        return self._network.architecture.has_descriptors

    @property
    def is_metric(self) -> bool:
        """MASt3R's weights are, DUSt3R's are not."""
        return self._network.architecture.has_descriptors

    @property
    def retrieval_size(self) -> int | None:
        """Longer side of the images that the retrieval head was made for, px."""
        return self._retrieval_head.image_size if self._retrieval_head else None

    def encode(self, photos: Sequence[NetworkPhoto]) -> Tensor:
        """Tokens (B, N, D) float32 of photos of one size.

        Raises:
            ValueError: sides that are no multiples of 16 px, or photos of several sizes.
            torch.OutOfMemoryError: the batch is too large for the device.
        """
        pixels = torch.from_numpy(np.stack([photo.pixels for photo in photos])).to(self.device)
        # Looked up, so that every device gives what the CPU's division gives.
        levels = torch.arange(256, dtype=torch.float32).div_(255).sub_(0.5).div_(0.5).to(self.device)
        images = levels[pixels.int()].permute(0, 3, 1, 2)
        with self._running():
            return self._network.encode(images)

    def decode(self, first: Sequence[EncodedPhoto], second: Sequence[EncodedPhoto]) -> NetworkPairs:
        """One direction of B pairs; all first photos have one size, all second photos have one size.

        Raises:
            ValueError: several sizes, or as many first as second photos are not given.
            torch.OutOfMemoryError: the batch is too large for the device.
        """
        tokens1, size1 = self._stacked(first)
        tokens2, size2 = self._stacked(second)
        with self._running():
            return NetworkPairs(self, self._network.decode(tokens1, size1, tokens2, size2))

    def retrieval_features(self, photo: EncodedPhoto, count: int | None = None) -> NDArray[np.float32]:
        """The strongest local descriptors (n, E) for retrieval, strongest first.

        Args:
            photo: with tokens as `encode` gave them.
            count: n at most; None takes as many as the head's weights name.

        Raises:
            InputError: the predictor has no retrieval head.
        """
        if self._retrieval_head is None:
            raise InputError(
                "retrieval with the network's own features needs the weights of the retrieval head",
                hint="run `sfm weights` to see which file is missing",
            )
        with self._running():
            tokens = photo.tokens[None].to(self.device)
            features: NDArray[np.float32] = self._retrieval_head.local(tokens, count)[0][0].cpu().numpy()
        return features

    def _stacked(self, photos: Sequence[EncodedPhoto]) -> tuple[Tensor, Size]:
        sizes = {photo.size for photo in photos}
        if len(sizes) != 1:
            raise ValueError(f"decode: photos of one size expected, not of {len(sizes)}")
        return torch.stack([photo.tokens for photo in photos]).to(self.device), sizes.pop()

    def _running(self, *, allow_tf32: bool = False) -> AbstractContextManager[None]:
        return inference(self.device, allow_tf32=self.allow_tf32 or allow_tf32)


@dataclass(frozen=True, slots=True)
class NetworkPairs:
    """One direction of a batch of pairs after the decoder; implements `DecodedPairs`."""

    predictor: NetworkPredictor
    views: tuple[ViewLayers, ViewLayers]

    @property
    def has_descriptors(self) -> bool:
        """True with MASt3R's network, False with DUSt3R's."""
        return self.predictor._network.architecture.has_descriptors

    def descriptors(self, view: int, rows: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Descriptors (B, H, W, 24) of unit length and their confidence (B, H, W) > 0, float32."""
        return self._head(self.predictor._network.descriptors, view, rows)

    def points(self, view: int, rows: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Points (B, H, W, 3) in the camera frame of view 1 and their confidence (B, H, W) > 1, float32."""
        # TF32 is more exact than the 16 bits that the decoder may have rounded to, and 15 times faster.
        rounded = self.predictor.token_dtype.itemsize == 2
        return self._head(self.predictor._network.points, view, rows, allow_tf32=rounded)

    def _head(
        self,
        head: Callable[[int, ViewLayers], tuple[Tensor, Tensor]],
        view: int,
        rows: Sequence[int] | None,
        *,
        allow_tf32: bool = False,
    ) -> tuple[Tensor, Tensor]:
        if view not in (1, 2):
            raise ValueError(f"view must be 1 or 2, not {view}")
        layers = self.views[view - 1]
        chosen = list(range(len(layers)) if rows is None else rows)
        at_once = _ROWS_ON_CPU if self.predictor.device.type == "cpu" else _ROWS_ON_DEVICE
        parts = [chosen[i : i + at_once] for i in range(0, len(chosen), at_once)] or [[]]
        with self.predictor._running(allow_tf32=allow_tf32):
            answers = [
                head(view, layers.rows(torch.tensor(part, dtype=torch.int64, device=self.predictor.device)))
                for part in parts
            ]
        values, confidences = zip(*answers, strict=True)
        if len(answers) == 1:
            return values[0], confidences[0]
        return torch.cat(values), torch.cat(confidences)
