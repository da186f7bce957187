"""The pair graphs of MASt3R-SfM, by the strings that name them, for comparison with it.

MASt3R-SfM (Duisterhof et al., 3DV 2025) §4.1 chooses key images by farthest-point sampling. It joins them
with each other, every other image with its nearest key image, and every image with its nearest neighbours.
Its demo also has windows over the capture order. Our own graphs are in `retrieval_graph.py`.

    complete                 every pair
    swin-K[-noncyclic]       each image with the K that follow it (default 3), past the end to the beginning
    logwin-K[-noncyclic]     each image with those 1, 2, 4, .. 2^(K-1) places on
    oneref[-R]               image R (0 by default) with every other
    retrieval-A-K            A key images, K nearest neighbours, the image itself counted among them

Each may end in -seqD, which keeps pairs at most D places apart, or in -cycD, the same past the end to the
beginning (the demo's prefilter): retrieval-20-10-seq30.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .errors import RetrievalError
from .scene_graph import Edge, Edges, Pair, Reason

IndexPair = tuple[int, int]
Similarity = NDArray[np.floating]

_REACH = re.compile(r"(seq|cyc)([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class PairGraph:
    """Pairs of images by their place in the list; each way round counts for itself, as in MASt3R-SfM."""

    pairs: dict[IndexPair, Reason]
    """Ordered pairs, each once. (a, b) and (b, a) may both occur; with more key images than images, so may a
    pair of an image with itself."""
    key_images: tuple[int, ...] = ()
    """In the order in which they were chosen."""

    def symmetric(self) -> list[IndexPair]:
        """All pairs, then each the other way round: what MASt3R-SfM infers, with its repetitions."""
        return [*self.pairs, *((b, a) for a, b in self.pairs)]

    def edges(self, names: Sequence[str], similarity: Similarity | None = None) -> Edges:
        """Each unordered pair of different images once, with its similarity where that is known."""
        edges: Edges = {}
        for (a, b), reason in self.pairs.items():
            if a != b:
                score = 0.0 if similarity is None else float(max(similarity[a, b], similarity[b, a]))
                edges.setdefault(Pair.of(names[a], names[b]), Edge(score, reason))
        return edges


def pair_graph(
    text: str,
    count: int,
    *,
    similarity: Similarity | None = None,
    seed: int = 0,
) -> PairGraph:
    """The graph that a string names.

    Args:
        text: one of the forms above.
        similarity: (N, N), row: who asks. For retrieval graphs; it need not be symmetric.
        seed: of the first key image; the same as in MASt3R-SfM with numpy's random numbers seeded by it.

    Raises:
        RetrievalError: a string that is none of these, or no fitting similarity.
    """
    kind, *fields = text.split("-")
    reach = _REACH.fullmatch(fields[-1]) if fields else None
    fields = fields[:-1] if reach else fields
    readers: dict[str, Callable[[], PairGraph]] = {
        "complete": lambda: _complete(text, count, fields),
        "swin": lambda: _windows(text, count, fields, lambda k: range(1, k + 1)),
        "logwin": lambda: _windows(text, count, fields, lambda k: (2**i for i in range(k))),
        "oneref": lambda: _one_reference(text, count, fields),
        "retrieval": lambda: _retrieval(text, count, fields, similarity, seed),
    }
    if kind not in readers:
        raise _unknown(text)
    graph = readers[kind]()
    return _filtered(graph, count, int(reach[2]), cyclic=reach[1] == "cyc") if reach else graph


def needs_similarity(text: str) -> bool:
    """Whether the graph that a string names depends on what the images look like."""
    return text.split("-")[0] == "retrieval"


def retrieval_graph(similarity: Similarity, key_images: int, neighbours: int, *, seed: int = 0) -> PairGraph:
    """Key images joined with each other, the rest with the nearest of them, and each image's neighbours.

    Args:
        similarity: (N, N), row: who asks; at most 1.
        key_images: how many, 0 for none. Above N the last ones repeat.
        neighbours: most similar images of each image, itself counted among them if it is.
        seed: of the first key image.
    """
    distance = 1.0 - np.asarray(similarity, np.float64)
    keys = _farthest_points(distance, key_images, seed) if key_images > 0 else []
    pairs = dict.fromkeys(combinations(keys, 2), Reason.ANCHOR)
    for image in range(len(distance)):
        if keys and image not in keys:
            nearest = keys[int(np.argmin(distance[image, keys]))]
            pairs.setdefault(_ascending(image, nearest), Reason.ANCHOR)
    for image in range(len(distance)):
        for other in np.argsort(distance[image], kind="stable")[:neighbours].tolist():
            if other != image:
                pairs.setdefault(_ascending(image, other), Reason.KNN)
    return PairGraph(pairs, tuple(keys))


def _farthest_points(distance: NDArray[np.float64], count: int, seed: int) -> list[int]:
    """Each key image is the one farthest from those before it, as they see it.

    Chosen images are not excluded: with more words for queries, an image's similarity to itself is below 1.
    """
    # the legacy generator on purpose: its draw is the one that the published pipeline makes
    keys = [int(np.random.RandomState(seed).choice(len(distance)))]
    nearest = distance[keys[0]].copy()
    while len(keys) < count:
        keys.append(int(np.argmax(nearest)))
        np.minimum(nearest, distance[keys[-1]], out=nearest)
    return keys


def _retrieval(
    text: str, count: int, fields: list[str], similarity: Similarity | None, seed: int
) -> PairGraph:
    if len(fields) != 2:
        raise _unknown(text)
    key_images, neighbours = (_number(text, field) for field in fields)
    if similarity is None or similarity.shape != (count, count):
        raise RetrievalError(f"pair graph {text!r} needs the similarities of all {count} images")
    if not np.isfinite(similarity).all():
        raise RetrievalError(f"pair graph {text!r}: similarities must be finite")
    if count == 0:
        return PairGraph({})
    return retrieval_graph(similarity, key_images, neighbours, seed=seed)


def _complete(text: str, count: int, fields: list[str]) -> PairGraph:
    if fields:
        raise _unknown(text)
    return PairGraph({(i, j): Reason.EXHAUSTIVE for i in range(count) for j in range(i)})


def _windows(text: str, count: int, fields: list[str], offsets: Callable[[int], Iterable[int]]) -> PairGraph:
    cyclic = fields[-1:] != ["noncyclic"]
    if not cyclic:
        fields = fields[:-1]
    if len(fields) > 1:
        raise _unknown(text)
    width = min(_number(text, fields[0]), count) if fields else 3
    ends = [
        (i, (i + offset) % count if cyclic else i + offset) for i in range(count) for offset in offsets(width)
    ]
    return PairGraph({_ascending(i, j): Reason.SEQUENCE for i, j in ends if i != j and j < count})


def _one_reference(text: str, count: int, fields: list[str]) -> PairGraph:
    reference = _number(text, fields[0]) if fields else 0
    if len(fields) > 1:
        raise _unknown(text)
    _check_reference(text, reference, count)
    return PairGraph({(reference, j): Reason.USER for j in range(count) if j != reference})


def check_pair_graph(text: str, count: int) -> None:
    """Refuse a graph that `count` images cannot have, before anything is known of them.

    Raises:
        RetrievalError: a reference image that there is not.
    """
    kind, *fields = text.split("-")
    if kind == "oneref" and fields and fields[0].isdigit():
        _check_reference(text, int(fields[0]), count)


def _check_reference(text: str, reference: int, count: int) -> None:
    if reference >= max(count, 1):
        raise RetrievalError(
            f"pair graph {text!r}: there is no photo {reference}; the {count} photos are numbered 0 to "
            f"{count - 1} in the order of their names"
        )


def _filtered(graph: PairGraph, count: int, reach: int, *, cyclic: bool) -> PairGraph:
    """The pairs at most `reach` places apart in the list, or in the circle that it closes to."""

    def apart(pair: IndexPair) -> int:
        direct = abs(pair[0] - pair[1])
        return min(direct, count - direct) if cyclic else direct

    return PairGraph({p: why for p, why in graph.pairs.items() if apart(p) <= reach}, graph.key_images)


def _ascending(a: int, b: int) -> IndexPair:
    return (a, b) if a < b else (b, a)


def _number(text: str, field: str) -> int:
    if not (field.isascii() and field.isdigit()) or len(field) > 9:
        raise _unknown(text)
    return int(field)


def _unknown(text: str) -> RetrievalError:
    return RetrievalError(
        f"pair graph {text!r} is none of complete, swin-K, logwin-K, oneref-R (windows also with -noncyclic) "
        "and retrieval-A-K, each also with -seqD or -cycD"
    )
