"""Parts of a model whose placement much of what is known contradicts.

Visual aliasing places images of one place beside those of another. Both then share the repeated surface and
little else: within each place points are observed again, between them few, and the true pairs between them
contradict the poses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set

import numpy as np
import scipy.sparse as sp

from retrieval import Pair

from .correlation_clustering import cluster_tree

_MIN_IMAGES = 3
_CONTRADICTED = 0.5
"""Smallest ratio of the log-odds against the placement of a part to those for it."""
_SUREST = 0.99
"""Largest probability of a pair: no pair decides alone."""


def log_odds_of_pairs(
    probability: Mapping[Pair, float], agreeing: Iterable[Pair], contradicting: Iterable[Pair]
) -> dict[Pair, float]:
    """Log-odds of placements by verified pairs, which count as independent.

    A pair that agrees with a wrong placement is false, and so is one that contradicts a right one.

    Args:
        probability: that a pair is true.
        agreeing: pairs that agree with the placements of their images.
        contradicting: pairs that contradict them.
    """
    found = {pair: -math.log1p(-min(probability[pair], _SUREST)) for pair in agreeing}
    return found | {pair: math.log1p(-min(probability[pair], _SUREST)) for pair in contradicting}


def across(part: Set[str], log_odds: Mapping[Pair, float]) -> float:
    """Sum of the log-odds of pairs of an image of a part with another."""
    return sum(value for pair, value in sorted(log_odds.items()) if (pair.a in part) != (pair.b in part))


def inconsistent_parts(names: Set[str], log_odds: Mapping[Pair, float]) -> set[frozenset[str]]:
    """Parts of at least 3 images, the smaller sides of cuts of a model.

    Candidates are the clusters of `cluster_tree`. One is taken where its log-odds with the rest that are
    negative sum to half of the positive ones at least. The ratio of both sums must also exceed that of the
    two clusters that it was joined from, and of the one that it was joined into. Where all log-odds sum to
    less than 0, single images then change sides while the sum falls (Kernighan and Lin 1970, "An Efficient
    Heuristic Procedure for Partitioning Graphs", without exchanges).

    Args:
        names: images of a model.
        log_odds: of pairs within it (`pose_consistency.placement`); others count as 0.
    """
    tree = cluster_tree(names, log_odds)
    contradicted = [
        _ratio(-against, agreeing) if _MIN_IMAGES <= size <= len(names) - _MIN_IMAGES else 0.0
        for size, against, agreeing in zip(tree.sizes, tree.negative, tree.positive, strict=True)
    ]
    found = {one for one, ratio in enumerate(contradicted) if ratio >= _CONTRADICTED}
    for whole, parts in enumerate(tree.joined, len(tree.names)):
        for part in parts:
            if contradicted[part] != contradicted[whole]:
                found.discard(min(part, whole, key=contradicted.__getitem__))
    weights = _symmetric(tree.names, log_odds)
    sides = [
        _settled(tree.names, weights, tree.images(one)) if contradicted[one] > 1 else tree.images(one)
        for one in sorted(found)
    ]
    halves = (min(one, names - one, key=lambda side: (len(side), min(side, default=""))) for one in sides)
    return {frozenset(half) for half in halves if len(half) >= _MIN_IMAGES}


def _ratio(against: float, agreeing: float) -> float:
    return against / agreeing if agreeing > 0 else math.inf if against > 0 else 0.0


def _symmetric(names: Sequence[str], log_odds: Mapping[Pair, float]) -> sp.csr_array:
    number = {name: i for i, name in enumerate(names)}
    inside = {pair: value for pair, value in log_odds.items() if pair.a in number and pair.b in number}
    ends = np.array([(number[pair.a], number[pair.b]) for pair in inside], np.int64).reshape(-1, 2)
    half = sp.csr_array((np.array([*inside.values()]), tuple(ends.T)), shape=(len(names), len(names)))
    return sp.csr_array(half + half.T)


def _settled(names: Sequence[str], weights: sp.csr_array, part: Set[str]) -> frozenset[str]:
    """One side, after as many single changes as lower the sum across, the best one first."""
    signs = np.where([name in part for name in names], 1.0, -1.0)
    for _ in range(2 * len(names)):
        kept = signs * (weights @ signs)
        worst = int(np.argmin(kept))
        if kept[worst] >= 0:
            break
        signs[worst] = -signs[worst]
    return frozenset(name for name, sign in zip(names, signs, strict=True) if sign > 0)
