"""Parts of a model that little holds, as a whole or between two photos."""

from __future__ import annotations

from collections.abc import Mapping

from retrieval import Pair

from .minimum_cuts import minimum_cuts
from .weak_parts import spectral_cuts


def weakly_connected_parts(
    names: frozenset[str], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int]
) -> set[frozenset[str]]:
    """Parts that `spectral_cuts` and `minimum_cuts` find; see there for the arguments."""
    return {*spectral_cuts(names, errors_px, inliers), *minimum_cuts(names, errors_px, inliers)}
