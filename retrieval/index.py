"""The native engine: ASMK inverted files that grow by appending and answer for names or descriptors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.asmk import asmk_scores, asmk_top_k, largest, merged_best
from kernels.values import Best, Queries

from . import index_file
from .asmk import aggregate
from .codebook import Codebook, Descriptors
from .errors import RetrievalError
from .hits import Hit, Neighbours, refuse_known
from .index_file import AsmkOptions
from .scene_graph import Pair
from .segment import MAX_POSTINGS, Segment, build_segment, merged

__all__ = ["AsmkOptions", "RetrievalIndex"]


class RetrievalIndex:
    """Images that can be asked for similar images.

    With multiple assignment above 1 a score depends on which image asks, since the asking image is described
    by more words; `similarity` is the mean of both directions. An image without descriptors stays in the
    index and is never found.

    Images lie in segments that never change. Added images make a new segment, which is joined with earlier
    ones less than twice as large. So N images lie in at most log2(N) segments, each copied as often at most.
    """

    def __init__(self, codebook: Codebook, options: AsmkOptions, *, source: str = "") -> None:
        self.codebook = codebook
        self.options = options
        self.source = source
        """What the descriptors are (a backend's key): those of another source cannot be compared."""
        self._segments: tuple[Segment, ...] = ()
        self._names: tuple[str, ...] = ()
        self._positions: dict[str, int] = {}
        self._files: index_file.FileNames | None = None

    @classmethod
    def build(
        cls,
        codebook: Codebook,
        descriptors: Mapping[str, Descriptors],
        *,
        multiple_assignment: int = 1,
        binary: bool = True,
        source: str = "",
    ) -> RetrievalIndex:
        """An index of these images, (n, d) float32 descriptors each, n may be 0.

        Raises:
            RetrievalError: descriptors that do not fit the codebook, NaN or infinity.
        """
        index = cls(codebook, AsmkOptions(multiple_assignment, binary), source=source)
        index.add(descriptors)
        return index

    @property
    def names(self) -> tuple[str, ...]:
        """All images, in the order in which they were added."""
        return self._names

    def __len__(self) -> int:
        return len(self._names)

    @property
    def num_segments(self) -> int:
        """In how many segments the images lie."""
        return len(self._segments)

    def add(self, descriptors: Mapping[str, Descriptors]) -> None:
        """Append images; the index answers as one built from all images at once.

        Raises:
            RetrievalError: a name that is already there, or descriptors that cannot be used.
        """
        refuse_known(self._positions.keys(), descriptors.keys())
        if not descriptors:
            return
        added = build_segment(
            self.codebook,
            descriptors,
            multiple_assignment=self.options.multiple_assignment,
            binary=self.options.binary,
        )
        self._set_segments(_compact([*self._segments, added]))

    def query(self, image: str | Descriptors, k: int, keep: Set[str] | None = None) -> list[Hit]:
        """The k best images with a score above 0, best first.

        Args:
            image: a name in the index (which is never its own hit), or (n, d) float32 descriptors.
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
            return self._scores(self._query_of(self._position(image)))
        count, binary = self.options.multiple_assignment, self.options.binary
        return self._scores(aggregate(self.codebook, [image], count, binary=binary))

    def all_neighbours(self, k: int, *, threads: int | None = None, device: str | None = None) -> Neighbours:
        """The k best other images of every image; k may exceed their number.

        Args:
            threads: None: one for each core.
            device: a torch device; None takes CUDA where torch is in use and has it, else the CPU.

        Raises:
            RetrievalError: the index comes from a damaged file.
        """
        k = max(1, min(k, len(self) - 1))
        best: Best = (np.full((0, k), -1, np.int32), np.zeros((0, k)))
        first = 0
        for segment in self._segments:
            itself = np.arange(len(self)) - first
            itself[(itself < 0) | (itself >= len(segment))] = -1
            with self._damage_named():
                images, scores = asmk_top_k(
                    segment.postings,
                    (batch for asking in self._segments for batch in asking.batches()),
                    k,
                    exclude=itself,
                    alpha=self.options.alpha,
                    threshold=self.options.threshold,
                    threads=threads,
                    device=device,
                )
            images[images >= 0] += np.int32(first)
            best = (images, scores) if first == 0 else merged_best([best, (images, scores)], k)
            first += len(segment)
        return Neighbours(self._names, *best)

    def similarities(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """(len(pairs),) similarity of both images in [0, 1], mean of both directions.

        Raises:
            RetrievalError: an unknown name.
        """
        ends = np.array([(self._position(a), self._position(b)) for a, b in pairs], np.int64).reshape(-1, 2)
        result = np.zeros(len(ends))
        directions = (ends.T,) if self._symmetric else (ends.T, ends.T[::-1])
        for asking, asked in directions:
            order = np.argsort(asking, kind="stable")
            groups = np.flatnonzero(np.diff(asking[order], prepend=-1))
            for rows, scores in self._scores_of_groups(asking, np.split(order, groups[1:])):
                result[rows] += scores[asked[rows]]
        return result / len(directions)

    def save(self, folder: Path) -> None:
        """Write codebook and images to a folder; what lies there already from before is left as it is."""
        parts = (self.codebook, self.options, self.source, self._segments)
        self._files = index_file.save(folder.resolve(), *parts, self._files)

    @classmethod
    def load(cls, folder: Path, *, source: str | None = None) -> RetrievalIndex:
        """Open what `save` wrote. Codes stay on disk and are read where they are used.

        Raises:
            RetrievalError: missing, damaged or foreign files, or descriptors of another than the given
                source.
        """
        stored = index_file.load(folder.resolve())
        if source is not None and stored.source != source:
            raise RetrievalError(
                f"{folder}: holds descriptors of {stored.source or 'unknown source'}, not of {source}; "
                "build the index again"
            )
        index = cls(stored.codebook, stored.options, source=stored.source)
        index._set_segments(stored.segments)
        index._files = stored.files
        return index

    def _set_segments(self, segments: Sequence[Segment]) -> None:
        self._segments = tuple(segments)
        self._names = tuple(name for segment in segments for name in segment.names)
        self._positions = {name: i for i, name in enumerate(self._names)}

    @property
    def _symmetric(self) -> bool:
        return self.options.multiple_assignment == 1

    def _position(self, name: str) -> int:
        try:
            return self._positions[name]
        except KeyError:
            raise RetrievalError(f"not in the index: {name}") from None

    def _query_of(self, position: int) -> Queries:
        for segment in self._segments:
            if position < len(segment):
                with self._damage_named():
                    return segment.queries(position, position + 1)
            position -= len(segment)
        raise IndexError(position)

    def _scores(self, query: Queries) -> NDArray[np.float64]:
        words, codes = query.words, query.codes_of(0, 1)
        powers = {"alpha": self.options.alpha, "threshold": self.options.threshold}
        with self._damage_named():
            parts = [asmk_scores(part.postings, words, codes, **powers) for part in self._segments]
        return np.concatenate([np.empty(0), *parts])

    def _scores_of_groups(
        self, asking: NDArray[np.int64], groups: Sequence[NDArray[np.int64]]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:

        def score(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return self._scores(self._query_of(int(asking[rows[0]])))

        filled = [rows for rows in groups if len(rows)]
        threads = os.cpu_count() or 1
        with ThreadPoolExecutor(max_workers=threads) as pool:
            # a few at a time: each result has as many numbers as there are images
            for i in range(0, len(filled), 4 * threads):
                part = filled[i : i + 4 * threads]
                yield from zip(part, pool.map(score, part), strict=True)

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        """Damage that shows when codes are read from a file is an error that names it."""
        try:
            yield
        except RetrievalError:
            raise
        except ValueError as error:
            folder = self._files.folder if self._files else "index"
            raise RetrievalError(f"{folder}: {error}; delete it and run again") from error


def _compact(segments: list[Segment]) -> list[Segment]:
    """Join the last segments until each is at least twice as large as the one after it."""
    while len(segments) > 1:
        first, second = segments[-2:]
        total = len(first.rows) + len(second.rows)
        if len(first) >= 2 * len(second) or total > MAX_POSTINGS:
            break
        segments[-2:] = [merged(first, second)]
    return segments
