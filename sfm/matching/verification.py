"""Two-view geometry of matched pairs: options, a list of pairs for COLMAP, and what came out as events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pycolmap

from retrieval import Edge, Pair
from sfm.colmap.database import FeatureDatabase, PairRecord
from sfm.config.schema import VerifyConfig
from sfm.types import Photo
from sfm.workspace.events import EventSink
from sfm.workspace.progress import Progress

_CHUNK = 256


def verification_options(
    config: VerifyConfig, seed: int, photos: Iterable[Photo] = ()
) -> pycolmap.TwoViewGeometryOptions:
    """pycolmap's options for ours.

    Where a camera stood still, matches that rest are left out. Masks over its background leave some, since
    keypoints at the outline of what moves are of both, and a small object has few matches of its own.
    """
    options = pycolmap.TwoViewGeometryOptions()
    options.filter_stationary_matches = any(photo.is_camera_still for photo in photos)
    options.min_num_inliers = config.min_num_inliers
    options.ransac.max_error = config.max_error_px
    options.ransac.random_seed = seed
    config.colmap.set_on("two_view_geometry", options)
    return options


def write_pair_list(path: Path, pairs: Iterable[Pair], plain: Mapping[str, str]) -> None:
    """A list of pairs as COLMAP reads it; `plain` maps names to names without blanks."""
    lines = [f"{plain[pair.a]} {plain[pair.b]}\n" for pair in pairs]
    path.write_text("".join(lines), encoding="utf-8")


def verify_pairs(
    pairs: Sequence[Pair],
    database: FeatureDatabase,
    *,
    scratch_dir: Path,
    options: pycolmap.TwoViewGeometryOptions,
    progress: Progress,
) -> None:
    """Estimate the two-view geometry of pairs whose matches are in the database, a chunk at a time.

    For the matchers by networks; SIFT verifies what it matches at once.
    RANSAC is seeded for each pair, so results don't depend on the chunks.
    """
    list_path = scratch_dir / "pairs.txt"
    with progress.task("verify", len(pairs), unit="pairs") as task, database.plain_names() as plain:
        for start in range(0, len(pairs), _CHUNK):
            chunk = pairs[start : start + _CHUNK]
            write_pair_list(list_path, chunk, plain)
            pycolmap.verify_matches(database.path, list_path, options)
            task.advance(len(chunk))


def record_pairs(
    edges: Mapping[Pair, Edge],
    matched: Iterable[Pair],
    records: Mapping[Pair, PairRecord],
    events: EventSink,
    *,
    why: Mapping[Pair, str] = MappingProxyType({}),
    failed: Mapping[Pair, str] = MappingProxyType({}),
    matcher: str = "",
) -> dict[Pair, int]:
    """Emit a `pair` event for every edge; `matched` are those matched now. Returns inliers of verified pairs.

    Args:
        why: reason, for pairs that were given up before verification, now or in an earlier run.
        failed: reason, for pairs that could not be matched in this run.
        matcher: that matched the pairs, where it is not the backend's own.
    """
    fresh, reasons = set(matched), {**why, **failed}
    for pair in sorted(edges):
        record = records.get(pair, PairRecord(0, 0, "UNDEFINED"))
        notes: dict[str, object] = {"why": reasons[pair]} if pair in reasons else {}
        if matcher:
            notes["matcher"] = matcher
        if pair in failed:
            notes["failed"] = True
        events.emit(
            "match",
            "pair",
            a=pair.a,
            b=pair.b,
            round=edges[pair].round,
            reason=str(edges[pair].reason),
            num_matches=record.num_matches,
            num_inliers=record.num_inliers if record.verified else 0,
            config=record.config,
            cached=pair not in fresh,
            **notes,
        )
    known = {pair: records[pair] for pair in sorted(edges) if pair in records}
    return {pair: record.num_inliers for pair, record in known.items() if record.verified}
