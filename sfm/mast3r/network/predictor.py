"""What pair inference asks of the network; the oracle of the tests answers the same questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..values import WindowMap


@dataclass(frozen=True, slots=True)
class NetworkPhoto:
    """A photo as the network sees it: resized, cropped, normalised."""

    name: str
    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB, H and W multiples of 16; the network normalises to [-1, 1] itself."""
    window: WindowMap | None = None
    """Where the pixels lie in the upright photo, when they are a window of it and not the whole photo; the
    network doesn't ask."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), px of the network's image."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, slots=True)
class EncodedPhoto:
    """A photo after the encoder, which runs once a photo."""

    name: str
    tokens: torch.Tensor
    """(N, D), N = (H / 16) * (W / 16) in row-major order; as the encoder gave them, or in `token_dtype`."""
    size: tuple[int, int]
    """(H, W), px of the network's image."""
    window: WindowMap | None = None
    """As in `NetworkPhoto`."""


class DecodedPairs(Protocol):
    """One direction of a batch of pairs after the decoder, kept until it is known which heads are wanted.

    View 1 and view 2 are the first and the second photo of each pair; both views' points are in the camera
    frame of view 1.
    """

    @property
    def has_descriptors(self) -> bool:
        """Whether there are descriptors; else pixels are matched by their points."""

    def descriptors(self, view: int, rows: Sequence[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Descriptors (B, H, W, 24) of unit length and their confidence (B, H, W) > 0, float32.

        `rows` selects pairs of the batch; None takes all.
        """

    def points(self, view: int, rows: Sequence[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (B, H, W, 3) in the camera frame of view 1 (metres with metric weights) and their confidence
        (B, H, W) > 1, float32.
        """


class PairPredictor(Protocol):
    """A network with its weights on a device, or a double of one."""

    @property
    def key(self) -> str:
        """Identity of the weights, for names of cached results."""

    @property
    def device(self) -> torch.device:
        """Where `decode` wants its tokens."""

    @property
    def token_dtype(self) -> torch.dtype:
        """What tokens may be kept in for `decode`: the type of its arithmetic."""

    @property
    def has_descriptors(self) -> bool:
        """Whether pixels are matched by descriptors; else by their points."""

    @property
    def is_metric(self) -> bool:
        """Whether points are meant to be in metres."""

    @property
    def retrieval_size(self) -> int | None:
        """Longer side of the images whose tokens `retrieval_features` is made for, px; None for any."""

    def encode(self, photos: Sequence[NetworkPhoto]) -> torch.Tensor:
        """Tokens (B, N, D) of photos of one size."""

    def decode(self, first: Sequence[EncodedPhoto], second: Sequence[EncodedPhoto]) -> DecodedPairs:
        """One direction of B pairs; all first photos have one size, all second photos have one size.

        Raises:
            torch.OutOfMemoryError: the batch is too large for the device.
        """

    def retrieval_features(self, photo: EncodedPhoto, count: int | None = None) -> NDArray[np.float32]:
        """The strongest local descriptors (n, D) for retrieval, strongest first.

        Args:
            photo: with tokens as the encoder gave them: whitening makes loud what rounding leaves across the
                plane that normalised tokens lie in.
            count: n at most; None takes as many as the head was made for.
        """
