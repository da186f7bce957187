"""Tracks that grow pair by pair: union-find over keypoints, at most one of a photo in a track."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from retrieval import Pair

_Matches = npt.NDArray[np.int64]


class TrackForest:
    """Keypoints joined by the matches of the pairs that were trusted so far."""

    def __init__(self, num_keypoints: Mapping[str, int]) -> None:
        """`num_keypoints`: of each photo."""
        self._offset: dict[str, int] = {}
        total = 0
        for name, count in sorted(num_keypoints.items()):
            self._offset[name] = total
            total += count
        self._parent = list(range(total))
        self._photos: dict[int, dict[str, int]] = {}  # of each track of two or more: photo -> keypoint

    def counts(self, pair: Pair, matches: _Matches) -> tuple[int, int]:
        """How many matches lie within one track, and how many join two tracks or lie within one.

        Only tracks that are in two photos or more count: a new keypoint says nothing.
        """
        within = known = 0
        for first, second in self._ends(pair, matches):
            root_1, root_2 = self._root(first), self._root(second)
            if root_1 == root_2:
                within += 1
                known += 1
            elif root_1 in self._photos and root_2 in self._photos:
                known += 1
        return within, known

    def join(self, pair: Pair, matches: _Matches) -> None:
        """Merge the tracks of each match, unless the result would hold two keypoints of one photo."""
        base_a, base_b = self._offset[pair.a], self._offset[pair.b]
        for first, second in self._ends(pair, matches):
            root_1, root_2 = self._root(first), self._root(second)
            if root_1 == root_2:
                continue
            large = self._photos.get(root_1) or {pair.a: first - base_a}
            small = self._photos.get(root_2) or {pair.b: second - base_b}
            if len(large) < len(small):
                root_1, root_2, large, small = root_2, root_1, small, large
            if large.keys().isdisjoint(small.keys()):
                self._parent[root_2] = root_1
                self._photos.pop(root_2, None)
                large.update(small)
                self._photos[root_1] = large

    def _ends(self, pair: Pair, matches: _Matches) -> zip[tuple[int, int]]:
        first = (matches[:, 0] + self._offset[pair.a]).tolist()
        second = (matches[:, 1] + self._offset[pair.b]).tolist()
        return zip(first, second, strict=True)

    def _root(self, i: int) -> int:
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i
