"""Parts of a model that little holds, as a whole or between two photos."""

from __future__ import annotations

from collections.abc import Mapping

from retrieval import Pair

from .minimum_cuts import least_held
from .weak_parts import thinly_held


def loosely_held(
    names: frozenset[str], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int]
) -> set[frozenset[str]]:
    """Parts that `thinly_held` and `least_held` find; see there for the arguments."""
    return {*thinly_held(names, errors_px, inliers), *least_held(names, errors_px, inliers)}
