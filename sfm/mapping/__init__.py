"""Camera poses and points from verified pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pycolmap

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.events import EventSink
from sfm.progress import Progress

from .cameras import ForeignPhoto, find_foreign_photos
from .depth import DepthSource
from .pair_matches import PairMatches
from .pair_rotations import read_rotations
from .registrar import MappingResult, reconstruct_graph, reconstruct_with_peer
from .suspects import Suspect, SuspectReport, find_suspects
from .view_graph import MIN_NUM_INLIERS, TwoView, ViewGraph

__all__ = [
    "MIN_NUM_INLIERS",
    "DepthSource",
    "ForeignPhoto",
    "MappingResult",
    "PairMatches",
    "Suspect",
    "SuspectReport",
    "TwoView",
    "ViewGraph",
    "find_foreign_photos",
    "find_suspects",
    "read_rotations",
    "reconstruct",
]


def reconstruct(
    database: Path,
    *,
    config: RegisterConfig,
    refine: RefineConfig,
    fixed_cameras: frozenset[int] = frozenset(),
    threads: int,
    seed: int,
    events: EventSink,
    progress: Progress,
    start: Sequence[pycolmap.Reconstruction] = (),
    focal_guesses: Mapping[int, float] | None = None,
    depth: DepthSource | None = None,
) -> MappingResult:
    """Build models from the verified pairs of a COLMAP database; no model is a result, not an error.

    Args:
        database: COLMAP database with keypoints and two-view geometries; only read.
        config: how photos are registered; `config.mapper` chooses our loop or one of COLMAP's.
        refine: which intrinsics may change.
        fixed_cameras: camera ids whose intrinsics never change.
        threads: threads to use; results are bit-equal only for the same number.
        seed: of everything random.
        events: told of every decision, stage `register`.
        progress: counts registered photos.
        start: models of an earlier round to continue from (our loop only); they are left unchanged.
        focal_guesses: focal lengths (px) by camera id, for cameras that nothing better is known of (our loop
            only).
        depth: depth of single photos, for those that share no point with a model or have no parallax, and for
            the scale of models where it is metric (our loop only).

    Returns:
        Models of at least `config.min_model_size` photos, largest first, and the view graph.
    """
    if config.mapper == "graph":
        return reconstruct_graph(
            database,
            config=config,
            refine=refine,
            fixed_cameras=fixed_cameras,
            threads=threads,
            seed=seed,
            events=events,
            progress=progress,
            start=start,
            focal_guesses=focal_guesses or {},
            depth=depth,
        )
    return reconstruct_with_peer(
        database,
        mapper=config.mapper,
        config=config,
        refine=refine,
        fixed_cameras=fixed_cameras,
        threads=threads,
        seed=seed,
        events=events,
    )
