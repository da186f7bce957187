"""How far the matches of pairs of photos lie from their epipolar lines: the median of each pair.

The plain version takes one pair after the other; compiled (`sampson_numba`), all pairs take one pass.
"""

import itertools

import numpy as np

from .dispatch import compiles
from .values import MIN_GRADIENT, Ids, Reals

_WORTH_COMPILING = 20_000
"""Matches from which on compiled code is faster, its start included."""


def sampson_medians(rays: Reals, matches: Ids, ends: Ids, essentials: Reals) -> Reals:
    """The median Sampson distance of the matches of each pair, on the image plane at unit distance; (P,).

    The first-order approximation of the geometric error (Hartley and Zisserman 2004, eq. 11.9).

    Args:
        rays: (N, 3) points (x, y, 1) on the image planes of all photos, each in the frame of its camera.
        matches: (M, 2) rows of `rays`, first and second photo, one pair after the other.
        ends: (P,) where the matches of each pair end; none has no matches.
        essentials: (P, 3, 3) with second^T E first = 0.
    """
    if compiles(len(matches) >= _WORTH_COMPILING):
        from . import sampson_numba  # half a second, and more on its first use

        return sampson_numba.medians(rays, matches, ends, essentials)
    edges = itertools.pairwise([0, *ends.tolist()])
    return np.array(
        [
            np.median(sampson_distances(rays[matches[begin:end, 0]], rays[matches[begin:end, 1]], essential))
            for (begin, end), essential in zip(edges, essentials, strict=True)
        ]
    )


def sampson_distances(first: Reals, second: Reals, essential: Reals) -> Reals:
    """Of each of M points (x, y, 1) in two photos, (M, 3) each, with second^T E first = 0; (M,).

    Infinite where a point has none: a lens that bends rays back has no ray for some pixels.
    """
    line_2, line_1 = first @ essential.T, second @ essential
    algebraic = np.sum(second * line_2, axis=1)
    gradient = np.sqrt(np.sum(line_1[:, :2] ** 2, axis=1) + np.sum(line_2[:, :2] ** 2, axis=1))
    distances = np.abs(algebraic) / np.maximum(gradient, MIN_GRADIENT)
    return np.where(np.isfinite(distances), distances, np.inf)


def angular_distances(first: Reals, second: Reals, essential: Reals) -> Reals:
    """Of M directions in two cameras that see all around, (M, 3) each, with second^T E first = 0; rad, (M,).

    The same approximation, where a direction changes at right angles to itself. Not a number where a
    direction is none.
    """
    a, b = (rays / np.linalg.norm(rays, axis=1, keepdims=True) for rays in (first, second))
    line_2, line_1 = a @ essential.T, b @ essential
    algebraic = np.sum(b * line_2, axis=1)
    squares = np.sum(line_1**2, axis=1) + np.sum(line_2**2, axis=1) - 2 * algebraic**2
    return np.asarray(np.abs(algebraic) / np.sqrt(np.maximum(squares, MIN_GRADIENT**2)))
