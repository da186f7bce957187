"""COLMAP databases for the peers, with our cameras and our SIFT options, and what they cost.

    python tools/bench engines.peer_database PHOTOS CACHE --threads N [--pairs WAY] [--option KEY=VALUE]

prints one line of JSON, a `PeerDatabase`. A database is kept under a key of photos, cameras, options, threads
and the way in which its pairs were chosen; described photos are kept apart, so that each way begins with the
same. Threads change what it costs, not what is in it; but its cost can only be measured by making it.
"""

import contextlib
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pycolmap
from harness.arguments import add_overrides, program
from harness.measured import Clock
from harness.one_at_a_time import only_process
from harness.process_tree import forget_own_peak, own_peak_mb
from harness.result_file import today

from engines.pair_choices import CHOICES, Matching, choice_key, proposes_all, train
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_sync import StageKeys
from sfm.config.loading import load_config
from sfm.config.schema import Config
from sfm.ingest import ingest
from sfm.matching.sift.colmap_extraction import describe_photos
from sfm.matching.sift.features import bounded_threads
from sfm.types import Collection
from sfm.workspace.events import NullEvents
from sfm.workspace.progress import SilentProgress

_KEYS = StageKeys("peer", "peer", "peer")
_UNNAMED_THREADS = 2
"""So many are not in a key: databases of before threads were told apart stay what they are."""


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
    threads: int | None = None
    """With which it was made; None where nobody kept it, like the next two."""
    described_on: str | None = None
    """Day in UTC on which the photos were read and described, for whichever way to choose pairs."""
    matched_on: str | None = None


def prepare(
    photos: Path, cache: Path, *, threads: int, config: Config, choice: str = "exhaustive"
) -> PeerDatabase:
    """Ingest, describe, choose and match pairs, or find that all this has been done before."""
    cache = cache.resolve()
    place = cache / "photos" / _place_key(photos, config, threads)
    place.mkdir(parents=True, exist_ok=True)
    with only_process(place), Clock() as ingesting:
        collection = _ingested(photos, place, config, threads)
    key = _key(collection, config, threads)
    if proposes_all(choice, len(collection.photos)):
        folder = cache / "databases" / key
    else:
        folder = cache / "databases" / f"{key}-{choice_key(choice)}"
    if not (folder / "figures.json").is_file():
        described = cache / "databases" / f"{key}-described"
        if not (described / "cost.json").is_file():
            _describe(collection, described, place, config, threads, ingesting)
        _match(collection, described, folder, choice, config, threads, ingesting)
    stored = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    known = {field.name for field in fields(PeerDatabase)}
    figures = {name: value for name, value in stored.items() if name in known}
    return PeerDatabase(**{**figures, "images": str(place / "images")})


def _place_key(photos: Path, config: Config, threads: int) -> str:
    """Of the folder alone where cameras are found as by default; others' images lie beside.

    What other threads have read lies beside, too: to find it read already would cost them nothing.
    """
    text = str(photos.resolve())
    if config.images != Config().images:
        text += repr(config.images)
    return _with_threads(hashlib.sha256(text.encode()).hexdigest()[:16], threads)


def _with_threads(key: str, threads: int) -> str:
    return key if threads == _UNNAMED_THREADS else f"{key}-{threads}t"


def _ingested(photos: Path, place: Path, config: Config, threads: int) -> Collection:
    return ingest(
        photos,
        images_dir=place / "images",
        cache_dir=place / "cache",
        config=config.images,
        threads=threads,
        events=NullEvents(),
        progress=SilentProgress(),
    )


def _describe(
    collection: Collection, folder: Path, place: Path, config: Config, threads: int, ingesting: Clock
) -> None:
    """Fill `folder` with the database before any matching; `cost.json` beside it says what it took."""
    with _replaced(folder, "cost.json") as fresh:
        database = FeatureDatabase(fresh / "database.db")
        database.sync(collection, _KEYS)
        with Clock() as describing:
            bounded = bounded_threads(threads, config.sift.max_image_size)
            describe_photos(collection.names, database, place / "images", None, config.sift, bounded)
        cost = {
            "ingest_s": ingesting.wall_s,
            "ingest_cpu_s": ingesting.cpu_s,
            "describe_s": describing.wall_s,
            "cpu_seconds": describing.cpu_s,
            "peak_memory_mb": own_peak_mb(),
            "described_on": today(),
        }
        (fresh / "cost.json").write_text(json.dumps(cost), encoding="utf-8")


def _match(
    collection: Collection,
    described: Path,
    folder: Path,
    choice: str,
    config: Config,
    threads: int,
    ingesting: Clock,
) -> None:
    """Fill `folder` with a matched copy and its figures."""
    now = {"ingest_s": ingesting.wall_s, "ingest_cpu_s": ingesting.cpu_s, "described_on": None}
    cost = {**now, **json.loads((described / "cost.json").read_text(encoding="utf-8"))}
    num_photos = len(collection.photos)
    way = "exhaustive" if proposes_all(choice, num_photos) else choice
    with _replaced(folder, "figures.json") as fresh:
        shutil.copyfile(described / "database.db", fresh / "database.db")
        database = FeatureDatabase(fresh / "database.db")
        job = Matching(database, config, threads, fresh)
        with Clock() as training:
            train(way, job)
        forget_own_peak()  # as its time, the memory of training counts in nothing
        with Clock() as matching:
            CHOICES[way](job)
        records = database.pairs()
        made = PeerDatabase(
            database=str(folder / "database.db"),
            images="",
            num_photos=num_photos,
            num_cameras=len({photo.camera_id for photo in collection.photos}),
            num_pairs=num_photos * (num_photos - 1) // 2 if way == "exhaustive" else len(records),
            num_verified_pairs=sum(record.verified for record in records.values()),
            ingest_s=cost["ingest_s"],
            describe_s=cost["describe_s"],
            match_s=matching.wall_s,
            cpu_seconds=cost["ingest_cpu_s"] + cost["cpu_seconds"] + matching.cpu_s,
            peak_memory_mb=max(cost["peak_memory_mb"], own_peak_mb()),
            train_s=training.wall_s,
            threads=threads,
            described_on=cost["described_on"],
            matched_on=today(),
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


def _key(collection: Collection, config: Config, threads: int) -> str:
    """Hash of all that the database depends on, and the threads that its cost depends on."""
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
    return _with_threads(hashlib.sha256(repr(parts).encode()).hexdigest()[:16], threads)


def main() -> None:
    """Prepare one database and print its figures."""
    parser = program(__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--pairs", choices=sorted(CHOICES), default="exhaustive")
    add_overrides(parser)
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    config = load_config(overrides=options.option)
    made = prepare(
        options.photos, options.cache, threads=options.threads, config=config, choice=options.pairs
    )
    print(json.dumps(asdict(made)))


if __name__ == "__main__":
    main()
