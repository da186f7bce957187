"""From grown tracks to tables of keypoints and matches by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval import Pair

from .keypoint_values import Table, TrackKeypoints
from .local_affine import Mask
from .track_table import Rows, TrackTable
from .transfer import Edges


def most_confident(confidence: NDArray[np.float32], kept: Mask, limit: int) -> Rows:
    """At most `limit` of the positions `kept`, ascending; of the equally confident the first."""
    rows = np.flatnonzero(kept)
    return np.sort(rows[np.argsort(-confidence[rows], kind="stable")][:limit])


class Reindexing:
    """Collects the links of all pairs; keypoints that exist or have a link get rows in the photo's table."""

    def __init__(self, table: TrackTable, xy: NDArray[np.floating]) -> None:
        self._table = table
        self._xy = xy
        self._used = table.frozen.copy()
        self._links: dict[Pair, Rows] = {}
        self._confidence: dict[Pair, NDArray[np.float32]] = {}

    def add(self, pair: Pair, photos: tuple[int, int], edges: Edges) -> None:
        """The links of a pair of photos, in either direction."""
        ends = np.stack((edges.source, edges.target), 1)
        backward = self._table.photo[ends[:, 0]] != photos[0]
        ends[backward] = ends[backward, ::-1]
        order = np.argsort(ends[:, 0])
        self._links[pair] = ends[order]
        self._confidence[pair] = edges.confidence[order].astype(np.float32)
        self._used[ends] = True

    def result(
        self, names: Sequence[str], existing: Mapping[str, Table], refused: dict[Pair, int]
    ) -> TrackKeypoints:
        """Tables that begin with the `existing` rows as they are, and the matches in their rows."""
        number = np.full(len(self._table), -1)
        tables = {}
        for photo, name in enumerate(names):
            rows = self._table.of_photo(photo)
            rows = rows[self._used[rows]]
            number[rows] = np.arange(len(rows))
            old = existing.get(name, np.zeros((0, 2), np.float32)).astype(np.float32)
            tables[name] = np.concatenate((old, self._xy[rows[len(old) :]].astype(np.float32)))
        matches = {pair: number[ends].astype(np.uint32) for pair, ends in self._links.items()}
        return TrackKeypoints(tables, matches, self._confidence, refused)
