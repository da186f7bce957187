"""First guesses of unknown focal lengths: the likeliest ones by pairs of images, and by what lenses have.

Fundamental matrices of forward motion, or of planes, may agree on several times the true focal length. So
each focal length is tried with essential matrices; where many are nearly as likely, the prior decides.
Models are compared with others of the opposite motion (`growing.reversed_motion`).
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pycolmap

from retrieval import Pair
from sfm.colmap.database_checks import DEFAULT_FOCAL_FACTOR

from ..scene.scene import Scene
from .lens_likelihood import NOISE_OF_MATCH, Lens, MatchedPoints, num_matches, peak_of

_MIN_NUM_INLIERS = 30  # of a pair; fewer say little of a focal length
_MIN_PAIRS, _MAX_PAIRS = 3, 10
_MAX_PAIRS_OF_IMAGE = 2
_MAX_MATCHES = 200  # of a pair; more only cost time
_STEP = 1.25
_FOCAL_LENGTHS = 0.4 * _STEP ** np.arange(14)
"""In longer sides of the images."""
_SIGMA = 0.7
"""Of the logarithm of the focal lengths of lenses, which is 0 in the mean."""
_ONE_SIGMA = 0.5
"""Fall of a log-posterior within one standard deviation."""


class LikelyFocal(NamedTuple):
    """The likeliest focal length of a camera by its pairs."""

    px: float
    is_open: bool
    """Whether one shorter by a step is within one standard deviation of the posterior."""

    def nearest(self, focal_px: float) -> float:
        """The likely one, px, nearest to a model's: this, or where it is open one of two shorter ones.

        Noise of matches passes for rotation, so that those that are too long win.
        """
        likely = [self.px / _STEP**i for i in range(3 if self.is_open else 1)]
        return min(likely, key=lambda one: abs(float(np.log(one / focal_px))))


def likely_focal_lengths(scene: Scene, *, seed: int) -> dict[int, LikelyFocal]:
    """Focal lengths of each camera that has no prior one and enough pairs, by camera id.

    A camera of fewer pairs, of whose focal length nothing is known, has those of one with images of the same
    sides: phones turn, and their lens stays.
    """
    found, of_sides = dict[int, LikelyFocal](), dict[frozenset[int], LikelyFocal]()
    for camera_id, pairs in sorted(_pairs(scene).items()):
        if len(pairs) >= _MIN_PAIRS:
            camera = scene.cache.camera(camera_id)
            points = tuple(_points(scene, pair) for pair in pairs)
            found[camera_id] = _likely_px(Lens(camera.width, camera.height, seed), points)
            of_sides.setdefault(frozenset((camera.width, camera.height)), found[camera_id])
    for camera_id, camera in scene.cache.cameras.items():
        same = of_sides.get(frozenset((camera.width, camera.height)))
        if same and camera_id not in found and _is_unknown(camera):
            found[camera_id] = same
    return found


def _is_unknown(camera: pycolmap.Camera) -> bool:
    """Whether the focal length is the one that COLMAP gives to images that say nothing of theirs."""
    default = DEFAULT_FOCAL_FACTOR * max(camera.width, camera.height)
    return not camera.has_prior_focal_length and bool(np.isclose(camera.mean_focal_length(), default))


@lru_cache(maxsize=64)
def _likely_px(lens: Lens, points: tuple[tuple[bytes, bytes], ...]) -> LikelyFocal:
    """Where a parabola through the log-posteriors of the best focal length and its neighbours is highest.

    Remembered, since most rounds of the loop leave these pairs as they are.
    """
    pairs = [MatchedPoints(*(np.frombuffer(side).reshape(-1, 2) for side in pair)) for pair in points]
    focal_px = lens.longer * _FOCAL_LENGTHS
    likelihoods = np.array([sum(lens.as_pinhole(pair, px) for pair in pairs) for px in focal_px])
    values = likelihoods / (NOISE_OF_MATCH * num_matches(pairs)) - (np.log(_FOCAL_LENGTHS) / _SIGMA) ** 2 / 2
    best = int(values.argmax())
    peak = best + peak_of(values[max(best - 1, 0) : best + 2])
    fall = values[best] - np.interp(peak - 1, np.arange(len(values)), values)
    return LikelyFocal(float(focal_px[0] * _STEP**peak), bool(fall < _ONE_SIGMA))


def _pairs(scene: Scene) -> dict[int, list[Pair]]:
    """Those of most inliers of each camera, spread over its images: from one place they say little."""
    cameras = {i: one for i, one in scene.cache.cameras.items() if not one.has_prior_focal_length}
    camera_of = {image.name: image.camera_id for image in scene.cache.images.values()}
    edges, used, found = scene.view_graph.edges, Counter[str](), dict[int, list[Pair]]()
    for pair in sorted(edges, key=lambda pair: (-edges[pair].num_inliers, pair)):
        camera_id = camera_of[pair.a]
        if edges[pair].num_inliers < _MIN_NUM_INLIERS or camera_id != camera_of[pair.b]:
            continue
        if camera_id not in cameras or cameras[camera_id].is_spherical():
            continue
        pairs = found.setdefault(camera_id, [])
        if len(pairs) < _MAX_PAIRS and max(used[pair.a], used[pair.b]) < _MAX_PAIRS_OF_IMAGE:
            used.update((pair.a, pair.b))
            pairs.append(pair)
    return found


def _points(scene: Scene, pair: Pair) -> tuple[bytes, bytes]:
    """Some of the matched points of both images, (n, 2) float64, px."""
    sides = zip((pair.a, pair.b), scene.matches(pair).T, strict=True)
    matched = (scene.keypoints(scene.id_of[name])[of].astype(np.float64) for name, of in sides)
    some = MatchedPoints(*matched).thinned(_MAX_MATCHES)
    return some.first.tobytes(), some.second.tobytes()
