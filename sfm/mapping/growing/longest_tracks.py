"""The matches of the longest tracks of each pair: enough to start from by global SfM, in less time.

A quota for each pair keeps what ties a part of few images to the rest, however short its tracks. One for each
image would fill with the long tracks within that part.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np
from numpy.typing import NDArray

from retrieval import Pair

from ..pair_consistency.track_forest import TrackForest
from ..scene.scene import Scene

Matches = NDArray[np.int64]


def longest_tracks(scene: Scene, names: Set[str], per_pair: int) -> dict[Pair, Matches]:
    """Of each pair of the scene within `names` the matches of chosen tracks, (M, 2) keypoints of both images.

    Tracks are joined pair by pair, that with most matches first. Chosen are those that are among the
    `per_pair` longest of any pair.
    """
    within = [pair for pair in scene.view_graph.edges if pair.a in names and pair.b in names]
    within.sort(key=lambda pair: (-scene.view_graph.edges[pair].num_inliers, pair))
    images = {name for pair in within for name in pair}
    tracks = TrackForest({name: len(scene.keypoints(scene.id_of[name])) for name in images})
    matches = {pair: scene.matches(pair).astype(np.int64) for pair in within}
    for pair, rows in matches.items():
        tracks.join(pair, rows)
    numbers, lengths = {pair: tracks.numbers(pair, rows) for pair, rows in matches.items()}, tracks.lengths
    chosen = np.zeros(len(lengths), bool)
    for number in numbers.values():
        own = np.unique(number[number >= 0])
        chosen[own[np.argsort(-lengths[own], kind="stable")[:per_pair]]] = True
    return {pair: rows[(numbers[pair] >= 0) & chosen[numbers[pair]]] for pair, rows in matches.items()}
