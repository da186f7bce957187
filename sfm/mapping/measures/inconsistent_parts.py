"""Parts of a model that observe little of what the images placed beside them observe.

Visual aliasing places images of one place beside those of another. Both then share the repeated surface and
little else: within each place points are observed again, between them few. The partition of the images by
these signed values is correlation clustering (Bansal et al. 2004) into two clusters at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh

from retrieval import Pair

from .agreement import AGREED_PX, CONTRADICTED_PX
from .nested_parts import nested_parts

_DENSE = 50  # images up to which all eigenvectors are computed
_NUM_STARTS = 3


def placement_log_odds(
    consistency: Mapping[Pair, float], errors_px: Mapping[Pair, float], probability: Mapping[Pair, float]
) -> dict[Pair, float]:
    """Log-odds that the images of a pair are rightly placed to each other.

    The consistency of the images, where it is known. Other verified pairs count less, since repeated
    structure agrees with the epipolar geometry of a wrong placement: by their probability, for or against it.

    Args:
        consistency: log-odds of pairs of a model (`photo_consistencies` or `repeatabilities`).
        errors_px: median distance to the epipolar lines of each verified pair within it.
        probability: that a pair is true; others count as true.
    """
    agreement = {
        pair: probability.get(pair, 1.0) * (1 if error <= AGREED_PX else -1)
        for pair, error in errors_px.items()
        if error <= AGREED_PX or error > CONTRADICTED_PX
    }
    return {**agreement, **consistency}


def inconsistent_parts(names: Set[str], log_odds: Mapping[Pair, float]) -> Iterator[frozenset[str]]:
    """Parts whose log-odds with the rest are negative in sum, each before its own parts.

    Args:
        names: images of a model.
        log_odds: of pairs within it (`placement_log_odds`); others count as 0.
    """
    return nested_parts(names, lambda images: _least_consistent_cut(images, log_odds))


def _least_consistent_cut(names: list[str], log_odds: Mapping[Pair, float]) -> frozenset[str]:
    """One side of the cut with the least sum across it; empty where no sum is negative.

    The signs of the leading eigenvectors are starts (Newman 2006, "Modularity and community structure in
    networks"), from which single images change sides while the sum falls.
    """
    index = {name: number for number, name in enumerate(names)}
    inside = {pair: value for pair, value in log_odds.items() if pair.a in index and pair.b in index}
    if not any(value < 0 for value in inside.values()):
        return frozenset()
    a, b = np.array([(index[pair.a], index[pair.b]) for pair in inside], np.int64).T
    half = sp.csr_array((np.array([*inside.values()]), (a, b)), shape=(len(names), len(names)))
    weights = sp.csr_array(half + half.T)
    least, best = 0.0, np.ones(len(names))
    for start in _leading_eigenvectors(weights).T:
        signs = _settled(weights, np.where(start >= 0, 1.0, -1.0))
        across = float(weights.sum() - signs @ (weights @ signs)) / 4
        if across < least:
            least, best = across, signs
    return frozenset(name for name in names if best[index[name]] < 0)


def _leading_eigenvectors(weights: sp.csr_array) -> NDArray[np.float64]:
    """Those of the largest eigenvalues, as columns, largest first."""
    count = weights.shape[0]
    if count <= _DENSE:
        return np.asarray(np.linalg.eigh(weights.toarray())[1][:, : -_NUM_STARTS - 1 : -1])
    start = np.random.default_rng(0).standard_normal(count)
    values, vectors = eigsh(weights, k=_NUM_STARTS, which="LA", v0=start)
    return np.asarray(vectors[:, np.argsort(-values)])


def _settled(weights: sp.csr_array, signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The signs, after as many single changes as lower the sum across the cut, the best one first."""
    settled = signs.copy()
    for _ in range(2 * len(settled)):
        kept = settled * (weights @ settled)
        worst = int(np.argmin(kept))
        if kept[worst] >= 0:
            break
        settled[worst] = -settled[worst]
    return settled
