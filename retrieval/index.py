"""The native engine: an ASMK inverted file that grows by appending and answers for names or descriptors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.asmk import Postings, Queries, asmk_scores, asmk_top_k, largest

from . import index_file
from .asmk import aggregate, code_bits, concatenated, empty_codes, inverse_norms, laid_out
from .codebook import Codebook, Descriptors
from .engine import Hit, Neighbours, refuse_known
from .errors import RetrievalError
from .scene_graph import Pair


@dataclass(frozen=True, slots=True)
class AsmkOptions:
    """How images are described; equal for all images of an index."""

    multiple_assignment: int = 1
    """Words that a descriptor of a query counts for; images that are searched use one."""
    binary: bool = True
    alpha: float = 3.0
    """Selectivity: exponent of the similarity of two codes."""


class RetrievalIndex:
    """Images that can be asked for their look-alikes.

    With multiple assignment above 1 a score depends on which image asks, since the asking image is described
    by more words; `similarity` is the mean of both directions. An image without descriptors stays in the
    index and is never found.
    """

    def __init__(self, codebook: Codebook, options: AsmkOptions) -> None:
        self.codebook = codebook
        self.options = options
        self._names: tuple[str, ...] = ()
        self._positions: dict[str, int] = {}
        self._queries = aggregate(codebook, [], [1], binary=options.binary)[0]
        self._postings = Postings(
            np.zeros(len(codebook) + 1, np.int64),
            np.empty(0, np.int32),
            empty_codes(codebook.dim, options.binary),
            np.empty(0),
            code_bits(codebook.dim),
        )

    @classmethod
    def build(
        cls,
        codebook: Codebook,
        descriptors: Mapping[str, Descriptors],
        *,
        multiple_assignment: int = 1,
        binary: bool = True,
    ) -> RetrievalIndex:
        """An index of these images, (n, d) float32 descriptors each, n may be 0.

        Raises:
            RetrievalError: descriptors that do not fit the codebook, NaN or infinity.
        """
        index = cls(codebook, AsmkOptions(multiple_assignment, binary))
        index.add(descriptors)
        return index

    @property
    def names(self) -> tuple[str, ...]:
        """All images, in the order in which they were added."""
        return self._names

    def __len__(self) -> int:
        return len(self._names)

    def add(self, descriptors: Mapping[str, Descriptors]) -> None:
        """Append images; the index equals one built from all images at once.

        Raises:
            RetrievalError: a name that is already there, or descriptors that cannot be used.
        """
        refuse_known(self._positions.keys(), descriptors.keys())
        counts = sorted({1, self.options.multiple_assignment})
        codes = aggregate(self.codebook, list(descriptors.values()), counts, binary=self.options.binary)
        self._postings = _appended(self._postings, codes[0])
        self._queries = concatenated([self._queries, codes[-1]])
        self._set_names(chain(self._names, descriptors))

    def query(self, image: str | Descriptors, k: int, keep: Set[str] | None = None) -> list[Hit]:
        """The k best images, best first.

        Args:
            image: a name in the index (which is never its own hit), or (n, d) float32 descriptors.
            k: at most this many; only scores above 0 are returned.
            keep: only these names can be hits; None: all. Names that are not in the index are ignored.

        Raises:
            RetrievalError: an unknown name, or descriptors that cannot be used.
        """
        scores = self.scores(image)
        if isinstance(image, str):
            scores[self._positions[image]] = 0.0
        if keep is not None:
            dropped = np.ones(len(self), bool)
            dropped[[self._positions[name] for name in keep if name in self._positions]] = False
            scores[dropped] = 0.0
        return [Hit(self._names[i], float(scores[i])) for i in largest(scores, k)]

    def scores(self, image: str | Descriptors) -> NDArray[np.float64]:
        """(N,) scores of all images in order of `names`, the asking one included."""
        if isinstance(image, str):
            words, codes = self._words_of(self._position(image))
        else:
            counts = [self.options.multiple_assignment]
            query = aggregate(self.codebook, [image], counts, binary=self.options.binary)[0]
            words, codes = query.words, query.codes
        return asmk_scores(self._postings, words, codes, alpha=self.options.alpha)

    def all_neighbours(self, k: int, *, threads: int | None = None) -> Neighbours:
        """The k best other images of every image; k may exceed their number."""
        k = max(1, min(k, len(self) - 1))
        itself = np.arange(len(self))
        ids, scores = asmk_top_k(
            self._postings, self._queries, k, exclude=itself, alpha=self.options.alpha, threads=threads
        )
        return Neighbours(self._names, ids, scores)

    def similarity(self, pair: Pair) -> float:
        """Similarity of two images in [0, 1], the same whichever asks."""
        return float(self.similarities([pair])[0])

    def similarities(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """(len(pairs),) similarity of both images, mean of both directions.

        Raises:
            RetrievalError: an unknown name.
        """
        ends = np.array([(self._position(a), self._position(b)) for a, b in pairs], np.int64).reshape(-1, 2)
        result = np.zeros(len(ends))
        directions = (ends.T,) if self._symmetric else (ends.T, ends.T[::-1])
        for asking, asked in directions:
            order = np.argsort(asking, kind="stable")
            groups = np.flatnonzero(np.diff(asking[order], prepend=-1))
            for rows in np.split(order, groups[1:]) if len(order) else []:
                words, codes = self._words_of(int(asking[rows[0]]))
                scores = asmk_scores(self._postings, words, codes, alpha=self.options.alpha)
                result[rows] += scores[asked[rows]]
        return result / len(directions)

    def save(self, path: Path) -> None:
        """Write codebook and images to one safetensors file, all or nothing."""
        options = {
            "multiple_assignment": self.options.multiple_assignment,
            "binary": self.options.binary,
            "alpha": self.options.alpha,
        }
        index_file.save(path, self.codebook, self._names, self._postings, self._queries, options)

    @classmethod
    def load(cls, path: Path) -> RetrievalIndex:
        """Read what `save` wrote.

        Raises:
            RetrievalError: missing, damaged or foreign file.
        """
        stored = index_file.load(path)
        index = cls(stored.codebook, AsmkOptions(**stored.options))
        index._postings, index._queries = stored.postings, stored.queries
        index._set_names(stored.names)
        return index

    def _set_names(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._positions = {name: i for i, name in enumerate(self._names)}

    @property
    def _symmetric(self) -> bool:
        """Whether both images of a pair give the same score."""
        return self.options.multiple_assignment == 1

    def _position(self, name: str) -> int:
        try:
            return self._positions[name]
        except KeyError:
            raise RetrievalError(f"not in the index: {name}") from None

    def _words_of(self, position: int) -> tuple[NDArray[np.int32], NDArray[np.uint64] | NDArray[np.float32]]:
        part = slice(self._queries.offsets[position], self._queries.offsets[position + 1])
        return self._queries.words[part], self._queries.codes[part]


def _appended(postings: Postings, images: Queries) -> Postings:
    """The inverted file with more images, numbered on from the last; linear in its size."""
    num_words = len(postings.offsets) - 1
    counts = np.diff(images.offsets)
    old_words = np.repeat(np.arange(num_words, dtype=np.int32), np.diff(postings.offsets))
    words = np.concatenate([old_words, images.words])
    owners = np.repeat(np.arange(len(images), dtype=np.int32) + len(postings.inverse_norms), counts)
    order = np.argsort(words, kind="stable")  # the old part is sorted already, images ascend
    codes = np.concatenate([postings.codes, images.codes]).take(order, axis=0)
    return Postings(
        np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(words, minlength=num_words))]),
        np.concatenate([postings.images, owners]).take(order),
        laid_out(codes),
        np.concatenate([postings.inverse_norms, inverse_norms(counts)]),
        postings.num_bits,
    )
