"""Correlation of patches compiled by numba; imported where it runs."""

from typing import Any

import numpy as np

from .compiled import compiled
from .values import MAX_SHIFT, MIN_DEVIATION, MIN_PRODUCT, PATCH_RADIUS, Grey, Reals

_SIDE = 2 * PATCH_RADIUS + 1
_WINDOW = _SIDE + 2 * MAX_SHIFT


def best_correlations(first: Grey, second: Grey, at_first: Reals, at_second: Reals, maps: Reals) -> Reals:
    """As `correlation.best_correlations`."""
    return np.asarray(
        _best(
            np.ascontiguousarray(first),
            np.ascontiguousarray(second),
            np.ascontiguousarray(at_first, dtype=np.float64),
            np.ascontiguousarray(at_second, dtype=np.float64),
            np.ascontiguousarray(maps, dtype=np.float64),
            np.empty((_SIDE, _SIDE), np.float32),
            np.empty((_WINDOW, _WINDOW), np.float32),
        )
    )


@compiled(fastmath={"contract", "reassoc"})
def _best(first: Any, second: Any, at_first: Any, at_second: Any, maps: Any, patch: Any, window: Any) -> Any:
    """`patch` and `window` hold the grey values of one patch."""
    found = np.full(len(maps), np.nan)
    count = np.float32(_SIDE * _SIDE)
    identity = np.eye(2)
    for n in range(len(maps)):
        if not _sample(first, at_first[n], identity, patch) or not _sample(
            second, at_second[n], maps[n], window
        ):
            continue
        mean = np.float32(0)
        for i in range(_SIDE):
            for j in range(_SIDE):
                mean += patch[i, j]
        mean /= count
        squares = np.float32(0)
        for i in range(_SIDE):
            for j in range(_SIDE):
                patch[i, j] -= mean
                squares += patch[i, j] * patch[i, j]
        length = np.sqrt(squares)
        if length < MIN_DEVIATION * _SIDE:
            continue
        best = -1.0
        for u in range(2 * MAX_SHIFT + 1):
            for v in range(2 * MAX_SHIFT + 1):
                product, total, squares = np.float32(0), np.float32(0), np.float32(0)
                for i in range(_SIDE):
                    for j in range(_SIDE):
                        value = window[u + i, v + j]
                        product += value * patch[i, j]
                        total += value
                        squares += value * value
                other = np.sqrt(max(squares - total * total / count, np.float32(0)))
                best = max(best, product / max(other * length, MIN_PRODUCT))
        found[n] = best
    return found


@compiled()
def _sample(image: Any, at: Any, step: Any, grey: Any) -> bool:
    """Fill `grey` by bilinear interpolation, less the value in its middle; False: it leaves the image."""
    height, width = image.shape
    half = grey.shape[0] // 2
    for i in range(grey.shape[0]):
        for j in range(grey.shape[1]):
            x = at[0] + step[0, 0] * (j - half) + step[0, 1] * (i - half) - 0.5
            y = at[1] + step[1, 0] * (j - half) + step[1, 1] * (i - half) - 0.5
            if not (x >= 0 and y >= 0 and x <= width - 1 and y <= height - 1):
                return False
            left, top = min(int(x), width - 2), min(int(y), height - 2)
            dx, dy = x - left, y - top
            upper = (1 - dx) * image[top, left] + dx * image[top, left + 1]
            lower = (1 - dx) * image[top + 1, left] + dx * image[top + 1, left + 1]
            grey[i, j] = (1 - dy) * upper + dy * lower
    middle = grey[half, half]
    for i in range(grey.shape[0]):
        for j in range(grey.shape[1]):
            grey[i, j] -= middle
    return True
