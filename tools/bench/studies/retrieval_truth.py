"""Which photos of a collection show the same place: SIFT, all pairs matched and verified, kept between runs.

A pair is true when it has at least 30 verified inliers. In large collections only a sample (drawn with
a fixed seed) is matched with all others: what is measured is then the mean over these photos instead of all,
and each one's partners are still known completely.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap
from numpy.typing import NDArray
from photo_sets.sets import PhotoSet

from retrieval import Edge, Pair, Reason
from sfm.colmap.database import FeatureDatabase, StageKeys
from sfm.config.schema import Config
from sfm.ingest import ingest
from sfm.matching.sift.features import describe
from sfm.matching.sift.matching import match_pairs
from sfm.workspace.events import NullEvents
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import content_key

MIN_INLIERS = 30


class Sample(NamedTuple):
    """Which photos are matched with all others: all of a collection, or `size` of a larger one."""

    size: int
    all_up_to: int


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """A collection of N photos, and what retrieval should find in it; equal only to itself."""

    name: str
    database: Path
    names: tuple[str, ...]
    keypoints: tuple[NDArray[np.float32], ...]
    """(n, 6) of each photo."""
    sift: tuple[NDArray[np.uint8], ...]
    """(n, 128) RootSIFT of each photo."""
    asked: NDArray[np.int64]
    """(Q,) photos whose partners are all known."""
    partners: NDArray[np.bool_]
    """(N, N), symmetric; rows of `asked` are complete."""
    seconds: float
    """What making it took in this run; next to nothing where all was there."""


def prepare_truth(photo_set: PhotoSet, cache: Path, config: Config, *, sample: Sample, threads: int) -> Truth:
    """Describe and match what `cache` doesn't hold yet; a run that was stopped goes on where it was.

    Args:
        photo_set: the photos.
        cache: holds a folder a collection.
        config: `images`, `sift`, `matching`, `verify` and the seed are used.
        sample: how many photos are matched with all others.
        threads: of describing and matching.
    """
    started = time.perf_counter()
    folder = cache.resolve() / photo_set.name
    (folder / "cache").mkdir(parents=True, exist_ok=True)
    collection = ingest(
        photo_set.photos,
        images_dir=folder / "images",
        cache_dir=folder / "cache",
        config=config.images,
        threads=threads,
        events=NullEvents(),
        progress=SilentProgress(),
    )
    database = FeatureDatabase(folder / "database.db")
    database.sync(collection, _keys(config))
    describe(
        collection,
        database,
        images_dir=folder / "images",
        masks_dir=None,
        config=config.sift,
        threads=threads,
        events=NullEvents(),
        progress=SilentProgress(),
    )
    names = tuple(sorted(database.num_keypoints()))
    asked = asked_photos(len(names), sample)
    match_pairs(
        {pair: Edge(0.0, Reason.EXHAUSTIVE) for pair in _pairs_of(names, asked)},
        database,
        scratch_dir=folder / "cache",
        config=config.matching,
        verify=config.verify,
        threads=threads,
        seed=config.run.seed,
        events=NullEvents(),
        progress=SilentProgress(),
    )
    features = [database.features(name) for name in names]
    return Truth(
        photo_set.name,
        database.path,
        names,
        tuple(keypoints for keypoints, _ in features),
        tuple(descriptors for _, descriptors in features),
        asked,
        _partners(database, names),
        time.perf_counter() - started,
    )


def asked_photos(count: int, sample: Sample) -> NDArray[np.int64]:
    """Positions of the photos that ask, ascending: all, or a sample; a larger sample only adds photos."""
    drawn = np.random.default_rng(0).permutation(count)
    return np.sort(drawn if count <= sample.all_up_to else drawn[: sample.size])


def _keys(config: Config) -> StageKeys:
    features = content_key("truth", pycolmap.__version__, config.sift)
    matches = content_key(features, config.matching)
    return StageKeys(features, matches, content_key(matches, config.verify, config.run.seed))


def _pairs_of(names: tuple[str, ...], asked: NDArray[np.int64]) -> Iterable[Pair]:
    return {Pair.of(names[i], other) for i in asked.tolist() for other in names if other != names[i]}


def _partners(database: FeatureDatabase, names: tuple[str, ...]) -> NDArray[np.bool_]:
    rows = {name: i for i, name in enumerate(names)}
    partners = np.zeros((len(names), len(names)), bool)
    for pair, record in database.pairs().items():
        a, b = rows[pair.a], rows[pair.b]
        partners[a, b] = partners[b, a] = record.num_inliers >= MIN_INLIERS
    return partners
