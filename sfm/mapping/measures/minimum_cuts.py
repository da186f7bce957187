"""Minimum cuts between images whose own matches contradict the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from retrieval import Pair

from .agreement import AGREED_PX, CONTRADICTED_PX
from .nested_parts import MIN_IMAGES

_MOST_PAIRS = 100
_MOST_PARTS = 12


def minimum_cuts(
    names: frozenset[str], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int]
) -> Iterator[frozenset[str]]:
    """Parts that the fewest agreeing matches hold, of those that part the two images of a contradicted pair.

    Minimum cuts of the pairs that agree, by the number of their matches (scipy's `maximum_flow`), for the
    strongest pairs that do not; of each the cut nearest to either image. Each part once, the smaller side.

    Args:
        names: images of a model.
        errors_px: median distance to the epipolar lines of each verified pair within it.
        inliers: matches of each of these pairs.
    """
    order = sorted(names)
    place = {name: i for i, name in enumerate(order)}
    agreeing = [pair for pair, error in errors_px.items() if error <= AGREED_PX]
    if not agreeing:
        return
    a, b = np.array([(place[pair.a], place[pair.b]) for pair in agreeing], np.int32).T
    capacity = np.array([inliers[pair] for pair in agreeing], np.int32)
    network = sp.csr_array((capacity, (a, b)), shape=(len(order), len(order)))
    network = sp.csr_array(network + network.T)
    against = sorted(
        (pair for pair, error in errors_px.items() if error > CONTRADICTED_PX),
        key=lambda pair: (-inliers[pair], pair),
    )
    known: set[frozenset[str]] = set()
    for pair in against[:_MOST_PAIRS]:
        for side in _cuts(network, place[pair.a], place[pair.b]):
            part = frozenset(order[i] for i in side)
            part = min(part, names - part, key=lambda half: (len(half), min(half, default="")))
            if len(part) >= MIN_IMAGES and part not in known:
                known.add(part)
                yield part
        if len(known) >= _MOST_PARTS:
            return


def _cuts(network: sp.csr_array, source: int, sink: int) -> Iterator[set[int]]:
    """The side of the source of the minimum cut nearest to it, and of that nearest to the sink."""
    left = sp.csr_array(network - maximum_flow(network, source, sink).flow)
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    yield {*breadth_first_order(left, source, return_predecessors=False).tolist()}
    reaching = breadth_first_order(sp.csr_array(left.T), sink, return_predecessors=False)
    yield {*range(left.shape[0])} - {*reaching.tolist()}
