"""Tracks that grow pair by pair: keypoints joined by the matches of the pairs that were trusted so far."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from kernels.tracks import new_tracks
from retrieval import Pair

_Matches = npt.NDArray[np.int64]


class TrackForest:
    """Tracks over the keypoints of all images, at most one keypoint of an image in a track."""

    def __init__(self, num_keypoints: Mapping[str, int]) -> None:
        """`num_keypoints`: of each image."""
        names = sorted(num_keypoints)
        counts = np.array([num_keypoints[name] for name in names], dtype=np.int64)
        self._offset = dict(zip(names, (np.cumsum(counts) - counts).tolist(), strict=True))
        self._tracks = new_tracks(np.repeat(np.arange(len(names)), counts))

    def counts(self, pair: Pair, matches: _Matches) -> tuple[int, int]:
        """Number of matches within one track, and of those that join two tracks or lie within one.

        Tracks in one image alone do not count.
        """
        first, second = self._ends(pair, matches)
        label, joined = self._tracks.label, self._tracks.joined
        within = int(np.count_nonzero(label[first] == label[second]))
        return within, int(np.count_nonzero(joined[first] & joined[second]))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Of the tracks, by their numbers."""
        return np.bincount(self._tracks.label, minlength=len(self._tracks.label))

    def numbers(self, pair: Pair, matches: _Matches) -> npt.NDArray[np.int64]:
        """The track of each match; -1 where its ends are in two."""
        first, second = (self._tracks.label[ends] for ends in self._ends(pair, matches))
        return np.where(first == second, first, -1)

    def join(self, pair: Pair, matches: _Matches) -> None:
        """Merge the tracks of each match, unless the result would hold two keypoints of one image."""
        self._tracks.join(*self._ends(pair, matches))

    def _ends(self, pair: Pair, matches: _Matches) -> tuple[_Matches, _Matches]:
        return matches[:, 0] + self._offset[pair.a], matches[:, 1] + self._offset[pair.b]
