"""Does what surrounds the matches of a pair agree, too, or do the photos share an object and nothing else?

Keypoints of one photo that other photos confirm, that lie near matches of the pair and whose place in the
other photo is known from these matches, should be matched; where the other photo shows something else there,
which photos of its own confirm, the surroundings contradict the match. This is the missing correspondence of
Zach et al. 2008 ("What Can Missing Correspondences Tell Us About 3D Structure and Motion?"), tested beside
the matches, where a similarity through the nearest of them predicts the place.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from retrieval import Pair

from .pair_matches import PairMatches

_MAX_TESTED = 150  # keypoints a photo of a pair, evenly spread over its list: a share of them is wanted
_NUM_NEIGHBOURS = 12  # matches that predict a place
_REACH = 0.12  # of the diagonal: farther from all matches no place is predicted
_CLEAR = 0.03  # of the diagonal: nearer to a match an unmatched keypoint is nothing unusual
_ELSEWHERE = 0.04  # of the diagonal: within this of the place something else must be seen ...
_NUM_ELSEWHERE = 3  # ... so many times

_Places = npt.NDArray[np.float64]


def context_agreement(matches: PairMatches) -> dict[Pair, float]:
    """Of each pair the share of agreement in [0, 1], 1 where nothing contradicts.

    It is matches / (matches + contradictions), the mean over both directions.
    """
    num_pairs = matches.num_pairs_of_keypoints()
    confirmed = {n: cKDTree(_or_far(xy[num_pairs[n] > 0])) for n, xy in matches.keypoints.items()}
    agreement: dict[Pair, float] = {}
    for pair, inliers in matches.inliers.items():
        both = []
        for here, there, ends in ((pair.a, pair.b, inliers), (pair.b, pair.a, inliers[:, ::-1])):
            loose = num_pairs[here] > 0
            loose[ends[:, 0]] = False
            against = _contradictions(matches, here, there, ends, np.flatnonzero(loose), confirmed[there])
            both.append(len(ends) / (len(ends) + against))
        agreement[pair] = sum(both) / 2
    return agreement


def _contradictions(
    matches: PairMatches,
    here: str,
    there: str,
    ends: npt.NDArray[np.int64],
    loose: npt.NDArray[np.int64],
    confirmed_there: cKDTree,
) -> float:
    """How many of the confirmed unmatched keypoints `loose` the other photo contradicts; estimated."""
    if len(loose) == 0:
        return 0.0
    tested = loose[np.linspace(0, len(loose) - 1, min(_MAX_TESTED, len(loose))).astype(np.int64)]
    xy, to = matches.keypoints[here][ends[:, 0]], matches.keypoints[there][ends[:, 1]]
    points = matches.keypoints[here][tested]
    diagonal, diagonal_there = matches.diagonal_px(here), matches.diagonal_px(there)
    ranks = list(range(1, min(_NUM_NEIGHBOURS, len(xy)) + 1))
    distance, nearest = (np.asarray(part) for part in cKDTree(xy).query(points, k=ranks))
    beside = (distance[:, 0] > _CLEAR * diagonal) & (distance[:, 0] < _REACH * diagonal)
    place = _carried(points[beside], xy[nearest[beside]], to[nearest[beside]])
    margin = 0.02 * diagonal_there
    inside = ((place > margin) & (place < np.array(matches.sizes[there]) - margin)).all(axis=1)
    place = place[inside]
    if len(place) == 0:
        return 0.0
    seen = confirmed_there.query_ball_point(place, _ELSEWHERE * diagonal_there, return_length=True)
    apart = cKDTree(to).query(place)[0] > _CLEAR * diagonal_there
    return float(np.count_nonzero((seen >= _NUM_ELSEWHERE) & apart)) * len(loose) / len(tested)


def _carried(points: _Places, xy: _Places, to: _Places) -> _Places:
    """Points (N, 2) moved by the similarity that fits their neighbours `xy` -> `to` (N, K, 2) best."""
    centre, centre_to = xy.mean(axis=1, keepdims=True), to.mean(axis=1, keepdims=True)
    z = (xy - centre) @ np.array([1, 1j])
    w = (to - centre_to) @ np.array([1, 1j])
    factor = (z.conj() * w).sum(axis=1) / np.maximum((np.abs(z) ** 2).sum(axis=1), 1e-9)
    moved = factor * ((points - centre[:, 0]) @ np.array([1, 1j]))
    return np.asarray(centre_to[:, 0] + np.stack([moved.real, moved.imag], axis=1))


def _or_far(xy: _Places) -> _Places:
    """The points, or one that is near nothing: a tree needs one."""
    return xy if len(xy) else np.full((1, 2), -1e9)
