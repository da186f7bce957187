"""Camera poses and points from verified pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pycolmap

from retrieval import Pair
from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.workspace.events import EventSink
from sfm.workspace.progress import Progress

from .cameras.wrong_focal_lengths import WrongFocalLength, find_wrong_focal_lengths
from .edits.ambiguous_parts import AmbiguousPart, ambiguous_parts
from .measures.covisibility import predicted_overlaps
from .registrar import MappingResult, finish_graph_models, reconstruct_graph, reconstruct_with_peer
from .scene.depth_source import DepthSource
from .scene.existing_models import ExistingModels
from .scene.pair_matches import PairMatches
from .scene.view_graph import MIN_NUM_INLIERS, TwoView, ViewGraph
from .view_graph.inconsistent_pairs import InconsistencyReport, InconsistentPair, find_inconsistent_pairs
from .view_graph.pair_rotations import read_rotations

__all__ = [
    "MIN_NUM_INLIERS",
    "AmbiguousPart",
    "DepthSource",
    "ExistingModels",
    "InconsistencyReport",
    "InconsistentPair",
    "MappingResult",
    "PairMatches",
    "TwoView",
    "ViewGraph",
    "WrongFocalLength",
    "ambiguous_parts",
    "find_inconsistent_pairs",
    "find_wrong_focal_lengths",
    "finish_models",
    "predicted_overlaps",
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
    deferred: frozenset[Pair] = frozenset(),
    finished: bool = True,
    fresh: bool = True,
    existing: ExistingModels | None = None,
    scratch: Path | None = None,
) -> MappingResult:
    """Build models from the verified pairs of a COLMAP database; no model is a result, not an error.

    Args:
        database: COLMAP database with keypoints and two-view geometries; only read.
        config: of registration; `config.mapper` chooses our loop or one of COLMAP's mappers.
        refine: which intrinsics may change.
        fixed_cameras: camera ids whose intrinsics never change.
        threads: threads to use; results are bit-equal only for the same number.
        seed: of everything random.
        events: receives every decision, stage `register`.
        progress: counts registered images.
        start: models of an earlier round to continue from (our loop only); they are left unchanged.
        focal_guesses: focal lengths (px) by camera id, for cameras without a better one; held where
            nearly all matches are of pairs alone (our loop only).
        depth: depth of single images, for those without common points or parallax, and for the scale of
            models where it is metric (our loop only).
        deferred: pairs that may be false: models grow without them, then those that agree are admitted,
            unless `config` trusts them (our loop only).
        finished: False leaves models unfinished, for `finish_models` later (our loop only).
        fresh: whether separate or incomplete models are also started again, which may join them (our loop
            only).
        existing: models made elsewhere, which are grown and never replaced; `start` has them as an
            earlier round left them (our loop only).
        scratch: folder of this run alone for files between processes, left empty; None: a temporary one
            (our loop only).

    Returns:
        Models of at least `config.min_model_size` images, largest first, and the view graph.
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
            deferred=_held_back(deferred, config),
            finished=finished,
            fresh=fresh,
            existing=existing,
            scratch=scratch,
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


def finish_models(
    database: Path,
    models: Sequence[pycolmap.Reconstruction],
    *,
    config: RegisterConfig,
    refine: RefineConfig,
    fixed_cameras: frozenset[int] = frozenset(),
    threads: int,
    seed: int,
    events: EventSink,
    focal_guesses: Mapping[int, float] | None = None,
    depth: DepthSource | None = None,
    deferred: frozenset[Pair] = frozenset(),
    existing: ExistingModels | None = None,
) -> tuple[pycolmap.Reconstruction, ...]:
    """The last adjustment of models that `reconstruct` left unfinished; COLMAP's own are finished already.

    See `reconstruct` for the arguments.
    """
    if config.mapper != "graph":
        return tuple(models)
    return finish_graph_models(
        database,
        models,
        config=config,
        refine=refine,
        fixed_cameras=fixed_cameras,
        threads=threads,
        seed=seed,
        events=events,
        focal_guesses=focal_guesses or {},
        depth=depth,
        deferred=_held_back(deferred, config),
        existing=existing,
    )


def _held_back(deferred: frozenset[Pair], config: RegisterConfig) -> frozenset[Pair]:
    return deferred if config.inconsistent_pairs == "defer" else frozenset()
