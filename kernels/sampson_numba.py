"""Sampson distances compiled by numba; imported where it runs."""

from typing import Any

import numpy as np

from .compiled import compiled
from .values import MIN_GRADIENT, Ids, Reals


def medians(rays: Reals, matches: Ids, ends: Ids, essentials: Reals) -> Reals:
    """As `sampson.sampson_medians`."""
    longest = int(np.diff(ends, prepend=0).max(initial=0))
    return np.asarray(
        _medians(
            np.ascontiguousarray(rays, dtype=np.float64),
            np.ascontiguousarray(matches, dtype=np.int64),
            np.ascontiguousarray(ends, dtype=np.int64),
            np.ascontiguousarray(essentials, dtype=np.float64),
            np.empty(longest, np.float64),
            MIN_GRADIENT,
        )
    )


@compiled()
def _medians(rays: Any, matches: Any, ends: Any, essentials: Any, room: Any, min_gradient: float) -> Any:
    """`room` holds the distances of one pair."""
    found = np.empty(len(ends), np.float64)
    begin = 0
    for p in range(len(ends)):
        e = essentials[p]
        for m in range(begin, ends[p]):
            a, b = rays[matches[m, 0]], rays[matches[m, 1]]
            x_2 = e[0, 0] * a[0] + e[0, 1] * a[1] + e[0, 2] * a[2]
            y_2 = e[1, 0] * a[0] + e[1, 1] * a[1] + e[1, 2] * a[2]
            z_2 = e[2, 0] * a[0] + e[2, 1] * a[1] + e[2, 2] * a[2]
            x_1 = e[0, 0] * b[0] + e[1, 0] * b[1] + e[2, 0] * b[2]
            y_1 = e[0, 1] * b[0] + e[1, 1] * b[1] + e[2, 1] * b[2]
            gradient = np.sqrt(x_1 * x_1 + y_1 * y_1 + x_2 * x_2 + y_2 * y_2)
            algebraic = abs(b[0] * x_2 + b[1] * y_2 + b[2] * z_2)
            distance = algebraic / max(gradient, min_gradient)
            room[m - begin] = distance if np.isfinite(distance) else np.inf
        found[p] = np.median(room[: ends[p] - begin])
        begin = ends[p]
    return found
