"""What an image index answers, whichever the engine."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .codebook import Descriptors
from .errors import RetrievalError
from .scene_graph import Pair


class Hit(NamedTuple):
    """One image that a query found: score in (0, 1], higher is more alike."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Each image's most similar other images.

    names: N images.
    ids: (N, k) int32 positions in `names`, best first, -1 where there are no more.
    scores: (N, k) float64 in [0, 1], 0 where the id is -1. Row i scores image i as the query.
    """

    names: tuple[str, ...]
    ids: NDArray[np.int32]
    scores: NDArray[np.float64]

    def hits(self, row: int) -> list[Hit]:
        """The neighbours of the image at position `row`."""
        found = zip(self.ids[row].tolist(), self.scores[row].tolist(), strict=True)
        return [Hit(self.names[image], score) for image, score in found if image >= 0]


class ImageIndex(Protocol):
    """Images that can be asked for similar images."""

    @property
    def names(self) -> tuple[str, ...]:
        """All images, in the order in which they were added."""

    def add(self, descriptors: Mapping[str, Descriptors]) -> None:
        """Append images; those already there stay as they are."""

    def query(self, image: str | Descriptors, k: int, keep: Set[str] | None = None) -> list[Hit]:
        """The k best other images, best first, of those in `keep` (None: all); only scores above 0."""

    def scores(self, image: str | Descriptors) -> NDArray[np.float64]:
        """(N,) scores of all images in order of `names`, the asking one included."""

    def all_neighbours(self, k: int, *, threads: int | None = None) -> Neighbours:
        """The k best other images of every image."""

    def similarities(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """(len(pairs),) similarity of both images, mean of both directions."""


def refuse_known(present: Set[str], added: Set[str]) -> None:
    """Refuse to add an image twice, whichever the engine.

    Raises:
        RetrievalError: a name that is already there.
    """
    known = sorted(present & added)
    if known:
        raise RetrievalError(f"already in the index: {known[0]} ({len(known)} in all)")
