"""Errors of matches to epipolar lines, and their depth along the rays at a baseline of length 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from kernels.cross_matrices import cross_matrices

Array = NDArray[np.float64]


def signed_sampson_px(
    rays: tuple[Array, Array], focals: tuple[float, float], turn: Array, way: Array
) -> Array:
    """Sampson errors (N,), px, with their sign (Hartley and Zisserman 2004, eq. 11.9).

    Args:
        rays: points (N, 3) at depth 1 in photos a and b.
        focals: of both, px: one pixel counts the same in each.
        turn: (3, 3), b from a.
        way: (3,), direction of the translation of b from a.
    """
    a, b = rays
    essential = cross_matrices(way) @ turn
    line_b, line_a = a @ essential.T, b @ essential
    gradient = np.sum(line_a[:, :2] ** 2, axis=1) / focals[0] ** 2
    gradient += np.sum(line_b[:, :2] ** 2, axis=1) / focals[1] ** 2
    return np.asarray(np.sum(b * line_b, axis=1) / np.sqrt(np.maximum(gradient, 1e-300)))


def unit_depths(rays: tuple[Array, Array], turn: Array, way: Array) -> tuple[Array, Array, Array]:
    """Depth (N,) of matches in a and in b where the baseline has length 1, and the sines of their parallax.

    The point where the rays are nearest to each other; behind a camera it is negative. Arguments as for
    `signed_sampson_px`.
    """
    p, q = rays[0] @ turn.T, rays[1]
    pp, qq, pq = np.sum(p * p, axis=1), np.sum(q * q, axis=1), np.sum(p * q, axis=1)
    along_p, along_q = p @ way, q @ way
    determinant = np.maximum(pp * qq - pq**2, 1e-300)
    depth_a = (pq * along_q - qq * along_p) / determinant
    depth_b = (pp * along_q - pq * along_p) / determinant
    return depth_a, depth_b, np.sqrt(determinant / (pp * qq))


def moved(turn: Array, way: Array, change: Array) -> tuple[Array, Array]:
    """A rotation and a direction after a small change (5,): rotation vector, and two tangents of `way`."""
    turned = way + tangents(way) @ change[3:5]
    return Rotation.from_rotvec(change[:3]).as_matrix() @ turn, turned / np.linalg.norm(turned)


def tangents(way: Array) -> Array:
    """(3, 2), unit vectors that are orthogonal to a direction and to each other."""
    return np.asarray(np.linalg.svd(way[None])[2][1:].T)
