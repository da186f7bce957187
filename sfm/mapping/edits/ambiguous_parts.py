"""Untried pairs that would decide between two placements of a part."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from retrieval import Pair
from sfm.config.schema import RefineConfig, RegisterConfig

from ..growing.submodels import MappingContext, Submodel
from ..measures.covisibility_test import CovisibilityTest
from ..scene.options import mapper_options
from ..scene.scene import Scene
from .alternative_poses import alternative_placements

_MARGIN = 4
"""Pairs beyond the missing ones: a changed model predicts other overlaps."""


@dataclass(frozen=True, slots=True)
class AmbiguousPart:
    """Images that may belong elsewhere in a model, and untried pairs that overlap at one placement."""

    names: frozenset[str]
    deciding: tuple[Pair, ...]
    """Most overlap first; as many as it takes."""


def ambiguous_parts(
    database: Path,
    models: Sequence[pycolmap.Reconstruction],
    deferred: Set[Pair] = frozenset(),
    *,
    config: RegisterConfig,
    seed: int,
) -> list[AmbiguousPart]:
    """Parts with two possible placements and the untried pairs that would decide between them.

    Args:
        database: COLMAP database with keypoints and two-view geometries; only read.
        models: of its images, unchanged; need not be settled.
        deferred: pairs that count for no placement.
        config: of registration.
        seed: of everything random.
    """
    scene = Scene.open(database)
    options = mapper_options(config, RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=seed)
    context = MappingContext(scene, options, lambda name: None)
    found: list[AmbiguousPart] = []
    for model in models:
        for other in alternative_placements(context, Submodel.of(scene.with_all_keypoints(model)), deferred):
            asked = (AmbiguousPart(other.part, _deciding_pairs(place)) for place in (other.here, other.there))
            found += [place for place in asked if place.deciding]
    return found


def _deciding_pairs(place: CovisibilityTest) -> tuple[Pair, ...]:
    """Untried pairs that decide on a placement; none where even all of them are too few."""
    if not 0 < place.num_missing <= len(place.untried):
        return ()
    return place.untried[: place.num_missing + _MARGIN]
