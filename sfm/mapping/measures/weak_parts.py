"""Parts of a model that few of its verified matches connect and more of them contradict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

import numpy as np
import scipy.sparse as sp

from retrieval import Pair

from .agreement import AGREED_PX
from .laplacian import second_eigenvector, weights_across
from .minimum_cuts import minimum_cuts
from .nested_parts import MIN_IMAGES, nested_parts

_MANY_IMAGES = 8  # fewer are not cut


def weakly_connected_parts(
    names: frozenset[str], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int]
) -> set[frozenset[str]]:
    """Parts that `spectral_cuts` and `minimum_cuts` find; see there for the arguments."""
    return {*spectral_cuts(names, errors_px, inliers), *minimum_cuts(names, errors_px, inliers)}


def spectral_cuts(
    names: Set[str], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int]
) -> Iterator[frozenset[str]]:
    """Parts with more contradicting than agreeing matches across their border, each before its own parts.

    Args:
        names: images of a model.
        errors_px: median distance to the epipolar lines of each verified pair within it.
        inliers: matches of each of these pairs.
    """

    def cut(images: list[str]) -> frozenset[str]:
        part, agree, contradict = _weakest_cut(images, errors_px, inliers)
        return part if contradict > agree else frozenset()

    return nested_parts(names, cut, min_images=_MANY_IMAGES)


def _weakest_cut(
    names: Sequence[str], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int]
) -> tuple[frozenset[str], int, int]:
    """The part with most contradicting matches per agreeing match across its border, and both counts.

    The second eigenvector of the normalised Laplacian of the agreeing pairs orders the images. Each cut of
    this order is a candidate (Shi and Malik 2000, "Normalized Cuts and Image Segmentation").
    """
    index = {name: i for i, name in enumerate(names)}
    pairs = [pair for pair in errors_px if pair.a in index and pair.b in index]
    ends = np.array([(index[pair.a], index[pair.b]) for pair in pairs], np.int64).reshape(-1, 2)
    weight = np.array([inliers[pair] for pair in pairs], float)
    agrees = np.array([errors_px[pair] <= AGREED_PX for pair in pairs], bool)
    half = sp.csr_array((weight[agrees], tuple(ends[agrees].T)), shape=(len(names), len(names)))
    rank = np.argsort(np.argsort(second_eigenvector(half + half.T), kind="stable"))
    agree, contradict = (
        weights_across(rank[ends[chosen]], weight[chosen], len(names))[MIN_IMAGES - 1 : -MIN_IMAGES + 1]
        for chosen in (agrees, ~agrees)
    )
    best = int(np.argmax(contradict / np.maximum(agree, 1)))
    part = frozenset(name for name in names if rank[index[name]] < best + MIN_IMAGES)
    return part, round(agree[best]), round(contradict[best])
