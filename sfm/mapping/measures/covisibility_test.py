"""Whether photos that stand in one place see the same.

Look-alikes match, but what is around them does not: where they fold two places onto each other, photos of
either are predicted to see much of what the other sees, and most of these pairs have no match. A place that
is right has nearly all of them. In the manner of Heinly et al. 2014, "Correcting for Duplicate Scene
Structure in Sparse 3D Reconstruction", by whole pairs instead of single points: pairs are what was tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from retrieval import Pair

_MIN_OVERLAP = 0.3
"""From here on pairs of true places match: 97 to 100 of 100 in six real sets, 87 of a seventh."""
_MIN_TRIED = 8
_MAX_SHARE = 0.5
"""0 to 0.38 of the parts of a rendered town that stand at a wrong place, 0.88 and more of those at the right
one."""

_CERTAIN_SHARE = 0.75
"""15 of 16 of a true place that was judged by rough poses, 7 of 14 of a false one."""


@dataclass(frozen=True, slots=True)
class CovisibilityTest:
    """Pairs that should match by where two parts stand: those tried, those that do match, and the rest."""

    num_tried: int
    num_agreeing: int
    untried: tuple[Pair, ...] = ()
    """Most overlap first."""

    @property
    def num_inconsistent(self) -> int:
        """Pairs that should match and do not."""
        return self.num_tried - self.num_agreeing

    @property
    def share(self) -> float:
        """Share of them that match, in (0, 1): 1/2 where none was tried, by Laplace's rule of succession."""
        return (self.num_agreeing + 1) / (self.num_tried + 2)

    @property
    def is_inconsistent(self) -> bool:
        """Whether so many of them do not that the parts cannot both stand there."""
        return self.num_missing == 0 and self.num_agreeing < _MAX_SHARE * self.num_tried

    @property
    def is_consistent(self) -> bool:
        """Whether enough pairs were tried, and as many match as should."""
        return self.num_missing == 0 and not self.is_inconsistent

    @property
    def is_certain(self) -> bool:
        """Whether nearly all of them do."""
        return self.num_missing == 0 and self.num_agreeing >= _CERTAIN_SHARE * self.num_tried

    @property
    def num_missing(self) -> int:
        """How many more pairs have to be tried to tell."""
        return max(0, _MIN_TRIED - self.num_tried)


def covisibility_test(
    overlaps: Mapping[Pair, float], part: Set[str], tried: Set[Pair], agreeing: Set[Pair]
) -> CovisibilityTest:
    """What the photos of `part` and all others should see of each other, and see.

    Args:
        overlaps: of `covisibility.PredictedCovisibility.overlaps`.
        part: names of photos.
        tried: pairs that were matched.
        agreeing: verified pairs that agree with the poses that the overlaps were predicted from.
    """
    across = {pair for pair, share in overlaps.items() if share >= _MIN_OVERLAP and len(part & {*pair}) == 1}
    asked = across & tried
    untried = sorted(across - tried, key=lambda pair: (-overlaps[pair], pair))
    return CovisibilityTest(len(asked), len(asked & agreeing), tuple(untried))
