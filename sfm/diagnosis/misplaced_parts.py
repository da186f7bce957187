"""Parts of a finished model whose photos do not see what they should see from where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pycolmap

from retrieval import Pair
from sfm.mapping.measures.agreement import AGREED_PX
from sfm.mapping.measures.covisibility import Sights
from sfm.mapping.measures.covisibility_test import SharedPlace, shared_place
from sfm.mapping.measures.weakly_connected import loosely_held
from sfm.mapping.scene.scene import Scene


@dataclass(frozen=True, slots=True)
class DeniedPart:
    """Photos that little holds at a place where most pairs that should match do not."""

    names: frozenset[str]
    place: SharedPlace


def denied_parts(
    scene: Scene,
    model: pycolmap.Reconstruction,
    errors_px: Mapping[Pair, float],
    inliers: Mapping[Pair, int],
) -> tuple[DeniedPart, ...]:
    """Such parts, smallest first; the photos of one say nothing of larger ones that hold them.

    Args:
        scene: with all pairs.
        model: left unchanged.
        errors_px: median distance to the epipolar lines of each verified pair within the model.
        inliers: matches of each of these pairs.
    """
    names = frozenset(model.image(image_id).name for image_id in model.reg_image_ids())
    parts = loosely_held(names, errors_px, inliers)
    if not parts:
        return ()
    agreeing = {pair for pair, error in errors_px.items() if error <= AGREED_PX}
    sights = Sights.of(model)
    found: list[DeniedPart] = []
    silent: frozenset[str] = frozenset()
    for part in sorted(parts, key=lambda part: (len(part), sorted(part))):
        overlaps = sights.overlaps(part).items()
        heard = {pair: share for pair, share in overlaps if silent.isdisjoint(pair)}
        place = shared_place(heard, part, scene.tried, agreeing)
        if place.is_denied:
            found.append(DeniedPart(part, place))
            silent |= part
    return tuple(found)
