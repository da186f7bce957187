"""Keypoints of one photo that should be matched in another one, where something else is seen: how many.

The similarity through the nearest matches predicts where a keypoint lies in the other photo. The plain
version compares everything with everything; compiled (`missing_matches_numba`) it stops where the count is
certain. Distances on a limit aside, both give the same.
"""

import numpy as np
from scipy.spatial.distance import cdist

from .dispatch import compiles
from .values import Case, Limits, Points

_WORTH_COMPILING = 60
"""Cases from which on compiled code is faster, its start included."""


def missing_matches(case: Case, limits: Limits, *, num_cases: int = 1) -> int:
    """The number of a case's `points` that should be matched and are not.

    `num_cases`, how many are counted in all, decides whether to compile.
    """
    if compiles(num_cases >= _WORTH_COMPILING):
        from . import missing_matches_numba  # half a second, and more on its first use

        return missing_matches_numba.count(case, limits)
    return _count(case, limits)


def _count(case: Case, limits: Limits) -> int:
    distance = cdist(case.points, case.matched)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, : limits.num_neighbours]
    closest = distance.min(axis=1)
    asked = (closest > limits.clear * case.diagonal) & (closest < limits.reach * case.diagonal)
    place = moved_by_neighbours(
        case.points[asked], case.matched[nearest[asked]], case.partners[nearest[asked]]
    )
    diagonal = float(np.hypot(*case.size))
    margin = limits.margin * diagonal
    place = place[((place > margin) & (place < np.array(case.size) - margin)).all(axis=1)]
    if len(place) == 0:
        return 0
    others = np.count_nonzero(cdist(place, case.seen) <= limits.elsewhere * diagonal, axis=1)
    apart = cdist(place, case.partners).min(axis=1) > limits.clear * diagonal
    return int(np.count_nonzero((others >= limits.num_elsewhere) & apart))


def moved_by_neighbours(points: Points, matched: Points, partners: Points) -> Points:
    """Points (N, 2) moved by the similarity that fits their neighbours, (N, K, 2) each, best."""
    centre, centre_to = matched.mean(axis=1, keepdims=True), partners.mean(axis=1, keepdims=True)
    z = (matched - centre) @ np.array([1, 1j])
    w = (partners - centre_to) @ np.array([1, 1j])
    factor = (z.conj() * w).sum(axis=1) / np.maximum((np.abs(z) ** 2).sum(axis=1), 1e-9)
    moved = factor * ((points - centre[:, 0]) @ np.array([1, 1j]))
    return np.asarray(centre_to[:, 0] + np.stack([moved.real, moved.imag], axis=1))
