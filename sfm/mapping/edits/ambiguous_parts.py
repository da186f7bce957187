"""Untried pairs that would decide between two placements of a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from retrieval import Pair
from sfm.config.schema import RefineConfig, RegisterConfig

from ..growing.submodels import MappingContext, Submodel
from ..pose_consistency.placement import placement_log_odds
from ..pose_consistency.pose_features import ModelEvidence
from ..scene.options import mapper_options
from ..scene.photo_source import PhotoSource
from ..scene.scene import Scene
from .alternative_poses import AlternativePlacement, alternative_placements

_NUM_ASKED = 6
"""Pairs of a placement in one round: where they match, others decide in the next."""


@dataclass(frozen=True, slots=True)
class AmbiguousPart:
    """Images that may belong elsewhere in a model, and untried pairs that overlap at one placement."""

    names: frozenset[str]
    deciding: tuple[Pair, ...]
    """Most overlap first."""


def ambiguous_parts(
    database: Path,
    models: Sequence[pycolmap.Reconstruction],
    probability: Mapping[Pair, float],
    *,
    photos: PhotoSource | None = None,
    config: RegisterConfig,
    seed: int,
) -> list[AmbiguousPart]:
    """Parts with two possible placements and the untried pairs that would decide between them.

    All verified pairs propose placements, likelier false ones as well: where few true pairs were tried, those
    of a repeated structure make them look false. Pairs are asked for until one placement has far more matches
    than the other, or is refuted, or no pair is left that predicts overlap at either. Of each model, the part
    is asked about whose alternative has the largest share of the matches.

    Args:
        database: COLMAP database with keypoints and two-view geometries; only read.
        models: of its images, unchanged; need not be settled.
        probability: that each verified pair is true; others count as true.
        photos: by whose appearance placements are judged.
        config: of registration.
        seed: of everything random.
    """
    scene = Scene.open(database, photos=photos)
    options = mapper_options(config, RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=seed)
    context = MappingContext(scene, options, lambda name: None)
    known = {pair: probability.get(pair, 1.0) for pair in scene.view_graph.edges}
    found: list[AmbiguousPart] = []
    for model in models:
        submodel = Submodel.of(scene.with_all_keypoints(model))
        evidence = ModelEvidence.of(scene, submodel.reconstruction, known, frozenset())
        undecided = [
            other
            for other in alternative_placements(context, submodel, placement_log_odds(evidence))
            if not _is_decided(other) and (other.here.untried or other.there.untried)
        ]
        # Of parts within and beside each other, one may decide about the others.
        for other in sorted(undecided, key=lambda one: _share_of_votes(context, one))[-1:]:
            places = (place.untried[:_NUM_ASKED] for place in (other.here, other.there))
            found += [AmbiguousPart(other.part, untried) for untried in places if untried]
    return found


def _share_of_votes(context: MappingContext, other: AlternativePlacement) -> float:
    here, there = other.votes(context.scene.view_graph.edges)
    return there / max(here + there, 1)


def _is_decided(other: AlternativePlacement) -> bool:
    """Whether most pairs that should match at one of both placements do not.

    A pair that agrees with the other placement alone does not count: it may be one of a repeated structure.
    """
    here = other.here.without(other.other - other.present)
    there = other.there.without(other.present - other.other)
    return here.is_inconsistent or there.is_inconsistent
