"""COLMAP databases for the peers, with our cameras and our SIFT options, and what they cost.

    python tools/bench/peer_database.py PHOTOS CACHE --threads N [--pairs vocabulary|…] [--option KEY=VALUE]

prints one line of JSON, a `PeerDatabase`. A database is kept under a key of photos, cameras, options and the
way in which its pairs were chosen; described photos are kept apart, so that each way begins with the same.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import resource
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pycolmap
from one_at_a_time import only_process
from pair_choices import CHOICES, Matching, choice_key, proposes_all, train

from sfm.config.loading import load_config
from sfm.config.schema import Config
from sfm.database import FeatureDatabase, StageKeys
from sfm.events import NullEvents
from sfm.ingest import ingest
from sfm.progress import SilentProgress
from sfm.sift.features import describe
from sfm.types import Collection

_KEYS = StageKeys("peer", "peer", "peer")


@dataclass(frozen=True, slots=True)
class PeerDatabase:
    """A database in which pairs have been matched, and the seconds of each stage."""

    database: str
    images: str
    num_photos: int
    num_cameras: int
    num_pairs: int
    """Matched."""
    num_verified_pairs: int
    ingest_s: float
    describe_s: float
    match_s: float
    """Choosing the pairs is part of it."""
    cpu_seconds: float
    peak_memory_mb: float
    train_s: float = 0.0
    """Training the vocabulary tree, which is in no other figure."""


def prepare(
    photos: Path, cache: Path, *, threads: int, config: Config, choice: str = "exhaustive"
) -> PeerDatabase:
    """Ingest, describe, choose and match pairs, or find that all this has been done before."""
    cache = cache.resolve()
    place = cache / "photos" / _place_key(photos, config)
    place.mkdir(parents=True, exist_ok=True)
    with only_process(place):
        collection, ingest_s = _ingested(photos, place, config, threads)
    key = _key(collection, config)
    if proposes_all(choice, len(collection.photos)):
        folder = cache / "databases" / key
    else:
        folder = cache / "databases" / f"{key}-{choice_key(choice)}"
    if not (folder / "figures.json").is_file():
        described = _described(collection, cache / "databases" / f"{key}-described", place, config, threads)
        _match(collection, described, folder, choice, config, threads, ingest_s)
    stored = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    return PeerDatabase(**{**stored, "images": str(place / "images")})


def _place_key(photos: Path, config: Config) -> str:
    """Of the folder alone where cameras are found as by default; others' images lie beside."""
    text = str(photos.resolve())
    if config.images != Config().images:
        text += repr(config.images)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _ingested(photos: Path, place: Path, config: Config, threads: int) -> tuple[Collection, float]:
    started = time.monotonic()
    collection = ingest(
        photos,
        images_dir=place / "images",
        cache_dir=place / "cache",
        config=config.images,
        threads=threads,
        events=NullEvents(),
        progress=SilentProgress(),
    )
    return collection, time.monotonic() - started


def _described(collection: Collection, folder: Path, place: Path, config: Config, threads: int) -> Path:
    """Folder of the database before any matching; `cost.json` beside it says what it took."""
    if (folder / "cost.json").is_file():
        return folder
    with _replaced(folder, "cost.json") as fresh:
        database = FeatureDatabase(fresh / "database.db")
        database.sync(collection, _KEYS)
        started, cpu_before = time.monotonic(), _cpu_seconds()
        describe(
            collection,
            database,
            images_dir=place / "images",
            masks_dir=None,
            config=config.sift,
            threads=threads,
            events=NullEvents(),
            progress=SilentProgress(),
        )
        cost = {"describe_s": time.monotonic() - started, "cpu_seconds": _cpu_seconds() - cpu_before}
        cost["peak_memory_mb"] = _peak_memory_mb()
        (fresh / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
    return folder


def _match(
    collection: Collection,
    described: Path,
    folder: Path,
    choice: str,
    config: Config,
    threads: int,
    ingest_s: float,
) -> None:
    """Fill `folder` with a matched copy and its figures."""
    cost = json.loads((described / "cost.json").read_text(encoding="utf-8"))
    num_photos = len(collection.photos)
    way = "exhaustive" if proposes_all(choice, num_photos) else choice
    with _replaced(folder, "figures.json") as fresh:
        shutil.copyfile(described / "database.db", fresh / "database.db")
        database = FeatureDatabase(fresh / "database.db")
        job = Matching(database, config, threads, fresh)
        train_started = time.monotonic()
        train(way, job)
        started, cpu_before = time.monotonic(), _cpu_seconds()
        CHOICES[way](job)
        records = database.pairs()
        made = PeerDatabase(
            database=str(folder / "database.db"),
            images="",
            num_photos=num_photos,
            num_cameras=len({photo.camera_id for photo in collection.photos}),
            num_pairs=num_photos * (num_photos - 1) // 2 if way == "exhaustive" else len(records),
            num_verified_pairs=sum(record.verified for record in records.values()),
            ingest_s=ingest_s,
            describe_s=cost["describe_s"],
            match_s=time.monotonic() - started,
            cpu_seconds=cost["cpu_seconds"] + _cpu_seconds() - cpu_before,
            train_s=started - train_started,
            peak_memory_mb=max(cost["peak_memory_mb"], _peak_memory_mb()),
        )
        (fresh / "figures.json").write_text(json.dumps(asdict(made), indent=1), encoding="utf-8")


@contextmanager
def _replaced(folder: Path, last: str) -> Iterator[Path]:
    """An empty folder that becomes `folder` when all went well, unless another process was faster.

    `last` is the file that is written last.
    """
    fresh = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if not (folder / last).is_file():
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # that one is whole and may be in use
            fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _key(collection: Collection, config: Config) -> str:
    """Hash of all that the database depends on."""
    photos = [(photo.name, photo.sha256, photo.camera_id) for photo in collection.photos]
    cameras = sorted(collection.cameras.items())
    parts = (
        photos,
        cameras,
        config.sift,
        config.matching,
        config.verify,
        config.run.seed,
        pycolmap.__version__,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Prepare one database and print its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--pairs", choices=sorted(CHOICES), default="exhaustive")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    config = load_config(overrides=options.option)
    made = prepare(
        options.photos, options.cache, threads=options.threads, config=config, choice=options.pairs
    )
    print(json.dumps(asdict(made)))


if __name__ == "__main__":
    main()
