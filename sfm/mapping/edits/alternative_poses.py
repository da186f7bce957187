"""Alternative placements of weakly connected parts, by the pairs that contradict the present ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
import pycolmap

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel
from ..measures.agreement import AGREED_PX, CONTRADICTED_PX, median_errors_px
from ..measures.covisibility import PredictedCovisibility
from ..measures.covisibility_test import CovisibilityTest, covisibility_test
from ..measures.epipolar import Views
from ..measures.soundness import MIN_COMMON_POINTS
from ..measures.weak_parts import weakly_connected_parts
from ..scene.view_graph import TwoView
from .merge import common_points, similarity

_OUTVOTED_IF_INCONSISTENT = 0.5
"""Smallest ratio of votes for an alternative to votes for an inconsistent present placement."""


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
    here: CovisibilityTest
    there: CovisibilityTest

    @property
    def gain(self) -> int:
        """Difference of the numbers of pairs with predicted overlap that do not match."""
        return self.here.num_inconsistent - self.there.num_inconsistent

    def votes(self, edges: Mapping[Pair, TwoView]) -> tuple[int, int]:
        """Matches that agree with the present placement alone, and with the alternative alone."""
        sides = self.present - self.other, self.other - self.present
        here, there = (sum(edges[pair].num_inliers for pair in pairs) for pairs in sides)
        return here, there


def alternative_placements(
    context: MappingContext, submodel: Submodel, deferred: Set[Pair]
) -> Iterator[AlternativePlacement]:
    """Alternative placements of parts of a model, in the order of their images' names.

    Deferred pairs, which are likelier false, count for no placement. More of the other matches must agree
    with the alternative than with the present placement. Half as many suffice where the present one is not
    consistent by its covisibility.
    """
    believed = replace(context.scene, view_graph=context.scene.view_graph.without(deferred))
    context = replace(context, scene=believed)
    edges = believed.view_graph.edges
    errors = median_errors_px(context.scene, submodel.reconstruction, edges)
    inliers = {pair: edges[pair].num_inliers for pair in errors}
    parts = weakly_connected_parts(submodel.names, errors, inliers)
    if not parts:
        return
    covisibility = PredictedCovisibility.of(submodel.reconstruction)
    for part in sorted(parts, key=sorted):
        if found := _alternative_placement(context, submodel, part, errors, covisibility):
            yield found


def _alternative_placement(
    context: MappingContext,
    submodel: Submodel,
    part: frozenset[str],
    errors_px: Mapping[Pair, float],
    covisibility: PredictedCovisibility,
) -> AlternativePlacement | None:
    scene, edges = context.scene, context.scene.view_graph.edges
    across = frozenset(pair for pair in errors_px if len(part & {*pair}) == 1)
    present = frozenset(pair for pair in across if errors_px[pair] <= AGREED_PX)
    here = covisibility_test(covisibility.overlaps(part), part, scene.tried, present)
    agree, contradict = (
        sum(edges[pair].num_inliers for pair in some) for some in (present, across - present)
    )
    if contradict <= (1 if here.is_consistent else _OUTVOTED_IF_INCONSISTENT) * agree:
        return None
    base, moving = replace(submodel, names=submodel.names - part), replace(submodel, names=part)
    against = replace(scene, view_graph=scene.view_graph.without(present))
    points_base, points_part = common_points(replace(context, scene=against), base, moving)
    apart = np.any(points_base != points_part, axis=1)  # common points of both sides do not count
    if np.count_nonzero(apart) < MIN_COMMON_POINTS:
        return None
    elsewhere = similarity(context, base, points_part[apart], points_base[apart], min_inlier_ratio=0.0)
    if elsewhere is None:
        return None
    errors_there = Views(scene, submodel.reconstruction).moved(part, elsewhere).median_errors_px(across)
    other = frozenset(pair for pair, error in errors_there.items() if error <= CONTRADICTED_PX)
    overlaps_there = covisibility.moved(part, elsewhere).overlaps(part)
    there = covisibility_test(overlaps_there, part, scene.tried, other)
    return AlternativePlacement(part, elsewhere, across, present, other, here, there)
