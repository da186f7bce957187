"""The reference engine: the `asmk` package (Tolias et al.) behind the interface of the native one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.asmk import largest

from .codebook import Codebook, Descriptors, check_descriptors
from .errors import MissingEngineError, RetrievalError
from .hits import Hit, Neighbours, refuse_known
from .scene_graph import Pair

try:
    from asmk import ASMKMethod
    from asmk.codebook import Codebook as AsmkCodebook
    from asmk.index import initialize_index
except ImportError as error:
    raise MissingEngineError("retrieval.engine=asmk needs a package: pip install asmk==0.1.1") from error


class ReferenceIndex:
    """Single-threaded and tens of times slower than the native engine; keeps all descriptors in memory."""

    def __init__(
        self,
        codebook: Codebook,
        *,
        multiple_assignment: int = 1,
        binary: bool = True,
        alpha: float = 3.0,
        threshold: float = 0.0,
    ) -> None:
        self._codebook = codebook
        self._descriptors: dict[str, Descriptors] = {}
        similarity = {"similarity_threshold": threshold, "alpha": alpha}
        self._method = _method(codebook, multiple_assignment, binary, similarity)

    @property
    def names(self) -> tuple[str, ...]:
        """All images, in the order in which they were added."""
        return tuple(self._descriptors)

    def add(self, descriptors: Mapping[str, Descriptors]) -> None:
        """Append images.

        Raises:
            RetrievalError: a name that is already there, or descriptors that cannot be used.
        """
        refuse_known(self._descriptors.keys(), descriptors.keys())
        arrays = [check_descriptors(array, self._codebook.dim) for array in descriptors.values()]
        none = np.empty((0, self._codebook.dim), np.float32)
        first, vectors = len(self._descriptors), np.concatenate([none, *arrays])
        self._descriptors.update(descriptors)
        if len(vectors) == 0:
            return
        owners = np.repeat(np.arange(first, first + len(arrays)), [len(array) for array in arrays])
        quantized = self._method.codebook.quantize(vectors, owners, multiple_assignment=1)
        self._method.inverted_file.add(*self._method.kernel.aggregate(*quantized))

    def query(self, image: str | Descriptors, k: int, keep: Set[str] | None = None) -> list[Hit]:
        """The k best other images, best first, of those in `keep` (None: all); only scores above 0."""
        scores, names = self.scores(image), self.names
        itself = image if isinstance(image, str) else None
        for i, name in enumerate(names):
            if name == itself or (keep is not None and name not in keep):
                scores[i] = 0.0
        return [Hit(names[i], float(scores[i])) for i in largest(scores, k)]

    def scores(self, image: str | Descriptors) -> NDArray[np.float64]:
        """(N,) scores of all images in order of `names`, the asking one included."""
        vectors = check_descriptors(self._of(image) if isinstance(image, str) else image, self._codebook.dim)
        scores = np.zeros(len(self._descriptors))
        if len(vectors):
            _, _, ranks, found = self._method.query_ivf(vectors, np.zeros(len(vectors), np.int64))
            scores[ranks[0]] = found[0]
        return scores

    def all_neighbours(self, k: int, *, threads: int | None = None) -> Neighbours:
        """The k best other images of every image; `threads` is ignored."""
        names, k = self.names, max(1, min(k, len(self._descriptors) - 1))
        ids, scores = np.full((len(names), k), -1, np.int32), np.zeros((len(names), k))
        for row, name in enumerate(names):
            own = self.scores(name)
            own[row] = 0.0
            best = largest(own, k)
            ids[row, : len(best)], scores[row, : len(best)] = best, own[best]
        return Neighbours(names, ids, scores)

    def similarities(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """(len(pairs),) similarity of both images, mean of both directions."""
        positions = {name: i for i, name in enumerate(self.names)}
        asked: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        for row, (a, b) in enumerate(pairs):
            asked[a].append((row, b))
            asked[b].append((row, a))
        result = np.zeros(len(pairs))
        for name, others in asked.items():
            scores = self.scores(name)  # one image's at a time: all of them would be N x N
            for row, other in others:
                result[row] += scores[positions[other]] / 2
            del scores
        return result

    def _of(self, name: str) -> Descriptors:
        try:
            return self._descriptors[name]
        except KeyError:
            raise RetrievalError(f"not in the index: {name}") from None


def _method(
    codebook: Codebook, multiple_assignment: int, binary: bool, similarity: Mapping[str, float]
) -> Any:
    """An ASMKMethod with our centroids and an empty inverted file."""
    params = {
        "index": {"gpu_id": None},
        "train_codebook": {"codebook": {"size": len(codebook)}},
        "build_ivf": {
            "kernel": {"binary": binary},
            "ivf": {"use_idf": False},
            "quantize": {"multiple_assignment": 1},
            "aggregate": {},
        },
        "query_ivf": {
            "quantize": {"multiple_assignment": min(multiple_assignment, len(codebook))},
            "aggregate": {},
            "search": {"topk": None},
            "similarity": dict(similarity),
        },
    }
    words = AsmkCodebook(initialize_index(gpu_id=None), size=len(codebook))
    words.index(codebook.centroids)
    method = ASMKMethod(params, {}, codebook=words)
    return method.add_ivf_builder(method.create_ivf_builder())
