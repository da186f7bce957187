"""Residuals of verified pairs by a fundamental matrix of their own: the noise of their matches.

No poses are needed, so they are what the residuals by the poses of a model are compared with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from ..scene.scene import Scene

Array = npt.NDArray[np.float64]

_MAX_MATCHES = 200
_DIVISIONS = (0.0, -0.05, -0.1, -0.15, -0.2)
"""Distortion that is tried for each pair, of the division model, in units of half the diagonal."""
_ROUNDS = 5
_FREE = 7
"""Parameters of a fundamental matrix."""
_BATCH = 100


def pair_residuals_px(scene: Scene, pairs: Collection[Pair]) -> Mapping[Pair, float]:
    """Median Sampson distance of the matches of verified pairs by a robust fundamental matrix of each, px.

    Of no use for spherical images, whose matches no fundamental matrix describes: theirs are large.

    Args:
        scene: with the matches; it keeps what was computed.
        pairs: verified pairs.
    """
    known = scene.pair_residuals_px
    new = sorted(pair for pair in pairs if pair not in known)
    for some in (new[begin : begin + _BATCH] for begin in range(0, len(new), _BATCH)):
        unit_px = np.array([np.mean([_half_diagonal_px(scene, name) for name in pair]) for pair in some])
        points = np.array([_matched_points(scene, pair) for pair in some])
        residuals = np.min([_median_residuals(points, division) for division in _DIVISIONS], axis=0)
        matches = np.array([len(scene.matches(pair)) for pair in some])
        fitted = np.sqrt(matches / np.maximum(matches - _FREE, 1))
        known.update(zip(some, (unit_px * residuals * fitted).tolist(), strict=True))
    return {pair: known[pair] for pair in pairs}


def residual_ratios(scene: Scene, errors_px: Mapping[Pair, float]) -> dict[Pair, float]:
    """The residual of each pair by a model over that by itself.

    Args:
        scene: with the matches.
        errors_px: median Sampson distance by the model, of verified pairs.
    """
    own_px = pair_residuals_px(scene, errors_px)
    return {pair: error / max(own_px[pair], 1e-9) for pair, error in errors_px.items()}


def _half_diagonal_px(scene: Scene, name: str) -> float:
    camera = _camera(scene, name)
    return float(np.hypot(camera.width, camera.height)) / 2


def _camera(scene: Scene, name: str) -> pycolmap.Camera:
    return scene.cache.camera(scene.cache.image(scene.id_of[name]).camera_id)


def _matched_points(scene: Scene, pair: Pair) -> Array:
    """Matched keypoints of both images (2, M, 2), from the middle, in half diagonals."""
    matches = scene.matches(pair)
    rows = np.linspace(0, len(matches) - 1, _MAX_MATCHES).astype(np.int64)
    sides = []
    for name, column in zip(pair, matches[rows].T, strict=True):
        camera = _camera(scene, name)
        xy = scene.keypoints(scene.id_of[name])[column][:, :2].astype(np.float64)
        sides.append((xy - (camera.width / 2, camera.height / 2)) / _half_diagonal_px(scene, name))
    return np.array(sides)


def _median_residuals(xy: Array, division: float) -> Array:
    """Median Sampson distance (P,) of pairs by robust fundamental matrices, some distortion taken off.

    Args:
        xy: (P, 2, M, 2), of both images, in half diagonals from the middle; so is the result.
        division: the distortion.
    """
    flat = xy / (1 + division * np.sum(xy**2, axis=-1, keepdims=True))
    a, b = (
        np.concatenate((side, np.ones((*side.shape[:-1], 1))), axis=-1) for side in (flat[:, 0], flat[:, 1])
    )
    products = (b[..., :, None] * a[..., None, :]).reshape(*a.shape[:2], 9)
    weights, errors = np.ones(a.shape[:2]), np.zeros(a.shape[:2])
    for _ in range(_ROUNDS):
        weighted = products * weights[..., None]
        fundamental = np.linalg.eigh(np.swapaxes(weighted, 1, 2) @ weighted)[1][..., 0].reshape(-1, 3, 3)
        u, s, vt = np.linalg.svd(fundamental)
        s[:, 2] = 0
        fundamental = u * s[:, None, :] @ vt
        in_b, in_a = a @ np.swapaxes(fundamental, 1, 2), b @ fundamental
        slope = np.sqrt(np.sum(in_b[..., :2] ** 2, axis=-1) + np.sum(in_a[..., :2] ** 2, axis=-1))
        slope = np.maximum(slope, 1e-12)
        errors = np.abs(np.sum(b * in_b, axis=-1)) / slope
        typical = np.maximum(np.median(errors, axis=1, keepdims=True), 1e-12)
        weights = 1 / slope / np.sqrt(1 + (errors / (3 * typical)) ** 2)
    return np.asarray(np.median(errors, axis=1))
