"""Whether the pairs of an image support other intrinsics of its own, whatever the model says.

Where a model is bent, intrinsics of single images explain it better. The essential matrix of a pair knows
nothing of the model: with wrong intrinsics it explains fewer matches, and these worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pycolmap

from kernels.sampson import sampson_distances
from retrieval import Pair

from ..scene.bearings import bearing_vectors
from ..scene.scene import Scene

Cameras = Mapping[str, pycolmap.Camera]
"""By image."""

_NUM_PAIRS, _MAX_IMAGES = 8, 50
"""Of each image, those with most matches; of more images, so many are looked at."""
_MAX_ERROR_PX = 1.0
"""Distances from epipolar lines are cut there."""
_MAX_TRIALS = 2000
_BETTER = 0.9
"""Of the squared error with shared cameras. True zooms and crops come to 0.02 to 0.81, 17 of a bent model
together to 1.5."""


def pairs_support(scene: Scene, names: Iterable[str], own: Cameras, shared: Cameras, seed: int) -> bool:
    """Whether the pairs of some images fit other cameras clearly better than those that they shared.

    Args:
        scene: verified pairs.
        names: images that are asked about, all together.
        own: of all images, with other cameras for these.
        shared: of all images. Pairs with spherical ones are left out.
        seed: of the random sampling.
    """
    graph, errors = scene.view_graph, np.zeros(2)
    flat = {name for name, camera in shared.items() if not camera.is_spherical()}
    asked = sorted(flat.intersection(names))
    pairs: set[Pair] = set()
    for name in asked[:: 1 + len(asked) // _MAX_IMAGES]:
        others = flat.intersection(graph.neighbours(name))
        ranked = sorted(others, key=lambda other: (-graph.num_inliers(name, other), other))
        pairs.update(Pair.of(name, other) for other in ranked[:_NUM_PAIRS])
    for pair in sorted(pairs):
        errors += [_error(scene, pair, cameras, seed) for cameras in (own, shared)]
    return bool(errors[0] <= _BETTER * errors[1])


def _error(scene: Scene, pair: Pair, camera_of: Cameras, seed: int) -> float:
    """Sum of the squared distances of a pair's matches from their epipolar lines, each cut; px^2."""
    matches, cameras = scene.matches(pair), [camera_of[name] for name in pair]
    first, second = (
        scene.keypoints(scene.id_of[name])[column].astype(np.float64)
        for name, column in zip(pair, matches.T, strict=True)
    )
    options = pycolmap.RANSACOptions()
    options.max_error, options.random_seed, options.max_num_trials = _MAX_ERROR_PX, seed, _MAX_TRIALS
    found = pycolmap.estimate_essential_matrix(first, second, cameras[0], cameras[1], options)
    if found is None:
        return _MAX_ERROR_PX**2 * len(matches)
    in_px = [np.array([camera.focal_length_x, camera.focal_length_y, 1.0]) for camera in cameras]
    essential = np.asarray(found["E"], np.float64) / np.outer(in_px[1], in_px[0])
    rays = (bearing_vectors(xy, camera) for xy, camera in zip((first, second), cameras, strict=True))
    a, b = (ray * size for ray, size in zip(rays, in_px, strict=True))
    distances = sampson_distances(a, b, essential)
    return float(np.sum(np.minimum(distances, _MAX_ERROR_PX) ** 2))
