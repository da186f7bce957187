"""Missing matches compiled by numba: one point at a time, no further than needed; imported where it runs."""

from typing import Any

import numpy as np

from .compiled import compiled
from .values import Case, Limits


def count(case: Case, limits: Limits) -> int:
    """As `missing_matches.missing_matches`, of one case."""
    width, height = case.size
    diagonal = float(np.hypot(width, height))
    return int(
        _count(
            np.ascontiguousarray(case.points, dtype=np.float64),
            np.ascontiguousarray(case.matched, dtype=np.float64),
            np.ascontiguousarray(case.partners, dtype=np.float64),
            np.ascontiguousarray(case.seen, dtype=np.float64),
            float(width),
            float(height),
            limits.margin * diagonal,
            (limits.clear * case.diagonal) ** 2,
            (limits.reach * case.diagonal) ** 2,
            (limits.clear * diagonal) ** 2,
            (limits.elsewhere * diagonal) ** 2,
            limits.num_elsewhere,
            min(limits.num_neighbours, len(case.matched)),
        )
    )


@compiled()
def _count(
    points: Any,
    matched: Any,
    partners: Any,
    seen: Any,
    width: float,
    height: float,
    margin: float,
    clear: float,
    reach: float,
    clear_there: float,
    elsewhere: float,
    num_elsewhere: int,
    num_neighbours: int,
) -> int:
    """Limits of distance are squared."""
    found = 0
    nearest = np.empty(num_neighbours, np.int64)
    distance = np.empty(num_neighbours, np.float64)
    for t in range(len(points)):
        x, y = points[t, 0], points[t, 1]
        closest = _closest(x, y, matched)
        if closest <= clear or closest >= reach:
            continue
        _find_nearest(x, y, matched, nearest, distance)
        to_x, to_y = _carried(x, y, matched, partners, nearest)
        if to_x <= margin or to_x >= width - margin or to_y <= margin or to_y >= height - margin:
            continue
        near_match = _has_within(to_x, to_y, partners, clear_there, 1)
        if not near_match and _has_within(to_x, to_y, seen, elsewhere, num_elsewhere):
            found += 1
    return found


@compiled()
def _closest(x: float, y: float, points: Any) -> float:
    closest = np.inf
    for i in range(len(points)):
        dx, dy = points[i, 0] - x, points[i, 1] - y
        closest = min(closest, dx * dx + dy * dy)
    return closest


@compiled()
def _find_nearest(x: float, y: float, matched: Any, nearest: Any, distance: Any) -> None:
    """The nearest of `matched`, the first one where equally near; sorted by insertion."""
    count, last = 0, len(nearest) - 1
    for i in range(len(matched)):
        dx, dy = matched[i, 0] - x, matched[i, 1] - y
        square = dx * dx + dy * dy
        if count > last and square >= distance[last]:
            continue
        place = count if count <= last else last
        while place > 0 and distance[place - 1] > square:
            distance[place], nearest[place] = distance[place - 1], nearest[place - 1]
            place -= 1
        distance[place], nearest[place] = square, i
        count = min(count + 1, last + 1)


@compiled()
def _carried(x: float, y: float, matched: Any, partners: Any, nearest: Any) -> tuple[float, float]:
    """Where the similarity that fits the neighbours best takes a point."""
    count = len(nearest)
    mean_x = mean_y = mean_to_x = mean_to_y = 0.0
    for k in range(count):
        i = nearest[k]
        mean_x += matched[i, 0] / count
        mean_y += matched[i, 1] / count
        mean_to_x += partners[i, 0] / count
        mean_to_y += partners[i, 1] / count
    real = imaginary = square = 0.0
    for k in range(count):
        i = nearest[k]
        a, b = matched[i, 0] - mean_x, matched[i, 1] - mean_y
        c, d = partners[i, 0] - mean_to_x, partners[i, 1] - mean_to_y
        real += a * c + b * d
        imaginary += a * d - b * c
        square += a * a + b * b
    square = max(square, 1e-9)
    real, imaginary = real / square, imaginary / square
    a, b = x - mean_x, y - mean_y
    return mean_to_x + real * a - imaginary * b, mean_to_y + real * b + imaginary * a


@compiled()
def _has_within(x: float, y: float, points: Any, limit: float, wanted: int) -> bool:
    for i in range(len(points)):
        dx, dy = points[i, 0] - x, points[i, 1] - y
        if dx * dx + dy * dy <= limit:
            wanted -= 1
            if wanted <= 0:
                return True
    return False
