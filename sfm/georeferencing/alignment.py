"""A model moved, turned and scaled to known positions of its cameras: robust, and with its uncertainty."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from kernels.cross_matrices import cross_matrices
from sfm.geometry.gravity import Level

Float64 = NDArray[np.float64]

OUTLIER_SIGMAS = 4.0
"""A position farther off than this along an axis is taken for wrong."""
_MIN_POSITIONS = 3
_MIN_INLIERS = 0.5  # share of the positions that must agree
_MAX_SCALE_SIGMA = 0.1
_MAX_TURN_SIGMA_DEG = 10.0
_LEVEL_SIGMA = np.deg2rad(2.0)  # of the ground plane by all photos together
_MAX_TILT_DEG = 15.0
_MAX_PITCH_DEG = 45.0  # of up by photos that all look the same way
_FAINT = 1e-4
_LOSS_SCALE = 2.0
_MIN_WORSE = 0.3
"""Least standard deviation of errors, as a share of the given one: errors of one receiver drift together, so
they look smaller than they are."""
_MIN_REDUNDANCY = 20


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a model stands among known positions."""

    metric_from_model: pycolmap.Sim3d
    is_inlier: NDArray[np.bool_]
    """(N,) of the positions that were given."""
    scale_sigma: float
    """Standard deviation of the scale, relative."""
    turn_sigma_deg: float
    """Standard deviation of the rotation about the axis that is known least."""
    used_up: bool
    """Whether the up direction of the photos was needed."""
    used_heights: bool
    """False where the heights contradict the photos' up direction and were left out."""


def align_to_positions(
    centres: Float64, positions: Float64, sigmas: Float64, *, seed: int, level: Level | None = None
) -> Alignment | str:
    """The similarity that takes camera centres to positions, each axis by its own standard deviation.

    RANSAC gives starts; the solution is a least-squares fit with Cauchy loss on the differences in standard
    deviations. Its covariance shows whether scale and rotation are determined: a baseline that is short next
    to the errors determines neither. The errors are estimated from the differences, but are at least
    `_MIN_WORSE` of the given standard deviations. Few positions leave these as they are.

    `level`, the ground plane by the photos, becomes a prior of 2 degrees in two cases. Positions may leave
    the rotation open, as on a line. Or they tilt the model by more than 15 degrees against it, as heights do
    that drift during a flight; then heights count for the height alone.

    Args:
        centres: (N, 3) in the model's frame.
        positions: (N, 3), metres.
        sigmas: (N, 3), metres.

    Returns:
        The alignment, or why there is none, in words.
    """
    if len(centres) < _MIN_POSITIONS:
        return f"positions of {len(centres)} photos of the model; {_MIN_POSITIONS} are needed"
    if np.ptp(positions, axis=0).max() == 0 or np.ptp(centres, axis=0).max() == 0:
        return "all positions are the same place"
    problem = _Problem(centres, positions, sigmas, None, heights=True)
    first = _judged(problem, seed)
    if level is None or _is_upright(first, level):
        return first
    with_level = replace(problem, level=level)
    # Heights that tilt the model are wrong; where the rotation is open, they may well be right.
    for heights in (False,) if isinstance(first, Alignment) else (True, False):
        helped = _judged(replace(with_level, heights=heights), seed)
        if _is_upright(helped, level):
            return helped
    return first


def _is_upright(found: Alignment | str, level: Level) -> bool:
    if isinstance(found, str):
        return False
    tilt_deg = np.rad2deg(
        np.arccos(np.clip((found.metric_from_model.rotation.matrix() @ level.up)[2], -1, 1))
    )
    allowed = _MAX_TILT_DEG if len(level.axes) == 2 else _MAX_PITCH_DEG
    return bool(tilt_deg <= max(allowed, 3 * found.turn_sigma_deg))


@dataclass(frozen=True, slots=True)
class _Problem:
    centres: Float64
    positions: Float64
    sigmas: Float64
    level: Level | None
    heights: bool

    @property
    def stiffness(self) -> Float64:
        """One over the standard deviations, (N, 3); next to nothing for heights that are not used."""
        weights = 1 / self.sigmas
        return weights if self.heights else weights * np.array([1, 1, _FAINT])

    def differences(self, fit: pycolmap.Sim3d) -> Float64:
        return np.asarray(fit * self.centres - self.positions, np.float64)

    def residuals(self, fit: pycolmap.Sim3d) -> Float64:
        """Roots of the cost, (3 N,) or, with K level axes, (3 N + K,): Cauchy on positions only."""
        whitened = (self.differences(fit) * self.stiffness).ravel()
        damped = np.sign(whitened) * _LOSS_SCALE * np.sqrt(np.log1p((whitened / _LOSS_SCALE) ** 2))
        if self.level is None:
            return damped
        return np.concatenate((damped, self.level.axes @ fit.rotation.matrix()[2] / _LEVEL_SIGMA))

    def cost(self, fit: pycolmap.Sim3d) -> float:
        return float(np.sum(self.residuals(fit) ** 2))


def _judged(problem: _Problem, seed: int) -> Alignment | str:
    """The best fit from several starts, if it is determined and most positions agree with it."""
    fits = [_refined(problem, start) for start in _starts(problem, seed)]
    if problem.level is not None:
        # Level axes leave up and down open, and a roll of 90 degrees is as far from level as a start can
        # be: the cost is stationary there.
        fits += [_refined(problem, _rolled(problem, fit, quarters)) for fit in fits for quarters in (1, 2, 3)]
        fits = [fit for fit in fits if (fit.rotation.matrix() @ problem.level.up)[2] > 0] or fits
    fit = min(fits, key=problem.cost)
    if not problem.heights:
        rise = np.array([0.0, 0.0, -np.median(problem.differences(fit)[:, 2])])
        fit = pycolmap.Sim3d(fit.scale, fit.rotation, fit.translation + rise)
    away = np.abs(problem.differences(fit) * problem.stiffness).max(axis=1)
    is_inlier = away <= OUTLIER_SIGMAS
    if is_inlier.sum() < max(_MIN_POSITIONS, _MIN_INLIERS * len(away)):
        return f"only {is_inlier.sum()} of {len(away)} positions agree with the model"
    scale_sigma, turn_sigma_deg = _uncertainty(problem, fit, is_inlier)
    if scale_sigma > _MAX_SCALE_SIGMA:
        return "the positions lie too close together for their errors: they leave the scale open"
    if turn_sigma_deg > _MAX_TURN_SIGMA_DEG:
        return "the positions lie on a line or too close to one: they leave the rotation about it open"
    used_up = problem.level is not None
    return Alignment(fit, is_inlier, scale_sigma, turn_sigma_deg, used_up, problem.heights)


def _starts(problem: _Problem, seed: int) -> Iterator[pycolmap.Sim3d]:
    total = float(np.median(np.linalg.norm(problem.sigmas, axis=1)))
    for factor in (0.5, 1.0, 3.0):
        options = pycolmap.RANSACOptions()
        options.max_error, options.random_seed, options.max_num_trials = factor * total, seed, 10_000
        # A mapping, despite the type stubs of pycolmap 4.2.
        found = cast(
            "dict[str, Any] | None",
            pycolmap.estimate_sim3d_robust(problem.centres, problem.positions, options),
        )
        if found is not None and np.isfinite(found["tgt_from_src"].matrix()).all():
            yield found["tgt_from_src"]
    yield _kabsch(problem)


def _kabsch(problem: _Problem) -> pycolmap.Sim3d:
    """A start from medians and all points (Kabsch 1976), which exists for points on a line, too."""
    middle, target = np.median(problem.centres, axis=0), np.median(problem.positions, axis=0)
    a, b = problem.centres - middle, problem.positions - target
    scale = float(np.median(np.linalg.norm(b, axis=1)) / (np.median(np.linalg.norm(a, axis=1)) or 1.0)) or 1.0
    u, _, vt = np.linalg.svd(b.T @ a)
    turn = u @ np.diag([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)]) @ vt
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(turn), target - scale * turn @ middle)


def _rolled(problem: _Problem, fit: pycolmap.Sim3d, quarters: int) -> pycolmap.Sim3d:
    """The fit turned by quarters of a turn about the line that the positions are nearest to."""
    middle = np.median(problem.positions, axis=0)
    axis = np.linalg.svd(problem.positions - middle, full_matrices=False)[2][0]
    turn = Rotation.from_rotvec(quarters * np.pi / 2 * axis).as_matrix()
    rotation = pycolmap.Rotation3d(turn @ fit.rotation.matrix())
    return pycolmap.Sim3d(fit.scale, rotation, turn @ (fit.translation - middle) + middle)


def _refined(problem: _Problem, start: pycolmap.Sim3d) -> pycolmap.Sim3d:
    """Robust least squares over log scale, rotation about the middle, and translation."""
    middle = np.median(problem.centres, axis=0)
    size = float(np.median(np.linalg.norm(problem.centres - middle, axis=1))) or 1.0
    at = start * middle
    step = start.scale * size  # metres that make parameters comparable

    def moved(x: Float64) -> pycolmap.Sim3d:
        scale = start.scale * np.exp(np.clip(x[0], -10, 10))
        turn = Rotation.from_rotvec(x[1:4]).as_matrix() @ start.rotation.matrix()
        return pycolmap.Sim3d(scale, pycolmap.Rotation3d(turn), at + step * x[4:] - scale * turn @ middle)

    def residuals(x: Float64) -> Float64:
        return problem.residuals(moved(x))

    return moved(least_squares(residuals, np.zeros(7)).x)


def _uncertainty(problem: _Problem, fit: pycolmap.Sim3d, chosen: NDArray[np.bool_]) -> tuple[float, float]:
    """Standard deviations of the scale (relative) and of the rotation about its weakest axis (degrees)."""
    turned = fit.scale * problem.centres[chosen] @ fit.rotation.matrix().T
    turned = turned - turned.mean(axis=0)
    rows = np.zeros((len(turned), 3, 7))
    rows[:, :, 0] = turned
    rows[:, :, 1:4] = -cross_matrices(turned)
    rows[:, :, 4:] = np.eye(3)
    rows *= problem.stiffness[chosen][:, :, None]
    information = np.einsum("nij,nik->jk", rows, rows)
    if problem.level is not None:
        tilt = np.zeros((len(problem.level.axes), 7))
        tilt[:, 1:4] = np.cross(problem.level.axes @ fit.rotation.matrix().T, [0, 0, 1]) / _LEVEL_SIGMA
        information += tilt.T @ tilt
    # By an eigendecomposition, since what is not determined has no information at all.
    values, vectors = np.linalg.eigh(information)
    covariance = vectors / np.maximum(values, 1e-12) @ vectors.T
    residuals = problem.differences(fit)[chosen] * problem.stiffness[chosen]
    redundancy = max(1, (3 if problem.heights else 2) * len(residuals) - 7)
    worse = float(np.sqrt(np.sum(residuals**2) / redundancy))
    worse = max(_MIN_WORSE if redundancy >= _MIN_REDUNDANCY else 1.0, worse)
    turn = float(np.sqrt(np.linalg.eigvalsh(covariance[1:4, 1:4])[-1]))
    return worse * float(np.sqrt(covariance[0, 0])), float(np.rad2deg(worse * turn))
