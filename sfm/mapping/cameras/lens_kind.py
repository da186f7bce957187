"""Fisheye lenses, recognised by the matches of a few pairs before anything is known of the camera.

Each pair is explained in two ways: by an ordinary lens of any focal length (a fundamental matrix between
points with a little distortion taken off), and by a fisheye of one focal length and distortion for all pairs
(an essential matrix between rays). The ordinary lens has two more free parameters a pair, and is believed
unless several pairs together clearly speak for the fisheye.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pycolmap

from kernels.sampson import angular_distances, sampson_distances

from ..scene.camera_models import as_model

Array = npt.NDArray[np.float64]

_MIN_PAIRS = 3
_MIN_GAIN = 30.0
"""Of the log-likelihood, all pairs together: one in 10^13 by chance."""
_MIN_GAIN_OF_MATCH = 0.1
"""On average: fundamental matrices of forward motion are a hundredth less likely than they could be."""
_MAX_LOSS_OF_MATCH = 0.3
"""On average: a focal length and a distortion that are some per cent off cost so much."""
_MIN_SIGMAS = 2.0
_DIVISIONS = (0.0, -0.1, -0.2)
"""Distortion of ordinary lenses: of the division model, in units of half the diagonal."""
_FIELDS_DEG = (90.0, 108.0, 129.0, 155.0, 186.0)
"""Fields of view of fisheyes across the longer side; SIMPLE_RADIAL serves those of narrower ones."""
_FINER = (0.82, 0.87, 0.91, 0.95, 1.0, 1.05, 1.1)
_FISHEYE_DISTORTIONS = (-0.03, 0.0, 0.05)
_MAX_MATCHES = 800  # of a pair; more only cost time
_MAX_ERROR_PX = 2.0
_SIGMA_PX = (0.3, 2.5)


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPoints:
    """The matches of one pair of one camera's images: (N, 2) px in the first and in the second."""

    first: Array
    second: Array


@dataclass(frozen=True, slots=True)
class Fisheye:
    """The fisheye that explains some pairs best, against an ordinary lens."""

    focal_px: float
    k: float
    """Of SIMPLE_RADIAL_FISHEYE."""
    num_pairs: int
    num_matches: int
    gain: float
    """Log-likelihood above that of an ordinary lens, all pairs together."""
    sigmas: float
    """Mean gain of a pair over its standard error, by the scatter between pairs; no pair counts for more
    than the gain that all need together."""

    @property
    def decisive(self) -> bool:
        """Whether the pairs clearly speak for it."""
        enough = max(_MIN_GAIN, _MIN_GAIN_OF_MATCH * self.num_matches)
        return self.num_pairs >= _MIN_PAIRS and self.gain >= enough and self.sigmas >= _MIN_SIGMAS


def fisheye_camera(
    width: int, height: int, focal_px: float, k: float, model: str | None = None
) -> pycolmap.Camera:
    """The camera of a recognised fisheye, of the model SIMPLE_RADIAL_FISHEYE or of another one."""
    params = [focal_px, width / 2, height / 2, k]
    camera = pycolmap.Camera(model="SIMPLE_RADIAL_FISHEYE", width=width, height=height, params=params)
    return as_model(camera, model) if model else camera


def fit_fisheye(pairs: Sequence[MatchedPoints], width: int, height: int, *, seed: int) -> Fisheye | None:
    """The fisheye that explains the pairs best; None without pairs, or as soon as no fisheye can win.

    Of few lenses the likeliest one is looked for more finely, even where it is a little less likely than an
    ordinary lens.
    """
    if not pairs:
        return None
    lens = _Lens(width, height, seed)
    thinned = [_thinned(pair) for pair in pairs]
    ordinary = np.array([[lens.as_ordinary(pair, k) for pair in thinned] for k in _DIVISIONS])
    focals = [max(width, height) / float(np.radians(field)) for field in _FIELDS_DEG]
    coarse = {focal_px: lens.as_fisheye(thinned, focal_px, 0.0) for focal_px in focals}
    near = max(focals, key=lambda focal_px: coarse[focal_px].sum())
    num_matches = sum(len(pair.first) for pair in thinned)
    if coarse[near].sum() <= ordinary.sum(axis=1).max() - _MAX_LOSS_OF_MATCH * num_matches:
        return None
    lenses = [(near * factor, k) for factor in _FINER for k in _FISHEYE_DISTORTIONS]
    fisheyes = np.array([lens.as_fisheye(thinned, *params) for params in lenses])
    best = int(fisheyes.sum(axis=1).argmax())
    gain = fisheyes[best] - ordinary[ordinary.sum(axis=1).argmax()]
    votes = np.clip(gain, -_MIN_GAIN, _MIN_GAIN)
    scatter = max(float(np.std(votes, ddof=1)), 1.0) if len(votes) > 1 else np.inf
    sigmas = float(votes.mean() / scatter * np.sqrt(len(votes)))
    return Fisheye(*lenses[best], len(gain), num_matches, float(gain.sum()), sigmas)


def _thinned(pair: MatchedPoints) -> MatchedPoints:
    step = -(-len(pair.first) // _MAX_MATCHES)
    return MatchedPoints(pair.first[::step], pair.second[::step])


@dataclass(frozen=True, slots=True)
class _Lens:
    """Log-likelihoods of pairs under lenses of one size of image."""

    width: int
    height: int
    seed: int

    def as_ordinary(self, pair: MatchedPoints, division: float) -> float:
        """By a fundamental matrix between points without distortion."""
        a, b = (self._undistorted(points, division) for points in (pair.first, pair.second))
        found = pycolmap.estimate_fundamental_matrix(a[:, :2], b[:, :2], self._ransac())
        return self._likelihood(sampson_distances(a, b, found["F"]) if found else None, len(a))

    def as_fisheye(self, pairs: Sequence[MatchedPoints], focal_px: float, k: float) -> Array:
        """Of each pair, by an essential matrix between rays."""
        camera = fisheye_camera(self.width, self.height, focal_px, k)
        return np.array([self._by_rays(pair, camera) for pair in pairs])

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
