"""The one owner of `database.db`: which photos, cameras, features and pairs it holds, in COLMAP's schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from retrieval import Pair
from sfm.colmap.database_sync import OUR_TABLES, StageKeys, synchronize, write_pose_priors
from sfm.colmap.pair_ids import image_ids_of_pair, pair_id_of
from sfm.colmap.rigs import write_rigs
from sfm.colmap.sqlite_files import read_only_uri
from sfm.errors import WorkspaceError
from sfm.types import CameraSpec, Collection


@dataclass(frozen=True, slots=True)
class PairRecord:
    """One matched pair of the database."""

    num_matches: int
    num_inliers: int
    config: str
    """COLMAP's two-view configuration: CALIBRATED, UNCALIBRATED, PLANAR, PANORAMIC, WATERMARK, ..."""

    @property
    def verified(self) -> bool:
        """Whether the pair has a two-view geometry that registration can use."""
        return self.num_inliers > 0 and self.config not in ("UNDEFINED", "DEGENERATE")


class FeatureDatabase:
    """A COLMAP database kept in step with a collection of photos.

    `read_only` means that the file must exist, and that a process that writes to it isn't disturbed.

    Raises:
        WorkspaceError: the file is not a COLMAP database.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        try:
            if read_only:
                self.image_ids()
                return
            pycolmap.Database.open(path).close()
            with closing(self.connect()) as connection, connection:
                connection.executescript(OUR_TABLES)
        except (RuntimeError, sqlite3.DatabaseError) as error:
            raise WorkspaceError(
                f"{path} is not a usable COLMAP database: {error}",
                hint="was it cut off, made by another program, or is the disk full?",
            ) from error

    def connect(self) -> sqlite3.Connection:
        """A connection of one's own; who opens it closes it."""
        # As a URI, which has the mode; `rw` makes no file, which pycolmap has done by then.
        uri = read_only_uri(self.path) if self._read_only else f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=30)
        connection.execute("PRAGMA foreign_keys = OFF")
        return connection

    def sync(self, collection: Collection, keys: StageKeys) -> None:
        """Make the database hold exactly `collection`, dropping what changed photos and options made stale.

        One transaction: a kill leaves the earlier state. Image ids of photos that stay are kept.
        """
        with closing(self.connect()) as db, db:
            synchronize(db, collection, keys)
        if collection.rigs and all(rig.has_poses for rig in collection.rigs):
            write_rigs(self.path, collection.rigs)

    def stage_keys(self) -> dict[str, str]:
        """The keys that `sync` was last called with, by stage; empty in a database of somebody else's."""
        with closing(self.connect()) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'loopsfm_keys'").fetchone():
                return {}
            return dict(db.execute("SELECT stage, key FROM loopsfm_keys"))

    def cameras(self) -> dict[str, CameraSpec]:
        """The camera of every image, by name."""
        query = (
            "SELECT name, c.camera_id, model, width, height, params, prior_focal_length "
            "FROM images JOIN cameras c USING (camera_id)"
        )
        with closing(self.connect()) as db:
            rows = db.execute(query).fetchall()
        found = {}
        for name, camera_id, model, width, height, data, has_prior in rows:
            params = tuple(np.frombuffer(data, np.float64).tolist())
            label = pycolmap.CameraModelId(model).name
            found[name] = CameraSpec(camera_id, label, width, height, params, bool(has_prior))
        return found

    def put_features(
        self,
        name: str,
        keypoints: NDArray[np.float32],
        descriptors: NDArray[np.uint8] | None,
        *,
        kind: pycolmap.FeatureExtractorType = pycolmap.FeatureExtractorType.SIFT,
    ) -> None:
        """Replace an image's features, which no match may use yet.

        Keypoints are `(n, 2, 4 or 6)`; descriptors `(n, bytes)` as COLMAP stores those of
        `kind` and `features` gives them, or None without any.
        """
        with closing(self.connect()) as db, db:
            (image_id,) = db.execute("SELECT image_id FROM images WHERE name = ?", (name,)).fetchone()
            data = np.ascontiguousarray(keypoints, np.float32).tobytes()
            row = (image_id, *keypoints.shape, data)
            db.execute("INSERT OR REPLACE INTO keypoints VALUES (?, ?, ?, ?)", row)
            if descriptors is not None:
                values = np.ascontiguousarray(descriptors)
                entry = (image_id, int(kind), *values.shape, values.tobytes())
                db.execute("INSERT OR REPLACE INTO descriptors VALUES (?, ?, ?, ?, ?)", entry)

    def write_positions(self, collection: Collection) -> None:
        """Replace all pose priors by the positions of the photos."""
        with closing(self.connect()) as db, db:
            write_pose_priors(db, collection)

    @contextmanager
    def plain_names(self) -> Iterator[Mapping[str, str]]:
        """Names without blanks while the context is open, as a mapping from the real ones.

        COLMAP's list of pairs splits names at blanks. After a kill in between, `sync` restores the names.
        """
        ids = self.image_ids()
        if not any(character.isspace() for name in ids for character in name):
            yield {name: name for name in ids}
            return
        plain = {name: f"image{image_id}" for name, image_id in ids.items()}
        self._rename({hidden: name for name, hidden in plain.items()})
        try:
            yield plain
        finally:
            self._rename(plain)

    def _rename(self, old_of_new: Mapping[str, str]) -> None:
        # Never across a call of pycolmap: it brings a SQLite of its own, and two of them holding one file
        # open in the same process break each other's locks.
        with closing(self.connect()) as db, db:
            db.executemany("UPDATE images SET name = ? WHERE name = ?", list(old_of_new.items()))

    def image_ids(self) -> dict[str, int]:
        """COLMAP's image id of every image name."""
        with closing(self.connect()) as db:
            return {name: image_id for image_id, name in sorted(self._names(db).items(), key=itemgetter(1))}

    def _names(self, db: sqlite3.Connection) -> dict[int, str]:
        """Image names by id; whoever only looks sees the real ones even while they are hidden from COLMAP."""
        names = dict(db.execute("SELECT image_id, name FROM images"))
        if (
            self._read_only
            and db.execute("SELECT 1 FROM sqlite_master WHERE name = 'loopsfm_images'").fetchone()
        ):
            names.update(db.execute("SELECT image_id, name FROM loopsfm_images"))
        return names

    def num_keypoints(self) -> dict[str, int]:
        """Number of keypoints with descriptors of every image that has been described."""
        query = (
            "SELECT name, d.rows FROM images JOIN keypoints k USING (image_id) "
            "JOIN descriptors d USING (image_id) WHERE k.rows >= d.rows"
        )
        with closing(self.connect()) as db:
            return dict(db.execute(query))

    def features(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Keypoints `(n, 2, 4 or 6) float32` (x, y, shape; px) and their descriptors `(n, bytes) uint8`.

        Keypoints of a second matcher, which have none here, are left out.
        """
        query = (
            "SELECT k.cols, k.data, d.rows, d.cols, d.data FROM images JOIN keypoints k USING (image_id) "
            "JOIN descriptors d USING (image_id) WHERE name = ?"
        )
        with closing(self.connect()) as db:
            k_cols, k_data, rows, d_cols, d_data = db.execute(query, (name,)).fetchone()
        keypoints = np.frombuffer(k_data or b"", np.float32).reshape(-1, k_cols)[:rows]
        return keypoints, np.frombuffer(d_data or b"", np.uint8).reshape(rows, d_cols)

    def keypoint_positions(self) -> dict[str, NDArray[np.float32]]:
        """Positions `(n, 2) float32` (px) of the keypoints of every image that has any."""
        query = "SELECT name, rows, cols, data FROM images JOIN keypoints USING (image_id)"
        with closing(self.connect()) as db:
            rows = db.execute(query).fetchall()
        return {
            name: np.frombuffer(data or b"", np.float32).reshape(num, cols)[:, :2].copy()
            for name, num, cols, data in rows
        }

    def matched_pairs(self) -> set[Pair]:
        """Pairs whose matches are known, verified or not."""
        with closing(self.connect()) as db:
            names = dict(db.execute("SELECT image_id, name FROM images"))
            ids = [image_ids_of_pair(pair_id) for (pair_id,) in db.execute("SELECT pair_id FROM matches")]
        return {Pair.of(names[a], names[b]) for a, b in ids}

    def matches(self) -> dict[Pair, NDArray[np.uint32]]:
        """Matches `(m, 2)` of every matched pair: rows of keypoints of its first and of its second image."""
        return self._index_pairs("matches")

    def inlier_matches(self) -> dict[Pair, NDArray[np.uint32]]:
        """The same of every pair with a two-view geometry, of the matches that agree with it."""
        return self._index_pairs("two_view_geometries")

    def _index_pairs(self, table: str) -> dict[Pair, NDArray[np.uint32]]:
        with closing(self.connect()) as db:
            names = dict(db.execute("SELECT image_id, name FROM images"))
            rows = db.execute(f"SELECT pair_id, rows, cols, data FROM {table}").fetchall()
        found = {}
        for pair_id, num, cols, data in rows:
            low, high = (names[i] for i in image_ids_of_pair(pair_id))
            indices = np.frombuffer(data or b"", np.uint32).reshape(num, cols or 2)
            found[Pair.of(low, high)] = indices.copy() if low < high else indices[:, ::-1].copy()
        return found

    def add_matches(
        self, keypoints: Mapping[str, NDArray[np.float32]], matches: Mapping[Pair, NDArray[np.uint32]]
    ) -> None:
        """Write keypoints and matches of pairs, all or nothing.

        Args:
            keypoints: positions `(n, 2)` (px) of all keypoints of an image, those it had first, unchanged.
            matches: `(m, 2)` indices of keypoints of the first and the second image of a pair.
        """
        with closing(self.connect()) as db, db:
            ids = dict(db.execute("SELECT name, image_id FROM images"))
            for name, xy in keypoints.items():
                data = np.ascontiguousarray(xy, np.float32)
                row = (ids[name], len(data), 2, data.tobytes())
                db.execute("INSERT OR REPLACE INTO keypoints VALUES (?, ?, ?, ?)", row)
            for pair, indices in matches.items():
                pair_id, swap = pair_id_of(ids[pair.a], ids[pair.b])
                data = np.ascontiguousarray(indices[:, ::-1] if swap else indices, np.uint32)
                row = (pair_id, len(data), 2, data.tobytes())
                db.execute("INSERT OR REPLACE INTO matches VALUES (?, ?, ?, ?)", row)

    def pairs(self) -> dict[Pair, PairRecord]:
        """All pairs that have been matched and verified; of foreign ones the matches may be gone."""
        query = (
            "SELECT pair_id, coalesce(m.rows, g.rows), g.rows, g.config "
            "FROM two_view_geometries g LEFT JOIN matches m USING (pair_id)"
        )
        with closing(self.connect()) as db:
            names = self._names(db)
            rows = db.execute(query).fetchall()
        records = {}
        for pair_id, num_matches, num_inliers, config in rows:
            a, b = (names[i] for i in image_ids_of_pair(pair_id))
            label = pycolmap.TwoViewGeometryConfiguration(config).name
            records[Pair.of(a, b)] = PairRecord(num_matches, num_inliers, label)
        return records
