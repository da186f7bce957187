"""How likely the matches of pairs of images are under a lens.

Distances from epipolar lines are half-normal for true matches, with a standard deviation and a share that the
pair itself determines, and uniform over the image for wrong ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pycolmap

from kernels.sampson import angular_distances, sampson_distances

from ..scene.camera_models import as_model

Array = npt.NDArray[np.float64]

LENS_MODELS = ORDINARY, FISHEYE = "SIMPLE_RADIAL", "SIMPLE_RADIAL_FISHEYE"
NOISE_OF_MATCH = 0.1
"""Log-likelihood of a match, on average, that distortion and wrong matches may cost: less says nothing.
Fundamental matrices of forward motion are a hundredth less likely than they could be."""
_MAX_ERROR_PX = 2.0
_SIGMA_PX = (0.3, 2.5)


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPoints:
    """The matches of one pair of one camera's images: (N, 2) px in the first and in the second."""

    first: Array
    second: Array

    def thinned(self, count: int) -> MatchedPoints:
        """At most so many of them."""
        step = -(-len(self.first) // count)
        return MatchedPoints(self.first[::step], self.second[::step])


class Explanation(NamedTuple):
    """Pairs explained by one lens."""

    model: str
    focal_px: float
    k: float
    by_pair: Array
    """Log-likelihood of each."""


def num_matches(pairs: Sequence[MatchedPoints]) -> int:
    """Of all pairs together."""
    return sum(len(pair.first) for pair in pairs)


def peak_of(values: Array) -> float:
    """Where the parabola through three values, the middle one the highest, is highest; in steps from it."""
    if len(values) < 3 or not (bend := float(values[0] - 2 * values[1] + values[2])) < 0:
        return 0.0
    return float(values[0] - values[2]) / bend / 2


def lens_camera(
    width: int, height: int, focal_px: float, k: float, *, model: str, named: str | None = None
) -> pycolmap.Camera:
    """The camera of a lens that was found, of its model or of a richer one that was named."""
    params = [focal_px, width / 2, height / 2, k]
    camera = pycolmap.Camera(model=model, width=width, height=height, params=params)
    return as_model(camera, named) if named else camera


@dataclass(frozen=True, slots=True)
class Lens:
    """Log-likelihoods of pairs under lenses of one size of image."""

    width: int
    height: int
    seed: int

    def as_ordinary(self, pair: MatchedPoints, division: float) -> float:
        """By a fundamental matrix between points without distortion."""
        a, b = (self._undistorted(points, division) for points in (pair.first, pair.second))
        found = pycolmap.estimate_fundamental_matrix(a[:, :2], b[:, :2], self._ransac())
        return self._likelihood(sampson_distances(a, b, found["F"]) if found else None, len(a))

    @property
    def longer(self) -> int:
        """Side of the images, px."""
        return max(self.width, self.height)

    def as_pinhole(self, pair: MatchedPoints, focal_px: float) -> float:
        """By an essential matrix; distances are of points, those of rays are less far from the axis."""
        camera = lens_camera(self.width, self.height, focal_px, 0.0, model=ORDINARY)
        found = pycolmap.estimate_essential_matrix(pair.first, pair.second, camera, camera, self._ransac())
        if not found:
            return self._likelihood(None, len(pair.first))
        to_ray = np.linalg.inv(camera.calibration_matrix())
        a, b = (np.column_stack((points, np.ones(len(points)))) for points in (pair.first, pair.second))
        return self._likelihood(sampson_distances(a, b, to_ray.T @ found["E"] @ to_ray), len(a))

    def explained(self, pairs: Sequence[MatchedPoints], focal_px: float, k: float, model: str) -> Explanation:
        """By an essential matrix between rays for each pair."""
        camera = lens_camera(self.width, self.height, focal_px, k, model=model)
        return Explanation(model, focal_px, k, np.array([self._by_rays(pair, camera) for pair in pairs]))

    def _by_rays(self, pair: MatchedPoints, camera: pycolmap.Camera) -> float:
        found = pycolmap.estimate_essential_matrix(pair.first, pair.second, camera, camera, self._ransac())
        a, b = (np.asarray(camera.cam_ray_from_img(points)) for points in (pair.first, pair.second))
        scale = camera.mean_focal_length()
        error = scale * angular_distances(a, b, found["E"]) if found else None
        return self._likelihood(error, len(a))

    def _undistorted(self, points: Array, division: float) -> Array:
        centred = points - (self.width / 2, self.height / 2)
        square = np.sum(centred**2, axis=1) / (self.width**2 + self.height**2) * 4
        return np.column_stack((centred / (1 + division * square)[:, None], np.ones(len(points))))

    def _ransac(self) -> pycolmap.RANSACOptions:
        options = pycolmap.RANSACOptions()
        options.max_error, options.min_inlier_ratio, options.random_seed = _MAX_ERROR_PX, 0.1, self.seed
        options.min_num_trials, options.max_num_trials = 50, 300
        return options

    def _likelihood(self, error: Array | None, count: int) -> float:
        """Log-likelihood of epipolar distances (count,): half-normal for inliers, uniform for the others."""
        if error is None:
            return -count * float(np.log(self.height))
        # A distortion that bends back has no rays so far out.
        error = np.where(np.isfinite(error), error, self.height)
        share, sigma = 0.5, 1.0
        for _ in range(20):
            inlier = share * np.sqrt(2 / np.pi) / sigma * np.exp(-0.5 * (error / sigma) ** 2)
            both = inlier + (1 - share) / self.height
            is_inlier = inlier / both
            share = float(np.clip(is_inlier.mean(), 0.01, 0.99))
            sigma = float(np.clip(np.sqrt(np.average(error**2, weights=is_inlier + 1e-12)), *_SIGMA_PX))
        return float(np.log(both).sum())
