"""Parts of a model that few of its verified matches hold, while more of them contradict how they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from retrieval import Pair

from .agreement import AGREED_PX

Ends = npt.NDArray[np.int64]
Vector = npt.NDArray[np.float64]

MIN_PHOTOS = 3  # of a part
_MANY_PHOTOS = 8  # fewer are not cut
_MAX_CUTS = 3  # of a part within a part


def spectral_cuts(
    names: Set[str], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int]
) -> Iterator[frozenset[str]]:
    """Parts across whose border more matches contradict the model than agree, parts of a part after it.

    Args:
        names: photos of a model.
        errors_px: median distance to the epipolar lines of each verified pair within it.
        inliers: matches of each of these pairs.
    """
    waiting = [(frozenset(names), 0)]
    while waiting:
        photos, depth = waiting.pop(0)
        if len(photos) < _MANY_PHOTOS or depth > _MAX_CUTS:
            continue
        part, agree, contradict = _weakest_cut(sorted(photos), errors_px, inliers)
        if contradict <= agree:
            continue
        rest = photos - part
        yield min(part, rest, key=lambda side: (len(side), min(side)))
        waiting += [(part, depth + 1), (rest, depth + 1)]


def _weakest_cut(
    names: Sequence[str], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int]
) -> tuple[frozenset[str], int, int]:
    """The part of these photos that is held least, and the matches across that agree and that contradict.

    The photos are put in order by the second eigenvector of the normalised Laplacian of the pairs that agree
    (Shi and Malik 2000, "Normalized Cuts and Image Segmentation"); of the cuts of this order it is the one
    with most contradicting matches for each that agrees.
    """
    place = {name: i for i, name in enumerate(names)}
    pairs = [pair for pair in errors_px if pair.a in place and pair.b in place]
    ends = np.array([(place[pair.a], place[pair.b]) for pair in pairs], np.int64).reshape(-1, 2)
    weight = np.array([inliers[pair] for pair in pairs], float)
    agrees = np.array([errors_px[pair] <= AGREED_PX for pair in pairs], bool)
    rank = np.argsort(np.argsort(_order(ends[agrees], weight[agrees], len(names)), kind="stable"))
    first, last = np.sort(rank[ends], axis=1).T
    sums = []
    for chosen in (agrees, ~agrees):
        change = np.zeros(len(names) + 1)
        np.add.at(change, first[chosen] + 1, weight[chosen])
        np.add.at(change, last[chosen] + 1, -weight[chosen])
        sums.append(np.cumsum(change)[MIN_PHOTOS : len(names) - MIN_PHOTOS + 1])
    agree, contradict = sums
    best = int(np.argmax(contradict / np.maximum(agree, 1)))
    part = frozenset(name for name in names if rank[place[name]] < best + MIN_PHOTOS)
    return part, round(agree[best]), round(contradict[best])


def _order(ends: Ends, weight: Vector, count: int) -> Vector:
    """(count,) the entries of the second eigenvector."""
    near = sp.csr_array((weight, (ends[:, 0], ends[:, 1])), shape=(count, count))
    near = near + near.T
    scale = sp.diags_array(1 / np.sqrt(np.maximum(near.sum(axis=1), 1e-9)))
    laplacian = sp.csc_array(sp.eye_array(count) - scale @ near @ scale)
    start = np.random.default_rng(0).random(count)
    _, vectors = eigsh(laplacian, k=2, sigma=-1e-3, v0=start)
    return np.asarray(vectors[:, 1])
