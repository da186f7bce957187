"""Deferred pairs that the report no longer names, since a model that was built without them agrees with them.

In a sparse view graph, a correct pair that closes a loop is inconsistent with the others as a wrong pair is.
Only the poses, which come from the other pairs, separate the two.
"""

from __future__ import annotations

from collections.abc import Set

from retrieval import Pair

from .photo_quality import ModelQuality, firm_parts


def cleared_pairs(quality: ModelQuality, deferred: Set[Pair]) -> frozenset[Pair]:
    """The deferred pairs that agree with the model, within parts that other pairs connect.

    Pairs of images that are likelier wrong are left out, since there wrong pairs agree.

    Args:
        quality: of a finished model that was grown without `deferred`.
        deferred: pairs that may be inconsistent.
    """
    part_of = {name: index for index, part in enumerate(firm_parts(quality, deferred)) for name in part}
    return frozenset(
        pair
        for pair in deferred & quality.agreeing
        if part_of[pair.a] == part_of[pair.b] and not quality.probabilities.reasons.keys() & {*pair}
    )
