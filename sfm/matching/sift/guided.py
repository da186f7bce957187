"""Matching two photos of known relative pose: only keypoints near each other's epipolar line compete.

Every match found so agrees with the pose, chance ones too. So the search goes farther than partners can lie:
true partners lie in the middle of the searched band, chance ones anywhere in it. Where the pose is wrong,
even by a few pixels, nothing stands out in the middle, and the pair needs unguided matching.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.banded_nearest import banded_nearest
from kernels.values import Neighbours
from sfm.matching.guide import Guide, GuideView

from .half_planes import HalfPlanes, Rays

_BAND_PX = 4.0
"""Half the width of the band about the epipolar line in which right partners lie."""
_BAND_ERRORS = 3.0
"""The same in reprojection errors of the photos in the model, where that is more."""
_SEARCH = 3.0
"""Half the width of the band that is searched, in those of the inner band."""
_MAX_RATIO = 0.75
"""Of the distances to the nearest and to the second nearest descriptor of the searched band."""
_MAX_DISTANCE = 0.7 * 512
"""Between descriptors, which COLMAP makes 512 long."""
_MIN_OVER_CHANCE = 4.0
"""Times the number of matches that chance gives."""
_MIN_CENTRED = 0.7
"""Share of the matches in the inner half of the inner band; about half where the pose is off."""


@dataclass(frozen=True, slots=True)
class Features:
    """Keypoints of one photo: descriptors (n, 128) uint8 and rays."""

    descriptors: NDArray[np.uint8]
    rays: Rays

    @classmethod
    def of(cls, xy: NDArray[np.floating], descriptors: NDArray[np.uint8], view: GuideView) -> Features:
        """Features at (n, 2) px of a photo that observes at least one point."""
        return cls(descriptors, Rays.of(xy, view))


@dataclass(frozen=True, slots=True)
class GuidedMatches:
    """What a search found.

    num_by_chance: how many of the matches are expected if the photos show nothing in common.
    centred: share of the matches in the inner half of the band, 0.5 by chance.
    """

    matches: NDArray[np.uint32]
    num_by_chance: float
    centred: float

    def significant(self, min_matches: int) -> bool:
        """Whether the photos show the same, and the pose is right."""
        enough = len(self.matches) >= max(min_matches, _MIN_OVER_CHANCE * self.num_by_chance)
        return enough and self.centred >= _MIN_CENTRED


def guided_matches(a: Features, b: Features, guide: Guide) -> GuidedMatches:
    """Match two photos of known relative pose; nothing is found without a baseline."""
    planes = HalfPlanes.of(a.rays, b.rays, guide)
    if planes is None:
        return GuidedMatches(np.empty((0, 2), np.uint32), 0.0, 0.0)
    band_px = max(_BAND_PX, _BAND_ERRORS * max(guide.a.error_px, guide.b.error_px))
    band = band_px / guide.b.camera.mean_focal_length()
    bands = planes.bands(_SEARCH * band, band)
    found = _mutual(*banded_nearest(bands, a.descriptors, b.descriptors))
    offsets = planes.offsets(found)
    inside = offsets <= band
    chance = np.count_nonzero(~inside) / (_SEARCH - 1)
    centred = np.mean(offsets[inside] <= band / 2) if inside.any() else 0.0
    return GuidedMatches(found[inside].astype(np.uint32), float(chance), float(centred))


def _mutual(of_a: Neighbours, of_b: Neighbours) -> NDArray[np.int64]:
    """(m, 2) keypoints that are each other's nearest, near enough, and clearly nearer than the next."""
    rows = np.flatnonzero(of_a.index >= 0)
    columns = of_a.index[rows]
    distance = of_a.distance[rows].astype(np.float64)
    second = np.minimum(of_a.second[rows], of_b.second[columns]).astype(np.float64)
    good = (
        (of_b.index[columns] == rows) & (distance <= _MAX_DISTANCE**2) & (distance <= _MAX_RATIO**2 * second)
    )
    return np.column_stack((rows[good], columns[good]))
