"""Visual words: centroids of local descriptors, trained with k-means, looked up exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import faiss
import numpy as np
from numpy.typing import NDArray

from .errors import RetrievalError
from .tensor_files import Array, expect, load_arrays, save_arrays

Descriptors = NDArray[np.float32]
"""(n, d) float32 local descriptors of one image."""

MIN_SIZE, MAX_SIZE = 64, 65536
_KIND = "retrieval codebook"
_ITERATIONS = 6
_FEWEST_FOR_MEANS = 3
"""Images from which on words are means of descriptors."""
_WORDS_PER_ROOT = 10.0
_SAMPLE_PER_WORD = 16
"""k-means sees at most this many descriptors a word; more does not move the centroids."""


@dataclass(frozen=True, slots=True)
class Codebook:
    """K visual words, (K, d) float32."""

    centroids: NDArray[np.float32]
    _index: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_centroids(self.centroids)
        index = faiss.IndexFlatL2(self.dim)
        index.add(np.ascontiguousarray(self.centroids))
        object.__setattr__(self, "_index", index)

    def __len__(self) -> int:
        return len(self.centroids)

    @property
    def dim(self) -> int:
        """Length of a descriptor."""
        return int(self.centroids.shape[1])

    def assign(self, descriptors: Descriptors, count: int = 1) -> NDArray[np.int64]:
        """The `count` nearest words (L2) of each descriptor, (n, min(count, K)) int64, nearest first.

        Raises:
            RetrievalError: descriptors of another length, or that are not finite.
        """
        checked = check_descriptors(descriptors, self.dim)
        count = min(count, len(self))
        if len(checked) == 0:
            return np.empty((0, count), np.int64)
        return cast(NDArray[np.int64], self._index.search(checked, count)[1])

    def save(self, path: Path) -> None:
        """Write the codebook as safetensors, all or nothing."""
        save_arrays(path, {"centroids": self.centroids}, _KIND, {})

    @classmethod
    def load(cls, path: Path) -> Codebook:
        """Read what `save` wrote.

        Raises:
            RetrievalError: missing, damaged or foreign file, or centroids that cannot be used.
        """
        return codebook_from(path, load_arrays(path, _KIND)[0])


def codebook_from(path: Path, arrays: Mapping[str, Array]) -> Codebook:
    """The codebook among the arrays of the file `path`.

    Raises:
        RetrievalError: no centroids, or some that cannot be used; names the file.
    """
    centroids = cast(NDArray[np.float32], expect(path, arrays, "centroids", np.float32, 2))
    try:
        return Codebook(centroids)
    except RetrievalError as error:
        raise RetrievalError(f"{path}: {error}") from error


def check_descriptors(descriptors: Descriptors, dim: int) -> Descriptors:
    """`descriptors` as C-contiguous (n, dim) float32.

    Raises:
        RetrievalError: another shape or type, NaN or infinity.
    """
    if descriptors.ndim != 2 or descriptors.shape[1] != dim or descriptors.dtype != np.float32:
        raise RetrievalError(
            f"descriptors must be (n, {dim}) float32, not {descriptors.shape} {descriptors.dtype}"
        )
    if not np.isfinite(descriptors).all():
        raise RetrievalError("descriptors hold NaN or infinity")
    return np.ascontiguousarray(descriptors)


def codebook_size(num_descriptors: int) -> int:
    """Number of words that suits this many descriptors: 10 times the square root, within [64, 65536].

    Small collections want a word for about 15 descriptors; with more photos recall hardly depends on it,
    while the cost of k-means grows with it.
    """
    return int(np.clip(_WORDS_PER_ROOT * np.sqrt(num_descriptors), MIN_SIZE, MAX_SIZE))


def train_codebook(descriptors: Iterable[Descriptors], size: int | None = None, *, seed: int = 0) -> Codebook:
    """k-means (faiss, 6 iterations, L2) on a sample of a collection's descriptors.

    With fewer than three images, some of the descriptors themselves are the words. Residuals sum to zero
    around a mean, so the residuals of two images would be opposite, and the images as unlike as can be.

    Args:
        descriptors: (n, d) float32 of each image; empty ones are passed over.
        size: number of words; None chooses by the amount of data. Never more than there are descriptors.
        seed: of the sample and of k-means. Equal input, seed and thread count give equal words.

    Raises:
        RetrievalError: no descriptors at all, different lengths, NaN or infinity.
    """
    filled = [part for part in descriptors if len(part)]
    if not filled:
        raise RetrievalError("no descriptors to train a codebook on")
    dim = filled[0].shape[1]
    total = sum(len(part) for part in filled)
    size = min(size or codebook_size(total), total)
    checked = [check_descriptors(part, dim) for part in filled]
    if len(filled) < _FEWEST_FOR_MEANS:
        return Codebook(_sample(checked, size, seed))
    sample = _sample(checked, size * _SAMPLE_PER_WORD, seed)
    kmeans = faiss.Kmeans(
        dim,
        size,
        niter=_ITERATIONS,
        seed=seed,
        min_points_per_centroid=1,  # else faiss prints a warning for small collections
        max_points_per_centroid=_SAMPLE_PER_WORD,
        gpu=_num_gpus() > 0,
    )
    kmeans.train(sample)
    return Codebook(np.ascontiguousarray(kmeans.centroids, np.float32))


def _num_gpus() -> int:
    """GPUs that the installed faiss can use; faiss-cpu builds lack the function."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "get_num_gpus") else 0


def _sample(parts: list[Descriptors], limit: int, seed: int) -> Descriptors:
    """At most `limit` rows, drawn without repeats from all parts together, in their order."""
    total = sum(len(part) for part in parts)
    if total <= limit:
        return np.concatenate(parts)
    rows = np.sort(np.random.default_rng(seed).choice(total, size=limit, replace=False))
    starts = np.cumsum([0, *(len(part) for part in parts)])
    bounds = np.searchsorted(rows, starts)
    return np.concatenate(
        [part[rows[a:b] - s] for part, s, a, b in zip(parts, starts, bounds, bounds[1:], strict=False)]
    )


def _check_centroids(centroids: NDArray[np.float32]) -> None:
    if centroids.dtype != np.float32 or centroids.ndim != 2 or 0 in centroids.shape:
        raise RetrievalError(f"centroids must be (K, d) float32, not {centroids.shape} {centroids.dtype}")
    if not np.isfinite(centroids).all():
        raise RetrievalError("centroids hold NaN or infinity")
