"""Stage: match and verify proposed pairs that the database doesn't hold yet, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pycolmap

from retrieval import Edge, Pair
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import MatchingConfig
from sfm.matching.backend import MatchReport
from sfm.matching.verification import record_pairs, write_pair_list
from sfm.workspace.events import EventSink
from sfm.workspace.progress import Progress
from sfm.workspace.workspace import require_space

from .descriptors import ProbedPhotos, finds_itself

_MAX_PAIRS_A_CHUNK = 64
_MAX_SECONDS_A_CHUNK = 15.0
"""A kill loses at most one chunk: 64 pairs, or what began within 15 seconds."""

_BYTES_PER_PAIR = 100_000
"""In the database: some thousand matches and inliers of 8 bytes, and SQLite's write-ahead log."""


def match_pairs(
    edges: Mapping[Pair, Edge],
    database: FeatureDatabase,
    *,
    scratch_dir: Path,
    config: MatchingConfig,
    geometry: pycolmap.TwoViewGeometryOptions,
    threads: int,
    events: EventSink,
    progress: Progress,
    photos: ProbedPhotos | None = None,
) -> MatchReport:
    """Match descriptors and estimate the two-view geometry of every pair in `edges`.

    Each chunk of at most 64 pairs is in the database when the next begins; pairs already there are skipped.
    RANSAC is seeded for each pair, so results don't depend on the chunks. `events` receives a `pair` event a
    pair. `photos` keeps descriptors for the next call.
    """
    done = database.pairs()
    todo = sorted(pair for pair in edges if pair not in done)
    options = matching_options(config, threads)
    size, photos = min(_MAX_PAIRS_A_CHUNK, 8 * threads), photos or ProbedPhotos()
    matched = database.matched_pairs()  # those of a camera that has changed since are verified alone
    with (
        progress.task("match", len(todo), unit="pairs") as task,
        ThreadPoolExecutor(threads) as pool,
    ):
        waiting = iter(todo)
        while chunk := list(islice(waiting, size)):
            require_space(database.path.parent, len(chunk) * _BYTES_PER_PAIR)
            started = time.monotonic()
            if finds_itself(options):
                unmatched = (pair for pair in chunk if pair not in matched)
                database.add_matches({}, photos.matches(unmatched, database, options.sift, pool))
            _match_chunk(chunk, database, scratch_dir / "pairs.txt", options, geometry)
            task.advance(len(chunk))
            size = _next_size(len(chunk), time.monotonic() - started)
    inliers = record_pairs(edges, todo, database.pairs(), events)
    return MatchReport(len(todo), len(edges) - len(todo), inliers)


def matching_options(config: MatchingConfig, threads: int) -> pycolmap.FeatureMatchingOptions:
    """pycolmap's options for ours."""
    options = pycolmap.FeatureMatchingOptions()
    options.num_threads = threads
    options.use_gpu = False
    config.colmap.set_on("feature_matching", options)
    config.colmap.set_on("sift_matching", options.sift)
    return options


def _next_size(size: int, seconds: float) -> int:
    by_time = int(size * _MAX_SECONDS_A_CHUNK / max(seconds, 1e-3))
    return max(1, min(_MAX_PAIRS_A_CHUNK, by_time))


def _match_chunk(
    pairs: Sequence[Pair],
    database: FeatureDatabase,
    list_path: Path,
    options: pycolmap.FeatureMatchingOptions,
    geometry: pycolmap.TwoViewGeometryOptions,
) -> None:
    """COLMAP's matching and verification; pairs whose matches are there are verified alone."""
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = list_path
    with database.plain_names() as plain:
        write_pair_list(list_path, pairs, plain)
        pycolmap.match_image_pairs(database.path, options, pairing, geometry, device=pycolmap.Device.cpu)
