"""A test of the placement of a part: whether pairs with predicted overlap match.

Visual aliasing places two scenes on each other. Images of either are predicted to see much of the other, and
most of these pairs do not match; at the right placement nearly all match. It follows Heinly et al. 2014,
"Correcting for Duplicate Scene Structure in Sparse 3D Reconstruction", with whole pairs instead of points.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from retrieval import Pair

_MIN_OVERLAP = 0.3
"""Predicted overlap from which pairs count."""
_MIN_TRIED = 8
_MAX_SHARE = 0.5
"""Largest share of matching pairs of an inconsistent placement."""


@dataclass(frozen=True, slots=True)
class CovisibilityTest:
    """Pairs that should match by where two parts stand: those tried, those that do match, and the rest."""

    tried: frozenset[Pair]
    agreeing: frozenset[Pair]
    untried: tuple[Pair, ...] = ()
    """Most overlap first."""

    @property
    def num_tried(self) -> int:
        """Pairs that should match and were tried."""
        return len(self.tried)

    @property
    def num_agreeing(self) -> int:
        """Those of them that do match."""
        return len(self.agreeing)

    @property
    def num_inconsistent(self) -> int:
        """Pairs that should match and do not."""
        return self.num_tried - self.num_agreeing

    @property
    def is_inconsistent(self) -> bool:
        """Whether too many predicted pairs fail to match for this placement."""
        return self.num_missing == 0 and self.num_agreeing < _MAX_SHARE * self.num_tried

    @property
    def num_missing(self) -> int:
        """Number of pairs that have to be tried for a decision."""
        return max(0, _MIN_TRIED - self.num_tried)

    def without(self, pairs: Set[Pair]) -> CovisibilityTest:
        """The test by the other pairs."""
        return replace(self, tried=self.tried - pairs, agreeing=self.agreeing - pairs)


def covisibility_test(
    overlaps: Mapping[Pair, float], part: Set[str], tried: Set[Pair], agreeing: Set[Pair]
) -> CovisibilityTest:
    """What the images of `part` and all others should see of each other, and see.

    Args:
        overlaps: of `covisibility.PredictedCovisibility.overlaps`.
        part: names of images.
        tried: pairs that were matched.
        agreeing: verified pairs that agree with the poses that the overlaps were predicted from.
    """
    across = {pair for pair, share in overlaps.items() if share >= _MIN_OVERLAP and len(part & {*pair}) == 1}
    untried = sorted(across - tried, key=lambda pair: (-overlaps[pair], pair))
    return CovisibilityTest(frozenset(across & tried), frozenset(across & tried & agreeing), tuple(untried))
