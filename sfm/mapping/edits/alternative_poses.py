"""Alternative placements of inconsistent parts, by the pairs that contradict the present ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pycolmap

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel
from ..measures.agreement import AGREED_PX, CONTRADICTED_PX, median_errors_px
from ..measures.epipolar import Views
from ..measures.inconsistent_parts import inconsistent_parts
from ..measures.soundness import MIN_COMMON_POINTS
from ..scene.view_graph import TwoView
from .merge import common_points, similarity, tolerance


@dataclass(frozen=True, slots=True)
class AlternativePlacement:
    """A part of a model, and the placement that most of the pairs which contradict it agree on."""

    part: frozenset[str]
    base_from_part: pycolmap.Sim3d
    across: frozenset[Pair]
    """Verified pairs of the part with the rest of the model."""
    present: frozenset[Pair]
    """Pairs across that agree with the present placement."""
    other: frozenset[Pair]
    """Pairs across that agree with the alternative placement."""

    def votes(self, edges: Mapping[Pair, TwoView]) -> tuple[int, int]:
        """Matches that agree with the present placement alone, and with the alternative alone."""
        sides = self.present - self.other, self.other - self.present
        here, there = (sum(edges[pair].num_inliers for pair in pairs) for pairs in sides)
        return here, there


def alternative_placements(
    context: MappingContext,
    submodel: Submodel,
    log_odds: Mapping[Pair, float],
) -> Iterator[AlternativePlacement]:
    """Alternative placements of parts of a model, in the order of their images' names.

    Of each of `inconsistent_parts`, however many matches agree with its present placement. All verified pairs
    count, also those that are likelier false.

    Args:
        context: its scene has all pairs.
        submodel: left unchanged.
        log_odds: of the placements of pairs of its images (`pose_consistency.placement`).
    """
    scene, model = context.scene, submodel.reconstruction
    errors_px = median_errors_px(scene, model, scene.view_graph.edges)
    present = _Present(context, submodel, errors_px, tolerance(model))
    for part in sorted(inconsistent_parts(submodel.names, log_odds), key=sorted):
        if found := present.alternative(part):
            yield found


@dataclass(frozen=True, slots=True)
class _Present:
    """A model as it is, and what alternatives for its parts are compared with."""

    context: MappingContext
    submodel: Submodel
    errors_px: Mapping[Pair, float]
    """Of its verified pairs."""
    max_error: float
    """Distance between two points that are the same, world."""

    def alternative(self, part: frozenset[str]) -> AlternativePlacement | None:
        """The placement by the pairs that contradict the present one."""
        scene, names = self.context.scene, self.submodel.names
        across = frozenset(pair for pair in self.errors_px if len(part & {*pair}) == 1)
        present = frozenset(pair for pair in across if self.errors_px[pair] <= AGREED_PX)
        base, moving = replace(self.submodel, names=names - part), replace(self.submodel, names=part)
        against = replace(scene, view_graph=scene.view_graph.without(present))
        points_base, points_part = common_points(replace(self.context, scene=against), base, moving)
        apart = np.any(points_base != points_part, axis=1)  # common points of both sides do not count
        if np.count_nonzero(apart) < MIN_COMMON_POINTS:
            return None
        ends = points_part[apart], points_base[apart]
        elsewhere = similarity(self.context, *ends, self.max_error, min_inlier_ratio=0.0)
        if elsewhere is None:
            return None
        views = Views(scene, self.submodel.reconstruction).moved(part, elsewhere)
        errors_there = views.median_errors_px(across)
        other = frozenset(pair for pair, error in errors_there.items() if error <= CONTRADICTED_PX)
        return AlternativePlacement(part, elsewhere, across, present, other)
