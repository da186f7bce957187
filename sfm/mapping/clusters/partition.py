"""Clusters of the view graph that overlap where they meet; each is mapped on its own.

The graph is cut in two repeatedly by normalised cuts weighted with inliers, as by COLMAP's hierarchical
mapper and GraphSfM (Chen et al. 2020). Then the images on both sides of a cut with most matches to the other
side join it, so that the models overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..scene.view_graph import ViewGraph
from .normalized_cut import cut_in_two

_SHARED = 24  # images that two neighbours have in common at most; a similarity needs a few in several places


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that are mapped together."""

    core: frozenset[str]
    """Images of no other cluster's core."""
    names: frozenset[str]
    """The core and the images of neighbouring cores that belong to both."""


def partition(
    graph: ViewGraph, component: Set[str], frame_of: Mapping[str, int], *, cluster_size: int
) -> list[Cluster]:
    """Overlapping clusters of about one size, each connected, that hold all images; largest first.

    Args:
        graph: verified pairs, preferably without those that may be false.
        component: images that its pairs connect.
        frame_of: frame id by name; images of one frame stay together.
        cluster_size: approximate number of images of a core; at least a third of it, if the component has
            as many.
    """
    frames = sorted({frame_of[name] for name in component})
    weights = _weights(graph, component, frame_of, frames)
    labels = _labels(weights, max(1, round(cluster_size * len(frames) / len(component))))
    clusters = [
        Cluster(
            _names_of(component, frame_of, frames, labels == label),
            _names_of(component, frame_of, frames, members),
        )
        for label, members in enumerate(_with_seams(weights, labels))
    ]
    return sorted(clusters, key=lambda cluster: (-len(cluster.names), min(cluster.core)))


def _weights(
    graph: ViewGraph, component: Set[str], frame_of: Mapping[str, int], frames: list[int]
) -> sp.csr_array:
    """Inliers between frames, symmetric."""
    place = {frame: index for index, frame in enumerate(frames)}
    links = [
        (place[frame_of[pair.a]], place[frame_of[pair.b]], edge.num_inliers)
        for pair, edge in graph.edges.items()
        if pair.a in component and pair.b in component and frame_of[pair.a] != frame_of[pair.b]
    ]
    rows, columns, inliers = np.array(links, dtype=np.int64).reshape(-1, 3).T
    half = sp.coo_array((inliers.astype(np.float64), (rows, columns)), shape=(len(frames), len(frames)))
    return sp.csr_array(half + half.T)


def _labels(weights: sp.csr_array, size: int) -> NDArray[np.int64]:
    """Number of the cluster of each node, from 0 on; (N,) int64."""
    labels = np.zeros(weights.shape[0], dtype=np.int64)
    count = round(len(labels) / size)
    if count < 2:
        return labels
    pieces = cut_in_two(weights, (count // 2) / count, least=max(1, size // 3))
    if not pieces.any():
        return labels
    for piece in range(int(pieces.max()) + 1):
        rows = np.flatnonzero(pieces == piece)
        start = labels.max() + 1 if piece else 0
        labels[rows] = start + _labels(weights[rows][:, rows], size)
    return labels


def _with_seams(weights: sp.csr_array, labels: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """Nodes of each cluster together with the images of its neighbours that see most of it."""
    count = int(labels.max()) + 1
    members = [labels == label for label in range(count)]
    sight = np.stack([weights @ mask.astype(np.float64) for mask in members])  # of each node into each core
    for label in range(count):
        for other in range(count):
            if other == label:
                continue
            seen = np.where(labels == other, sight[label], 0.0)
            best = np.argsort(-seen, kind="stable")[: _SHARED // 2]
            members[label] = members[label] | np.isin(np.arange(len(labels)), best[seen[best] > 0])
    return members


def _names_of(
    component: Set[str], frame_of: Mapping[str, int], frames: list[int], mask: NDArray[np.bool_]
) -> frozenset[str]:
    chosen = {frame for frame, inside in zip(frames, mask.tolist(), strict=True) if inside}
    return frozenset(name for name in component if frame_of[name] in chosen)
