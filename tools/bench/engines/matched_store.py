"""Photos described once, pairs matched when first asked for: experiments with many scene graphs share both.

A run gets a database of its own that holds just the pairs of its graph; what they would have cost is told by
the mean CPU time of a pair, measured once on a sample.
"""

import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
from photo_sets.sets import PhotoSet

from retrieval import Edge, Pair, Reason
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Config
from sfm.files.atomic import atomic_write_json
from sfm.ingest import ingest
from sfm.ingest.photo_positions import with_positions
from sfm.matching import NO_GUIDES, BackendContext, Guides, MatchReport
from sfm.matching.sift import SiftBackend
from sfm.matching.sift.guided_pairs import match_guided
from sfm.types import Collection
from sfm.workspace.events import NullEvents
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import Workspace

_TABLES = ("matches", "two_view_geometries")
_BASE = "base.db"
"""Photos and features without any pair."""
_TIMED_PAIRS = 60


@dataclass(slots=True)
class GuidedWork:
    """What a run spent on pairs that were matched for it alone."""

    pairs: int = 0
    cpu_s: float = 0.0


@dataclass(slots=True)
class MatchedStore:
    """One collection: its workspace, photos and features, and every pair that any experiment asked for."""

    workspace: Workspace
    collection: Collection
    database: FeatureDatabase
    backend: SiftBackend

    @property
    def names(self) -> tuple[str, ...]:
        """All photos."""
        return self.collection.names

    def ensure(self, pairs: Iterable[Pair]) -> None:
        """Match what has not been matched yet."""
        self.backend.match({pair: Edge(0.0, Reason.USER) for pair in pairs}, self.collection, self.database)

    @property
    def seconds_per_pair(self) -> float:
        """Mean CPU seconds of matching and verifying a pair, measured once on a sample."""
        path = self.workspace.cache / "pair_cost.json"
        if not path.exists():
            drawn = np.random.default_rng(0)
            pairs = list(combinations(self.names, 2))
            chosen = drawn.choice(len(pairs), min(_TIMED_PAIRS, len(pairs)), replace=False)
            edges = {Pair.of(*pairs[i]): Edge(0.0, Reason.USER) for i in chosen}
            database = self.new_database(self.workspace.cache / "timing.db")
            started = time.process_time()
            self.backend.match(edges, self.collection, database)
            atomic_write_json(path, (time.process_time() - started) / len(edges))
            database.path.unlink()
        return float(json.loads(path.read_text(encoding="utf-8")))

    def new_database(self, path: Path) -> FeatureDatabase:
        """A database with all photos and features and no pair; an earlier one at the path is replaced."""
        base = self.workspace.cache / _BASE
        if not base.exists():
            scratch = base.with_suffix(".new")
            shutil.copyfile(self.database.path, scratch)
            with closing(sqlite3.connect(scratch)) as db:
                for table in _TABLES:
                    db.execute(f"DELETE FROM {table}")
                db.commit()
                db.execute("VACUUM")
            scratch.rename(base)
        path.parent.mkdir(parents=True, exist_ok=True)
        for rest in ("-wal", "-shm", "-journal"):  # of a run that was killed
            path.with_name(path.name + rest).unlink(missing_ok=True)
        shutil.copyfile(base, path)
        return FeatureDatabase(path)

    def give(
        self,
        edges: Mapping[Pair, Edge],
        database: FeatureDatabase,
        guides: Guides = NO_GUIDES,
        spent: GuidedWork | None = None,
    ) -> MatchReport:
        """Copy results of pairs to a run's database, matching what is missing; reports as a backend does.

        Pairs with a guide are matched for this run alone, as what is found depends on its model; what that
        costs is added to `spent`.
        """
        known = database.pairs()
        new = [pair for pair in edges if pair not in known]
        started = time.process_time()
        guided = self.match_guided(sorted(pair for pair in new if pair in guides), database, guides)
        if spent is not None:
            spent.pairs += len(guided)
            spent.cpu_s += time.process_time() - started
        wanted = [pair for pair in new if pair not in guided]
        self.ensure(wanted)
        ids = self.database.image_ids()
        numbers = [(pycolmap.image_pair_to_pair_id(ids[pair.a], ids[pair.b]),) for pair in wanted]
        with closing(sqlite3.connect(database.path)) as db:
            db.execute("ATTACH DATABASE ? AS store", (str(self.database.path),))
            db.execute("CREATE TEMP TABLE wanted (pair_id INTEGER PRIMARY KEY)")
            db.executemany("INSERT INTO wanted VALUES (?)", numbers)
            for table in _TABLES:
                source = f"SELECT * FROM store.{table} WHERE pair_id IN (SELECT pair_id FROM wanted)"
                db.execute(f"INSERT OR REPLACE INTO main.{table} {source}")
            db.commit()
        records = database.pairs()
        found = {pair: records[pair] for pair in sorted(edges) if pair in records}
        inliers = {pair: record.num_inliers for pair, record in found.items() if record.verified}
        return MatchReport(len(new), len(edges) - len(new), inliers)

    def match_guided(self, pairs: Sequence[Pair], database: FeatureDatabase, guides: Guides) -> set[Pair]:
        """As `sfm.matching.sift.guided_pairs.match_guided`, with the store's options."""
        config = self.backend.context.config
        return match_guided(
            pairs,
            guides,
            database,
            scratch_dir=self.workspace.cache,
            verify=config.verify,
            threads=self.backend.context.threads,
            seed=config.run.seed,
            progress=SilentProgress(),
        )


@contextmanager
def open_store(photo_set: PhotoSet, cache: Path, config: Config, *, threads: int) -> Iterator[MatchedStore]:
    """The store of a set of photos below `cache`, its photos described; each folder of photos has its own."""
    place = hashlib.sha256(str(photo_set.photos.resolve()).encode()).hexdigest()[:6]
    folder = cache / f"{photo_set.name}-{photo_set.content_key()}-{place}"
    with Workspace(folder, source=photo_set.photos) as workspace:
        backend = SiftBackend(BackendContext(workspace, config, threads, SilentProgress()))
        collection = ingest(
            photo_set.photos,
            images_dir=workspace.images,
            cache_dir=workspace.cache,
            config=config.images,
            threads=threads,
            events=NullEvents(),
            progress=SilentProgress(),
        )
        collection = with_positions(collection, config.georeference)  # which `sfm run` chooses pairs by, too
        database = FeatureDatabase(workspace.database)
        database.sync(collection, backend.keys())
        if backend.describe(collection, database).described:
            (workspace.cache / _BASE).unlink(missing_ok=True)
        yield MatchedStore(workspace, collection, database, backend)
