"""Pairs that would tell at which of two places a part of a model stands, where too few were tried to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from retrieval import Pair
from sfm.config.schema import RefineConfig, RegisterConfig

from ..growing.trials import Trial, Workbench
from ..measures.covisibility_test import SharedPlace
from ..scene.options import mapper_options
from ..scene.scene import Scene
from .alternative_poses import other_places

_MARGIN = 4
"""Pairs to ask for beyond those that are missing: a model that has changed foretells other ones."""


@dataclass(frozen=True, slots=True)
class ContestedPlace:
    """Photos of a model that may belong elsewhere, and untried pairs that should match if they stand there.

    Where the photos are now, or where most of the pairs that contradict them would have them.
    """

    names: frozenset[str]
    telling: tuple[Pair, ...]
    """Most overlap first; as many as it takes."""


def contested_places(
    database: Path, models: Sequence[pycolmap.Reconstruction], *, config: RegisterConfig, seed: int
) -> list[ContestedPlace]:
    """Places of parts of models that verified pairs contradict, of which it has to be asked whether they are.

    Args:
        database: COLMAP database with keypoints and two-view geometries; only read.
        models: of its photos, unchanged; need not be settled.
        config: how photos are registered.
        seed: of everything random.
    """
    scene = Scene.open(database)
    options = mapper_options(config, RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=seed)
    bench = Workbench(scene, options, lambda name: None)
    found: list[ContestedPlace] = []
    for model in models:
        for other in other_places(bench, Trial.of(model)):
            asked = (ContestedPlace(other.part, _telling(place)) for place in (other.here, other.there))
            found += [place for place in asked if place.telling]
    return found


def _telling(place: SharedPlace) -> tuple[Pair, ...]:
    """Pairs to ask for; none where even all that are left would not tell."""
    if not 0 < place.num_missing <= len(place.untried):
        return ()
    return place.untried[: place.num_missing + _MARGIN]
