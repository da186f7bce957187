"""The matches of the longest tracks of each pair: enough to start from by global SfM, in less time.

A quota for each pair keeps what ties a part of few images to the rest, however short its tracks. One for each
image would fill with the long tracks within that part.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np
from numpy.typing import NDArray

from kernels.tracks import new_tracks
from retrieval import Pair

from ..scene.scene import Scene

Matches = NDArray[np.int64]


def longest_tracks(scene: Scene, names: Set[str], per_pair: int) -> dict[Pair, Matches]:
    """Of each pair of the scene within `names` the matches of chosen tracks, (M, 2) keypoints of both images.

    Tracks are joined pair by pair, that with most matches first. Chosen are those that are among the
    `per_pair` longest of any pair.
    """
    within = [pair for pair in scene.view_graph.edges if pair.a in names and pair.b in names]
    within.sort(key=lambda pair: (-scene.view_graph.edges[pair].num_inliers, pair))
    images = sorted({name for pair in within for name in pair})
    counts = [len(scene.keypoints(scene.id_of[name])) for name in images]
    offset = dict(zip(images, np.cumsum([0, *counts])[:-1].tolist(), strict=True))
    tracks = new_tracks(np.repeat(np.arange(len(images)), counts))
    matches = {pair: scene.matches(pair).astype(np.int64) for pair in within}
    for pair, rows in matches.items():
        tracks.join(rows[:, 0] + offset[pair.a], rows[:, 1] + offset[pair.b])
    track_of = {pair: _tracks(tracks.label, offset, pair, rows) for pair, rows in matches.items()}
    length = np.bincount(tracks.label, minlength=len(tracks.label))
    chosen = np.zeros(len(length), bool)
    for label in track_of.values():
        own = np.unique(label[label >= 0])
        chosen[own[np.argsort(-length[own], kind="stable")[:per_pair]]] = True
    return {pair: rows[(track_of[pair] >= 0) & chosen[track_of[pair]]] for pair, rows in matches.items()}


def _tracks(label: Matches, offset: Mapping[str, int], pair: Pair, rows: Matches) -> Matches:
    """The track of each match; -1 where its ends are in two."""
    first, second = label[rows[:, 0] + offset[pair.a]], label[rows[:, 1] + offset[pair.b]]
    return np.where(first == second, first, -1)
