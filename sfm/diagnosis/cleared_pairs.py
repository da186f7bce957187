"""Pairs that looked like look-alikes', and that a model made without them agrees with.

In a thin view graph a true pair that closes a loop joins places that no other pair joins, as a look-alike's
does. The poses tell them apart once there are any: they come from the other pairs.
"""

from __future__ import annotations

from collections.abc import Set

from retrieval import Pair
from sfm.mapping.measures.agreement import AGREED_PX, CONTRADICTED_PX

from .photo_quality import ModelQuality, firm_parts


def cleared_pairs(quality: ModelQuality, deferred: Set[Pair]) -> frozenset[Pair]:
    """Of the pairs that may be look-alikes', those that the model agrees with without hanging on them.

    Not those across the border of a part that cannot stand where it does: there look-alikes agree.

    Args:
        quality: of a finished model that was grown without `deferred`.
        deferred: pairs that may be look-alikes'.
    """
    part_of = {name: index for index, part in enumerate(firm_parts(quality, deferred)) for name in part}
    agreeing = (pair for pair in deferred if quality.errors_px.get(pair, CONTRADICTED_PX) <= AGREED_PX)
    return frozenset(
        pair
        for pair in agreeing
        if part_of[pair.a] == part_of[pair.b]
        and not any(len(part.names & {*pair}) == 1 for part in quality.misplaced)
    )
