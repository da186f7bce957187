"""Keypoints and the tracks that they belong to, while both grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


class TrackTable:
    """Rows are keypoints: a photo, a position, a track. No track has two keypoints in one photo.

    The keypoints of a track form a ring through `_next`. Tracks are joined by exchanging two links. All
    tracks are walked at the same time, in as many steps as the longest has keypoints.
    """

    def __init__(self, num_photos: int) -> None:
        self._count = 0
        self._photo = np.zeros(1024, np.int32)
        self._xy = np.zeros((1024, 2), np.float32)
        self._track = np.zeros(1024, np.int64)
        self._next = np.zeros(1024, np.int64)
        self._frozen = np.zeros(1024, np.bool_)
        self._hops = np.zeros(1024, np.int64)
        self._snapped = np.zeros(1024, np.bool_)
        self._rows: list[Rows] = [np.zeros(0, np.int64) for _ in range(num_photos)]

    def __len__(self) -> int:
        return self._count

    @property
    def photo(self) -> NDArray[np.int32]:
        """(n,) photo of each row."""
        return self._photo[: self._count]

    @property
    def xy(self) -> NDArray[np.float32]:
        """(n, 2) positions, network px."""
        return self._xy[: self._count]

    @property
    def track(self) -> Rows:
        """(n,) number of each row's track: the smallest of its rows, when it was born."""
        return self._track[: self._count]

    @property
    def frozen(self) -> Mask:
        """(n,) whether the position is given and stays."""
        return self._frozen[: self._count]

    @property
    def snapped(self) -> Mask:
        """(n,) whether the position is a corner that a detector found."""
        return self._snapped[: self._count]

    @property
    def hops(self) -> Rows:
        """(n,) pairs that lie between each row and the keypoint that its track began with."""
        return self._hops[: self._count]

    def of_photo(self, photo: int) -> Rows:
        """Rows of one photo, in the order of their birth."""
        return self._rows[photo]

    def add_tracks(self, photo: int, xy: NDArray[np.float32], *, frozen: bool = False) -> Rows:
        """New keypoints (m, 2), each the first of a track of its own."""
        rows = self._append(photo, xy)
        self._track[rows] = rows
        self._next[rows] = rows
        self._frozen[rows] = frozen
        return rows

    def add_observations(self, photo: int, xy: NDArray[np.float32], of: Rows) -> Rows:
        """New keypoints (m, 2) in the tracks of the rows `of` (m,), no track twice."""
        rows = self._append(photo, xy)
        self._track[rows] = self._track[of]
        self._hops[rows] = self._hops[of] + 1
        self._next[rows] = self._next[of]
        self._next[of] = rows
        return rows

    def mark_snapped(self, rows: Rows) -> None:
        """The positions of `rows` are corners."""
        self._snapped[rows] = True

    def set_tracks(self, rows: Rows, labels: Rows) -> None:
        """Make tracks of those `rows` (m,), each alone so far, that share a label (m,)."""
        if len(rows) == 0:
            return
        order = np.lexsort((rows, labels))
        rows, labels = rows[order], labels[order]
        starts = np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1))
        following = np.roll(rows, -1)
        following[np.append(starts[1:], len(rows)) - 1] = rows[starts]
        self._next[rows] = following
        self._track[rows] = np.repeat(rows[starts], np.diff(np.append(starts, len(rows))))

    def join(self, first: Rows, second: Rows) -> Mask:
        """Join the tracks of rows `first` (m,) with those of `second` (m,), no track twice.

        Returns:
            (m,) false where both tracks have a keypoint in one photo.
        """
        pair_a, members_a = self._walk(first)
        pair_b, members_b = self._walk(second)
        pair, members = np.concatenate((pair_a, pair_b)), np.concatenate((members_a, members_b))
        keys = np.sort(pair * len(self._rows) + self._photo[members])
        clash = keys[1:][keys[1:] == keys[:-1]] // len(self._rows)
        possible = np.ones(len(first), bool)
        possible[clash] = False
        self._link(first[possible], second[possible])
        older = np.minimum(self._track[first], self._track[second])
        moved = possible[pair]
        self._track[members[moved]] = older[pair[moved]]
        return possible

    def any_frozen(self, rows: Rows) -> Mask:
        """(m,) whether the track of each row has a frozen keypoint."""
        index, members = self._walk(rows)
        return np.bincount(index, self._frozen[members], len(rows)) > 0

    def _link(self, first: Rows, second: Rows) -> None:
        self._next[first], self._next[second] = self._next[second], self._next[first]

    def _walk(self, rows: Rows) -> tuple[Rows, Rows]:
        """All members of the tracks of `rows`: positions in `rows`, and rows."""
        index, at = np.arange(len(rows)), rows
        indices, members = [index], [rows]
        while len(index):
            at = self._next[at]
            going = at != rows[index]
            index, at = index[going], at[going]
            indices.append(index)
            members.append(at)
        return np.concatenate(indices), np.concatenate(members)

    def _append(self, photo: int, xy: NDArray[np.float32]) -> Rows:
        rows = np.arange(self._count, self._count + len(xy))
        self._count += len(xy)
        if self._count > len(self._photo):
            size = max(self._count, 2 * len(self._photo))
            for name in ("_photo", "_xy", "_track", "_next", "_frozen", "_snapped", "_hops"):
                old = getattr(self, name)
                new = np.zeros((size, *old.shape[1:]), old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)
        self._photo[rows] = photo
        self._xy[rows] = xy
        self._rows[photo] = np.concatenate((self._rows[photo], rows))
        return rows
