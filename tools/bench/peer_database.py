"""Exhaustive COLMAP databases for the peers, with our cameras and our SIFT options, and what they cost.

    python tools/bench/peer_database.py PHOTOS CACHE --threads N

prints one line of JSON, a `PeerDatabase`. A database is kept under a key of photos, cameras and options.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pycolmap

from sfm.config.schema import Config
from sfm.database import FeatureDatabase, StageKeys
from sfm.events import NullEvents
from sfm.ingest import ingest
from sfm.progress import SilentProgress
from sfm.sift.features import describe
from sfm.sift.matching import matching_options
from sfm.types import Collection
from sfm.verification import verification_options


@dataclass(frozen=True, slots=True)
class PeerDatabase:
    """A database in which every pair has been matched, and the seconds of each stage."""

    database: str
    images: str
    num_photos: int
    num_cameras: int
    num_pairs: int
    num_verified_pairs: int
    ingest_s: float
    describe_s: float
    match_s: float
    cpu_seconds: float
    peak_memory_mb: float


def prepare(photos: Path, cache: Path, *, threads: int, config: Config) -> PeerDatabase:
    """Ingest, describe and match all pairs, or find that all this has been done before."""
    cache = cache.resolve()
    place = cache / "photos" / hashlib.sha256(str(photos.resolve()).encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    with _timed(seconds, "ingest_s"):
        collection = ingest(
            photos,
            images_dir=place / "images",
            cache_dir=place / "cache",
            config=config.images,
            threads=threads,
            events=NullEvents(),
            progress=SilentProgress(),
        )
    folder = cache / "databases" / _key(collection, config)
    if not (folder / "figures.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        made = _build(collection, folder / "database.db", place / "images", config, threads, seconds)
        (folder / "figures.json").write_text(json.dumps(asdict(made), indent=1), encoding="utf-8")
    stored = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    return PeerDatabase(**{**stored, "images": str(place / "images")})


def _build(
    collection: Collection,
    path: Path,
    images: Path,
    config: Config,
    threads: int,
    seconds: dict[str, float],
) -> PeerDatabase:
    database = FeatureDatabase(path)
    database.sync(collection, StageKeys("peer", "peer", "peer"))
    with _timed(seconds, "describe_s"):
        describe(
            collection,
            database,
            images_dir=images,
            masks_dir=None,
            config=config.sift,
            threads=threads,
            events=NullEvents(),
            progress=SilentProgress(),
        )
    with _timed(seconds, "match_s"):
        pycolmap.match_exhaustive(
            path,
            matching_options=matching_options(config.matching, threads),
            verification_options=verification_options(config.verify, config.run.seed),
            device=pycolmap.Device.cpu,
        )
    records = database.pairs()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    num_photos = len(collection.photos)
    return PeerDatabase(
        database=str(path),
        images=str(images),
        num_photos=num_photos,
        num_cameras=len({photo.camera_id for photo in collection.photos}),
        num_pairs=num_photos * (num_photos - 1) // 2,
        num_verified_pairs=sum(record.verified for record in records.values()),
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory_mb=usage.ru_maxrss / 1024,
        **seconds,
    )


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


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[name] = time.monotonic() - started


def main() -> None:
    """Prepare one database and print its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    made = prepare(options.photos, options.cache, threads=options.threads, config=Config())
    print(json.dumps(asdict(made)))


if __name__ == "__main__":
    main()
