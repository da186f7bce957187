"""Keypoints of a second matcher, appended to those that images had first, and the pairs that it matched.

Matches and two-view geometries stay in COLMAP's tables, so that its tools open the database. Two tables of
ours say where an image's appended keypoints begin, and which pairs the second matcher has matched.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval import Pair

from .database import FeatureDatabase
from .pair_ids import image_ids_of_pair, pair_id_of


@dataclass(frozen=True, slots=True)
class SecondMatcher:
    """What a database has of a second matcher."""

    database: FeatureDatabase
    key: str
    """Of everything that its keypoints and matches depend on."""

    def pairs(self) -> frozenset[Pair]:
        """Pairs that it has matched."""
        return frozenset(pair for pair, key in _keys_of_pairs(self.database).items() if key == self.key)

    def alone(self, pairs: Iterable[Pair]) -> set[Pair]:
        """Those of the pairs that it has matched without inliers of the first matcher beside."""
        wanted, found = set(pairs), set()
        with closing(self.database.connect()) as db:
            ids = dict(db.execute("SELECT name, image_id FROM images"))
            first = dict(db.execute("SELECT image_id, first FROM loopsfm_second_keypoints"))
            for pair in wanted:
                pair_id, _ = pair_id_of(ids[pair.a], ids[pair.b])
                row = db.execute("SELECT data FROM matches WHERE pair_id = ?", (pair_id,)).fetchone()
                rows = np.frombuffer((row and row[0]) or b"", np.uint32).reshape(-1, 2)
                low = first.get(min(ids[pair.a], ids[pair.b]), 0)
                if not np.any(rows[:, 0] < low):
                    found.add(pair)
        return found

    def write(
        self, keypoints: Mapping[str, NDArray[np.float32]], matches: Mapping[Pair, NDArray[np.uint32]]
    ) -> None:
        """Write matches of pairs beside their inliers, all or nothing; their geometries are dropped.

        Args:
            keypoints: positions (n, 2), px, of all images of the pairs; appended where they were not before.
            matches: (m, 2) indices into them, of the first and the second image of a pair.
        """
        with closing(self.database.connect()) as db, db:
            ids = dict(db.execute("SELECT name, image_id FROM images"))
            first = {name: self._appended(db, ids[name], xy) for name, xy in keypoints.items()}
            for pair, indices in matches.items():
                pair_id, swap = pair_id_of(ids[pair.a], ids[pair.b])
                rows = indices.astype(np.uint32) + np.array([first[pair.a], first[pair.b]], np.uint32)
                ordered = rows[:, ::-1] if swap else rows
                data = np.ascontiguousarray(np.vstack((_inliers(db, pair_id), ordered)))
                db.execute("DELETE FROM two_view_geometries WHERE pair_id = ?", (pair_id,))
                row = (pair_id, len(data), 2, data.tobytes())
                db.execute("INSERT OR REPLACE INTO matches VALUES (?, ?, ?, ?)", row)
                db.execute("INSERT OR REPLACE INTO loopsfm_second_pairs VALUES (?, ?)", (pair_id, self.key))

    def _appended(self, db: sqlite3.Connection, image_id: int, xy: NDArray[np.float32]) -> int:
        """The index of an image's first appended keypoint."""
        query = "SELECT first FROM loopsfm_second_keypoints WHERE image_id = ? AND key = ?"
        if known := db.execute(query, (image_id, self.key)).fetchone():
            return int(known[0])
        (row,) = db.execute("SELECT rows, cols, data FROM keypoints WHERE image_id = ?", (image_id,))
        before = np.frombuffer(row[2] or b"", np.float32).reshape(row[0], row[1])
        data = np.vstack((before, np.column_stack((xy, _shapes(len(xy), row[1])))))
        stored = (image_id, *data.shape, np.ascontiguousarray(data, np.float32).tobytes())
        db.execute("INSERT OR REPLACE INTO keypoints VALUES (?, ?, ?, ?)", stored)
        first = (image_id, len(before), self.key)
        db.execute("INSERT OR REPLACE INTO loopsfm_second_keypoints VALUES (?, ?, ?)", first)
        return len(before)


def pairs_matched_again(database: FeatureDatabase) -> frozenset[Pair]:
    """Pairs that any second matcher has matched."""
    return frozenset(_keys_of_pairs(database))


def first_keypoints(path: Path) -> dict[int, int]:
    """Image id to the index of its first keypoint of a second matcher; images without such are left out."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        known = "SELECT name FROM sqlite_master WHERE name = 'loopsfm_second_keypoints'"
        if not db.execute(known).fetchone():
            return {}
        return dict(db.execute("SELECT image_id, first FROM loopsfm_second_keypoints"))


def _keys_of_pairs(database: FeatureDatabase) -> dict[Pair, str]:
    with closing(database.connect()) as db:
        names = dict(db.execute("SELECT image_id, name FROM images"))
        rows = db.execute("SELECT pair_id, key FROM loopsfm_second_pairs").fetchall()
    ends = ((image_ids_of_pair(pair_id), key) for pair_id, key in rows)
    return {Pair.of(names[a], names[b]): key for (a, b), key in ends}


def _inliers(db: sqlite3.Connection, pair_id: int) -> NDArray[np.uint32]:
    """Matches (m, 2) that agree with the geometry of a pair; none without one."""
    query = "SELECT data FROM two_view_geometries WHERE pair_id = ?"
    found = db.execute(query, (pair_id,)).fetchone()
    return np.frombuffer((found and found[0]) or b"", np.uint32).reshape(-1, 2)


def _shapes(count: int, columns: int) -> NDArray[np.float32]:
    """Of keypoints without one: scale 1 and no rotation, as the columns of COLMAP's keypoints have it."""
    shape = {2: (), 4: (1.0, 0.0), 6: (1.0, 0.0, 0.0, 1.0)}[columns]
    return np.tile(np.array(shape, np.float32), (count, 1))


def names_of(pairs: Iterable[Pair]) -> list[str]:
    """The images of some pairs, in order."""
    return sorted({name for pair in pairs for name in pair})
