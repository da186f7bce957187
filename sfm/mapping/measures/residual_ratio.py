"""Whether the poses and cameras of a model fit its pairs as well as each pair fits itself.

The median Sampson distance of the matches of a pair, by the model, over that by a fundamental matrix of the
pair alone. A model that is right has a ratio near 1; one with a wrong focal length, or bent by false matches,
has more, however small its reprojection errors are: points move to where they fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from ..scene.scene import Scene
from .agreement import AGREED_PX

Array = npt.NDArray[np.float64]

_BENT = 1.5
_MIN_PAIRS, _MAX_PAIRS = 3, 60
_MIN_MATCHES, _MAX_MATCHES = 40, 200
_DIVISIONS = (0.0, -0.05, -0.1, -0.15, -0.2)
"""Distortion that is tried for each pair, of the division model, in units of half the diagonal."""
_ROUNDS = 5


def residual_ratio(
    scene: Scene, model: pycolmap.Reconstruction, errors_px: Mapping[Pair, float]
) -> float | None:
    """Median ratio over pairs; None where too few pairs agree with the model, or a camera is spherical.

    Pairs that contradict the model do not count: they may be false.

    Args:
        scene: with the matches.
        model: left unchanged.
        errors_px: median Sampson distance by the model, of pairs within it.
    """
    if any(camera.is_spherical() for camera in model.cameras.values()):
        return None
    edges = scene.view_graph.edges
    pairs = sorted(
        pair
        for pair, error in errors_px.items()
        if error <= AGREED_PX and edges[pair].num_inliers >= _MIN_MATCHES
    )
    if len(pairs) < _MIN_PAIRS:
        return None
    pairs = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, _MAX_PAIRS).astype(np.int64))]
    cameras = {name: model.camera(model.image(scene.id_of[name]).camera_id) for name in {*chain(*pairs)}}
    points = np.array([_matched_points(scene, cameras, pair) for pair in pairs])
    unit_px = np.array([np.mean([_half_diagonal_px(cameras[name]) for name in pair]) for pair in pairs])
    own_px = unit_px * np.min([_own_errors(points, division) for division in _DIVISIONS], axis=0)
    ratios = np.array([errors_px[pair] for pair in pairs]) / np.maximum(own_px, 1e-9)
    return float(np.median(ratios))


def is_bent(ratio: float | None) -> bool:
    """Whether the poses or cameras of a model of this residual ratio are probably wrong."""
    return ratio is not None and ratio > _BENT


def _half_diagonal_px(camera: pycolmap.Camera) -> float:
    return float(np.hypot(camera.width, camera.height)) / 2


def _matched_points(scene: Scene, cameras: Mapping[str, pycolmap.Camera], pair: Pair) -> Array:
    """Matched keypoints of both images (2, M, 2), from the middle, in half diagonals."""
    matches = scene.matches(pair)
    rows = np.linspace(0, len(matches) - 1, _MAX_MATCHES).astype(np.int64)
    sides = []
    for name, column in zip(pair, matches[rows].T, strict=True):
        camera = cameras[name]
        xy = scene.keypoints(scene.id_of[name])[column][:, :2].astype(np.float64)
        sides.append((xy - (camera.width / 2, camera.height / 2)) / _half_diagonal_px(camera))
    return np.array(sides)


def _own_errors(xy: Array, division: float) -> Array:
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
