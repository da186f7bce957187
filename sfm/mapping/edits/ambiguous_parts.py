"""Pairs that would tell at which of two places a part of a model stands, where too few were tried to tell."""

from __future__ import annotations

from collections.abc import Sequence
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
"""Pairs to ask for beyond those that are missing: a model that has changed foretells other ones."""


@dataclass(frozen=True, slots=True)
class AmbiguousPart:
    """Photos of a model that may belong elsewhere, and untried pairs that should match if they stand there.

    Where the photos are now, or where most of the pairs that contradict them would have them.
    """

    names: frozenset[str]
    deciding: tuple[Pair, ...]
    """Most overlap first; as many as it takes."""


def ambiguous_parts(
    database: Path, models: Sequence[pycolmap.Reconstruction], *, config: RegisterConfig, seed: int
) -> list[AmbiguousPart]:
    """Places of parts of models that verified pairs contradict, of which it has to be asked whether they are.

    Args:
        database: COLMAP database with keypoints and two-view geometries; only read.
        models: of its photos, unchanged; need not be settled.
        config: how photos are registered.
        seed: of everything random.
    """
    scene = Scene.open(database)
    options = mapper_options(config, RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=seed)
    context = MappingContext(scene, options, lambda name: None)
    found: list[AmbiguousPart] = []
    for model in models:
        for other in alternative_placements(context, Submodel.of(model)):
            asked = (AmbiguousPart(other.part, _deciding_pairs(place)) for place in (other.here, other.there))
            found += [place for place in asked if place.deciding]
    return found


def _deciding_pairs(place: CovisibilityTest) -> tuple[Pair, ...]:
    """Pairs to ask for; none where even all that are left would not tell."""
    if not 0 < place.num_missing <= len(place.untried):
        return ()
    return place.untried[: place.num_missing + _MARGIN]
