"""Tracks taken apart where their links contradict each other.

One wrong link joins two points of the scene, and transfers from there on make the wrong part grow. The links
between both parts then contradict each other: some fit, most don't. Correlation clustering (Bansal, Blum and
Chawla 2004) divides the keypoints so that fitting links are inside of the parts and the others between them.
The greedy solution joins, again and again, the two parts with the best balance of links between them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Rows = NDArray[np.int64]
Exact = NDArray[np.float64]


def components(num_rows: int, source: Rows, target: Rows) -> Rows:
    """(num_rows,) number of the connected part of each row, given links (E,) between rows."""
    links = coo_array((np.ones(len(source), np.int8), (source, target)), shape=(num_rows, num_rows))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def consistent_parts(num_rows: int, source: Rows, target: Rows, evidence: Exact) -> Rows:
    """(num_rows,) number of the part of each row.

    Args:
        source, target: (E,) rows, numbered from 0.
        evidence: (E,) positive for both rows being the same point, negative against it.
    """
    track = components(num_rows, source, target)
    disputed = np.zeros(num_rows, bool)
    disputed[track[source[evidence <= 0]]] = True
    label = np.unique(track, return_index=True)[1][track]  # the smallest row of each
    rows = np.flatnonzero(disputed[track])
    label[rows] = rows
    links = np.flatnonzero(disputed[track[source]])
    ends, weight = np.stack((source[links], target[links]), 1), evidence[links]
    while True:
        ends, weight = _summed(label[ends], weight)
        first, second = _best_of_each_other(ends, weight, num_rows)
        if len(first) == 0:
            return label
        into = np.arange(num_rows)
        into[second] = first
        label = into[label]


def _summed(ends: Rows, weight: Exact) -> tuple[Rows, Exact]:
    """Links between different parts, those between the same two added up, the smaller number first."""
    ends, weight = np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1), weight[ends[:, 0] != ends[:, 1]]
    unique, member = np.unique((ends[:, 0] << 32) + ends[:, 1], return_inverse=True)
    ends = np.stack((unique >> 32, unique & 0xFFFFFFFF), 1)
    return ends, np.asarray(np.bincount(member, weight, len(unique)), np.float64)


def _best_of_each_other(ends: Rows, weight: Exact, num_rows: int) -> tuple[Rows, Rows]:
    """Pairs of parts that have the best positive balance with each other; smaller number first."""
    good = weight > 0
    ends, weight = ends[good], weight[good]
    order = np.lexsort((ends[:, 1], ends[:, 0], -weight))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    best = np.full(num_rows, len(order))
    for side in range(2):
        np.minimum.at(best, ends[:, side], rank)
    mutual = (best[ends[:, 0]] == rank) & (best[ends[:, 1]] == rank)
    return ends[mutual, 0], ends[mutual, 1]
