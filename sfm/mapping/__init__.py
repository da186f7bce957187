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
        config: how photos are registered; `config.mapper` chooses our loop or one of COLMAP's.
        refine: which intrinsics may change.
        fixed_cameras: camera ids whose intrinsics never change.
        threads: threads to use; results are bit-equal only for the same number.
        seed: of everything random.
        events: told of every decision, stage `register`.
        progress: counts registered photos.
        start: models of an earlier round to continue from (our loop only); they are left unchanged.
        focal_guesses: focal lengths (px) by camera id, for cameras that nothing better is known of; held
            where nearly all matches are of pairs alone (our loop only).
        depth: depth of single photos, for those that share no point with a model or have no parallax, and for
            the scale of models where it is metric (our loop only).
        deferred: pairs that may be look-alikes': models are grown without them, and then those are let in
            that agree with the models, unless `config` trusts them (our loop only).
        finished: False leaves models good enough to go on from, for `finish_models` later (our loop only).
        fresh: whether models that stay apart, or leave photos out, are also begun anew, which may join them
            (our loop only).
        existing: models made elsewhere, which are grown and never replaced; `start` holds them as an earlier
            round left them (our loop only).
        scratch: folder of this run alone for what processes hand to each other, left empty; None: one of
            the system's (our loop only).

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
