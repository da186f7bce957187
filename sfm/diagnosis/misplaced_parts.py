"""Misplaced parts of a finished model: the covisibility predicted at their pose is not observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pycolmap

from retrieval import Pair
from sfm.mapping.measures.agreement import AGREED_PX
from sfm.mapping.measures.covisibility import PredictedCovisibility
from sfm.mapping.measures.covisibility_test import CovisibilityTest, covisibility_test
from sfm.mapping.measures.weak_parts import weakly_connected_parts
from sfm.mapping.scene.scene import Scene


@dataclass(frozen=True, slots=True)
class MisplacedPart:
    """A weakly connected part most of whose predicted pairs do not match."""

    names: frozenset[str]
    place: CovisibilityTest


def misplaced_parts(
    scene: Scene,
    model: pycolmap.Reconstruction,
    errors_px: Mapping[Pair, float],
    inliers: Mapping[Pair, int],
) -> tuple[MisplacedPart, ...]:
    """The misplaced parts, smallest first; larger parts are tested without the images of smaller ones.

    Args:
        scene: with all pairs.
        model: left unchanged.
        errors_px: median distance to the epipolar lines of each verified pair within the model.
        inliers: matches of each of these pairs.
    """
    names = frozenset(model.image(image_id).name for image_id in model.reg_image_ids())
    parts = weakly_connected_parts(names, errors_px, inliers)
    if not parts:
        return ()
    agreeing = {pair for pair, error in errors_px.items() if error <= AGREED_PX}
    covisibility = PredictedCovisibility.of(model)
    found: list[MisplacedPart] = []
    excluded: frozenset[str] = frozenset()
    for part in sorted(parts, key=lambda part: (len(part), sorted(part))):
        overlaps = covisibility.overlaps(part).items()
        counted = {pair: share for pair, share in overlaps if excluded.isdisjoint(pair)}
        place = covisibility_test(counted, part, scene.tried, agreeing)
        if place.is_inconsistent:
            found.append(MisplacedPart(part, place))
            excluded |= part
    return tuple(found)
