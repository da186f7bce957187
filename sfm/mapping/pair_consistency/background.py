"""Agreement of the background: whether what surrounds the matches of a pair is also in the other image.

Keypoints near the matches of a pair, which other pairs match but this one does not, are predicted into the
other image by the similarity of the nearest matches. If the pair is true, one of the keypoints there has a
similar descriptor. How similar is rare, the other descriptors of that image determine, so the measure needs
no threshold of its own. It is a guided form of the missing correspondences of Zach et al. 2008.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap
from scipy.spatial import cKDTree

from kernels.missing_matches import moved_by_neighbours
from retrieval import Pair

from ..scene.pair_matches import PairMatches
from .measurements import Measurements, digest

Descriptors = npt.NDArray[np.float32]

_NUM_TESTED = 48  # keypoints of an image
_NUM_COMPARED = 1024  # descriptors of the other image, evenly spread over its list
_NUM_NEIGHBOURS = 12
_CLEAR = 0.02  # diagonals from the nearest match, at least: not the matches themselves
_REACH = 0.12  # at most: the similarity of the nearest matches predicts no farther
_RADIUS = 0.03  # of the search round the predicted position, in diagonals
_IMAGES_IN_MEMORY = 512


class Background:
    """Measures pairs of one collection; descriptors are read when a pair needs them."""

    def __init__(self, matches: PairMatches, descriptors_of: Callable[[str], Descriptors]) -> None:
        """`descriptors_of`: (N, D) of the keypoints of an image."""
        self._matches = matches

        @lru_cache(_IMAGES_IN_MEMORY)
        def described(name: str) -> tuple[Descriptors, Descriptors, cKDTree]:
            rows = np.asarray(descriptors_of(name), np.float32)
            unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
            return unit, unit[_spread(len(unit), _NUM_COMPARED)], cKDTree(matches.keypoints[name])

        self._described = described

    def one_way(self, pair: Pair, here: str) -> tuple[float, int]:
        """Sum of -log p of the best descriptor near each predicted position, and how many were predicted.

        p is the probability that a region of so many keypoints has one at least as similar by chance. Without
        any agreement the mean is about 1.

        Args:
            pair: with matches.
            here: the image of the pair whose keypoints are predicted into the other one.
        """
        there, ends = pair.b, self._matches.inliers[pair]
        if here == pair.b:
            there, ends = pair.a, ends[:, ::-1]
        tested, places = self._predicted(here, there, ends)
        if not len(tested):
            return 0.0, 0
        unit, compared, tree = self._described(there)
        queries = self._described(here)[0][tested]
        similar = queries @ compared.T
        near = tree.query_ball_point(places, _RADIUS * self._matches.diagonal_px(there))
        found = [
            _surprise(row, unit[ids] @ query) for row, ids, query in zip(similar, near, queries, strict=True)
        ]
        return sum(found), len(found)

    def _predicted(
        self, here: str, there: str, ends: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Indices of keypoints to test, and their predicted positions within the other image."""
        matches = self._matches
        is_free = matches.num_pairs_of_keypoints[here] > 0
        is_free[ends[:, 0]] = False
        free = np.flatnonzero(is_free)
        free = free[_spread(len(free), 8 * _NUM_TESTED)]
        source, target = matches.keypoints[here][ends[:, 0]], matches.keypoints[there][ends[:, 1]]
        if not len(free):
            return free, np.zeros((0, 2))
        count = min(_NUM_NEIGHBOURS, len(source))
        found = cKDTree(source).query(matches.keypoints[here][free], k=list(range(1, count + 1)))
        distance, nearest = np.asarray(found[0]), np.asarray(found[1])
        diagonal = matches.diagonal_px(here)
        chosen = np.flatnonzero((distance[:, 0] > _CLEAR * diagonal) & (distance[:, 0] < _REACH * diagonal))
        chosen = chosen[_spread(len(chosen), _NUM_TESTED)]
        free, nearest = free[chosen], nearest[chosen]
        places = moved_by_neighbours(matches.keypoints[here][free], source[nearest], target[nearest])
        margin = _CLEAR * matches.diagonal_px(there)
        inside = ((places > margin) & (places < np.array(matches.sizes[there]) - margin)).all(axis=1)
        return free[inside], places[inside]


def measured_background(
    database: Path, matches: PairMatches, measured: Measurements | None = None
) -> dict[Pair, float | None]:
    """Mean surprise (`Background.one_way`) of each pair, both ways; None where nothing was predicted.

    Empty where a database lacks SIFT descriptors.
    """
    before = measured or Measurements()
    with pycolmap.Database.open(database) as db:
        id_of = {image.name: image.image_id for image in db.read_all_images()}
        num_sift = _num_sift_descriptors(database)
        linked = {name for pair in matches.inliers for name in pair}
        if any(id_of[name] not in num_sift for name in linked):
            return {}

        def descriptors_of(name: str) -> Descriptors:
            found = np.asarray(db.read_descriptors(id_of[name]).data, np.float32)
            # Keypoints of a second matcher have none.
            return np.pad(found, ((0, len(matches.keypoints[name]) - len(found)), (0, 0)))

        background = Background(matches, descriptors_of)
        confirmed = {name: digest(count > 0) for name, count in matches.num_pairs_of_keypoints.items()}

        def agreement(pair: Pair) -> float | None:
            # Only the keypoints of the image from which it is predicted count.
            rows = digest(matches.inliers[pair])
            found = [
                before.get(
                    ("background", pair, here, confirmed[here], rows), partial(background.one_way, pair, here)
                )
                for here in pair
            ]
            sums, counts = zip(*found, strict=True)
            return sum(sums) / sum(counts) if sum(counts) else None

        return {pair: agreement(pair) for pair in matches.inliers}


def _num_sift_descriptors(database: Path) -> dict[int, int]:
    """Of each image that has any, without reading them."""
    query = "SELECT image_id, rows FROM descriptors WHERE type = ?"
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as db:
        return dict(db.execute(query, (int(pycolmap.FeatureExtractorType.SIFT),)).fetchall())


def _surprise(everywhere: npt.NDArray[np.float32], here: npt.NDArray[np.float32]) -> float:
    if not len(here):
        return 0.0
    rarity = (np.count_nonzero(everywhere >= here.max()) + 0.5) / (len(everywhere) + 0.5)
    return -math.log(max(1 - (1 - min(rarity, 1.0)) ** len(here), 1e-9))


def _spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """At most so many of `count` indices, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)
