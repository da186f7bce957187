"""Tracks that grow pair by pair: union-find over keypoints, at most one of a photo in a track."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from retrieval import Pair

_Matches = npt.NDArray[np.int64]


class TrackForest:
    """Keypoints joined by the matches of the pairs that were trusted so far.

    Most matches of a pair that is asked about, or joined, lie within tracks that are there; the label of
    every keypoint is at hand for them, and what merging costs is paid by the smaller track.
    """

    def __init__(self, num_keypoints: Mapping[str, int]) -> None:
        """`num_keypoints`: of each photo."""
        self._offset: dict[str, int] = {}
        total = 0
        for name, count in sorted(num_keypoints.items()):
            self._offset[name] = total
            total += count
        self._label = np.arange(total)
        self._joined = np.zeros(total, dtype=np.bool_)  # whether a keypoint is in a track of two or more
        self._bit = {name: 1 << number for number, name in enumerate(self._offset)}
        self._photos: dict[int, int] = {}  # of each such track, by label: the bits of its photos
        self._members: dict[int, list[int]] = {}  # and its keypoints

    def counts(self, pair: Pair, matches: _Matches) -> tuple[int, int]:
        """How many matches lie within one track, and how many join two tracks or lie within one.

        Only tracks that are in two photos or more count: a new keypoint says nothing.
        """
        first, second = self._ends(pair, matches)
        within = int(np.count_nonzero(self._label[first] == self._label[second]))
        return within, int(np.count_nonzero(self._joined[first] & self._joined[second]))

    def join(self, pair: Pair, matches: _Matches) -> None:
        """Merge the tracks of each match, unless the result would hold two keypoints of one photo."""
        first, second = self._ends(pair, matches)
        labels_1, labels_2 = self._label[first], self._label[second]
        apart = labels_1 != labels_2
        merged: dict[int, int] = {}  # label of a track that went into another -> the other's
        moved: list[int] = []
        to: list[int] = []
        joined: list[int] = []
        bit_a, bit_b = self._bit[pair.a], self._bit[pair.b]
        for i, j, label_1, label_2 in zip(
            *(part[apart].tolist() for part in (first, second, labels_1, labels_2)), strict=True
        ):
            while label_1 in merged:
                label_1 = merged[label_1]
            while label_2 in merged:
                label_2 = merged[label_2]
            if label_1 == label_2:
                continue
            photos_1 = self._photos.get(label_1, bit_a)
            photos_2 = self._photos.get(label_2, bit_b)
            if photos_1 & photos_2:
                continue
            large = self._members.get(label_1) or [i]
            small = self._members.get(label_2) or [j]
            if len(large) < len(small):
                label_1, label_2, large, small = label_2, label_1, small, large
            merged[label_2] = label_1
            self._photos.pop(label_2, None)
            self._members.pop(label_2, None)
            moved += small
            to += [label_1] * len(small)
            self._photos[label_1] = photos_1 | photos_2
            large += small
            self._members[label_1] = large
            joined += (i, j)
        self._joined[joined] = True
        self._label[moved] = to  # in the order of merging: the last label holds

    def _ends(self, pair: Pair, matches: _Matches) -> tuple[_Matches, _Matches]:
        return matches[:, 0] + self._offset[pair.a], matches[:, 1] + self._offset[pair.b]
