"""Turns of verified pairs whose images hardly moved.

Where images turn almost on one spot, a homography fits. Taken apart into a rotation and a plane, it gives
turns that are wrong by several degrees. The rotation that fits the matches is better. A move past something
flat and far shifts matches as a turn does, but for what grows with the square of the field of view that they
fill. So the parallax that the rotation leaves, over that square, bounds its error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from ..scene.bearings import bearing_vectors
from ..scene.scene import Scene

Array = npt.NDArray[np.float64]
_ROUNDS = 6
_FLAT = ("panoramic", "planar", "planar_or_panoramic")
_MAX_ERROR_DEG = 8.0
_MIN_MATCHES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """The rotation that fits the matches of a pair."""

    b_from_a: Array
    """(3, 3): turns directions in the frame of the camera of `pair.a` into that of `pair.b`."""
    error_deg: float
    """About its largest error: the median angle that it leaves between both rays of a match, over the square
    of the field of view of the matches."""


def turning_pairs(
    scene: Scene, pairs: Iterable[Pair], model: pycolmap.Reconstruction | None = None
) -> dict[Pair, Turn]:
    """Those of some pairs that a homography fits and whose turn their matches determine.

    Args:
        scene: of the pairs.
        pairs: verified ones, of registered images where there is a model.
        model: whose cameras are used; None: those of the scene.
    """
    rays: dict[str, Array] = {}
    found = {}
    for pair in pairs:
        if scene.view_graph.edges[pair].config not in _FLAT:
            continue
        for name in pair:
            if name not in rays:
                rays[name] = _unit_rays(scene, name, model)
        matches = scene.matches(pair)
        both = np.stack((rays[pair.a][matches[:, 0]], rays[pair.b][matches[:, 1]]))
        both = both[:, np.isfinite(both).all(axis=(0, 2))]  # a strong distortion has no ray in the corners
        if both.shape[1] < _MIN_MATCHES:
            continue
        turn = _fitted(*both)
        if turn.error_deg < _MAX_ERROR_DEG:
            found[pair] = turn
    return found


def _unit_rays(scene: Scene, name: str, model: pycolmap.Reconstruction | None) -> Array:
    """Of all keypoints of an image, camera frame, (N, 3)."""
    image_id = scene.id_of[name]
    cameras, images = (scene.cache, scene.cache) if model is None else (model, model)
    rays = bearing_vectors(scene.keypoints(image_id), cameras.camera(images.image(image_id).camera_id))
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def _fitted(first: Array, second: Array) -> Turn:
    """The rotation with the least sum of angles, by repeated weighted least squares (Kabsch 1976)."""
    rotation, left, weights = np.eye(3), np.zeros(len(first)), np.ones(len(first))
    for _ in range(_ROUNDS):
        u, _, vt = np.linalg.svd((second * weights[:, None]).T @ first)
        rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
        left = np.linalg.norm(second - first @ rotation.T, axis=1)
        weights = 1 / np.maximum(left, max(float(np.median(left)), 1e-9))
    field = min(float(np.mean(np.var(rays, axis=0)) * 3) for rays in (first, second))
    return Turn(rotation, float(np.rad2deg(np.median(left))) / max(field, 1e-9))
