"""Matches of one pair of photos from several sources, joined so that each place has them from one source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sfm.mast3r.values import DenseMatches


def joined(sources: Sequence[tuple[DenseMatches, tuple[float, float]]]) -> DenseMatches:
    """Matches of the first source, and of each further one where the earlier ones have none.

    Args:
        sources: matches, and the side of the cells in both photos, photo px. A match is left out where an
            earlier source has one in its cell of either photo.

    Returns:
        Matches ordered by y and x in the first photo, then in the second; none twice.
    """
    kept: list[DenseMatches] = []
    for matches, (side_a, side_b) in sources:
        free = np.ones(len(matches.confidence), bool)
        for earlier in kept:
            free &= ~np.isin(_cells(matches.xy_a, side_a), _cells(earlier.xy_a, side_a))
            free &= ~np.isin(_cells(matches.xy_b, side_b), _cells(earlier.xy_b, side_b))
        kept.append(DenseMatches(matches.xy_a[free], matches.xy_b[free], matches.confidence[free]))
    xy_a, xy_b, confidence = (
        np.concatenate(part) for part in zip(*((m.xy_a, m.xy_b, m.confidence) for m in kept), strict=True)
    )
    order = np.unique(np.hstack((xy_a[:, ::-1], xy_b[:, ::-1])), axis=0, return_index=True)[1]
    return DenseMatches(xy_a[order], xy_b[order], confidence[order])


def _cells(xy: NDArray[np.float32], side: float) -> NDArray[np.int64]:
    column, row = np.floor(xy.astype(np.float64) / side).astype(np.int64).T
    return np.asarray(row << 32 | column, np.int64)
