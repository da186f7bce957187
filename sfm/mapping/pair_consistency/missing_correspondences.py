"""Agreement of context: whether the keypoints around the matches of a pair agree, too.

Keypoints near matches of the pair that other images match are expected at a predicted position in the other
image. Where that image has other matched keypoints around that position, the context contradicts the pair.
This is the missing correspondence of Zach et al. 2008, "What Can Missing Correspondences Tell Us About 3D
Structure and Motion?". A similarity through the nearest matches predicts the position.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels.missing_matches import missing_matches
from kernels.values import Case, Limits
from retrieval import Pair

from ..scene.pair_matches import PairMatches

_MAX_TESTED = 150  # keypoints an image of a pair, evenly spread over its list: a share of them is wanted
_LIMITS = Limits(num_neighbours=12, clear=0.03, reach=0.12, margin=0.02, elsewhere=0.04, num_elsewhere=3)

_Indices = npt.NDArray[np.int64]
_Positions = npt.NDArray[np.float64]


def context_agreement(matches: PairMatches) -> dict[Pair, float]:
    """Of each pair the share of agreement in [0, 1], 1 where nothing contradicts.

    It is matches / (matches + contradictions), the mean over both directions.
    """
    num_pairs = matches.num_pairs_of_keypoints
    confirmed = {name: xy[num_pairs[name] > 0] for name, xy in matches.keypoints.items()}
    agreement: dict[Pair, float] = {}
    for pair, inliers in matches.inliers.items():
        both = []
        for here, there, ends in ((pair.a, pair.b, inliers), (pair.b, pair.a, inliers[:, ::-1])):
            is_unmatched = num_pairs[here] > 0
            is_unmatched[ends[:, 0]] = False
            unmatched = np.flatnonzero(is_unmatched)
            against = _contradictions(matches, here, there, ends, unmatched, confirmed[there])
            both.append(len(ends) / (len(ends) + against))
        agreement[pair] = sum(both) / 2
    return agreement


def _contradictions(
    matches: PairMatches,
    here: str,
    there: str,
    ends: _Indices,
    unmatched: _Indices,
    confirmed: _Positions,
) -> float:
    """Estimated number of the `unmatched` keypoints, matched elsewhere but not here, that the other image
    contradicts."""
    if len(unmatched) == 0:
        return 0.0
    tested = unmatched[np.linspace(0, len(unmatched) - 1, min(_MAX_TESTED, len(unmatched))).astype(np.int64)]
    case = Case(
        points=matches.keypoints[here][tested],
        matched=matches.keypoints[here][ends[:, 0]],
        partners=matches.keypoints[there][ends[:, 1]],
        seen=confirmed,
        size=matches.sizes[there],
        diagonal=matches.diagonal_px(here),
    )
    count = missing_matches(case, _LIMITS, num_cases=2 * len(matches.inliers))
    return count * len(unmatched) / len(tested)
