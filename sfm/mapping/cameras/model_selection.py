"""Model selection: which further intrinsics of a camera the observations support, before any adjustment.

The score test gives the gain of freeing a parameter block, its covariance how well the parameters are
determined. Both assume independent observations. A moving lens or a few wrong matches shift many observations
of an image alike. So images are left out in turn (jackknife), which gives the scatter of the parameters and
the gain in images left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pycolmap

from ..scene.camera_models import (
    PRINCIPAL_POINT,
    Freedom,
    ParameterBlock,
    as_model,
    ladder_of,
    parts,
    together,
)
from .cross_validation import Folds, HeldOut, jackknife
from .linearized_observations import LinearizedObservations, gather
from .reduced_system import ReducedSystem

Array = npt.NDArray[np.float64]

_MIN_SIGMAS = 7.5
"""Standard deviations of the score test from which a block is significant."""
_MAX_PRIOR_SIGMAS = 2.5
_MAX_SIGMA = 0.25  # of the prior's; beyond, the prior would dominate
_MIN_STABLE_SIGMAS = 2.5  # by the larger of both standard deviations
_MIN_SHIFT = 0.0015  # of the longer side: a few wrong matches shift a principal point as far
_MAX_FOCAL_CHANGE = 0.02  # a focal length that moves along shows that they correlate
_MAX_FOCAL_SIGMA = 0.01  # a flat scene seen from one height fits any lens that bends the ground to match
_MIN_HELD_OUT_SIGMAS = 2.0
_MIN_HELD_OUT_GAIN = 0.001  # of the sum of squared residuals: less is not worth a richer camera
SUPPORTED = "supported by the observations"


@dataclass(frozen=True, slots=True)
class TriedBlock:
    """What freeing parameters of one camera would do, and whether they were freed."""

    camera_id: int
    num_images: int
    block: str
    """As `ParameterBlock.name`."""
    shift: dict[str, float]
    """By parameter; aspect is fx / fy - 1."""
    sigma: dict[str, float]
    """Standard deviations of the shifts."""
    sigmas: float
    """Significance of the fall in reprojection error."""
    held_out_percent: float | None
    """Fall of the squared error of images that were left out; None where they were not asked."""
    held_out_sigmas: float | None
    accepted: bool
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class ModelSelection:
    """How far a camera came."""

    tried: tuple[TriedBlock, ...]
    freedom: Freedom
    camera: pycolmap.Camera
    """Of the richest model; what was not freed is as it was."""

    @property
    def accepted(self) -> tuple[str, ...]:
        """Names of the accepted parameter blocks, one by one."""
        return tuple(name for one in self.tried if one.accepted for name in parts(one.block))

    def reached(self, camera: pycolmap.Camera) -> tuple[TriedBlock, ...]:
        """The blocks that were tried, accepted ones with their values after adjustment."""
        richest = self.freedom.camera.model_name
        final = as_model(camera, richest) if camera.model_name in ladder_of(richest) else camera
        moved = np.asarray(final.params) - np.asarray(self.freedom.camera.params)
        step = np.linalg.lstsq(self.freedom.directions, moved, rcond=None)[0]
        found = dict(zip(self.freedom.names, step.tolist(), strict=True))
        return tuple(
            replace(one, shift={name: _rounded(found[name], 4) for name in one.shift})
            if one.accepted
            else one
            for one in self.tried
        )


def select_model(model: pycolmap.Reconstruction, camera_id: int, freedom: Freedom) -> ModelSelection:
    """Try the parameter blocks of a camera one after the other, each with those accepted so far."""
    seen = gather(model, camera_id, freedom)
    if not freedom.blocks or not seen.variance > 0:
        return ModelSelection((), freedom, freedom.camera)
    try:
        return _selected(_Evidence(model.camera(camera_id), freedom, seen), camera_id)
    except np.linalg.LinAlgError:  # poses that nothing determines
        return ModelSelection((), freedom, freedom.camera)


def _selected(evidence: _Evidence, camera_id: int) -> ModelSelection:
    freedom = evidence.freedom
    free, tried = list(freedom.base), dict[str, TriedBlock]()
    waiting, num_free = list(freedom.blocks), 0
    while waiting and num_free != len(free):
        num_free = len(free)
        for block in waiting:
            tried[block.name] = evidence.judge(camera_id, block, free)
            free += block.columns if tried[block.name].accepted else ()
        # The residuals of one block may have hidden the gain of another.
        waiting = [block for block in waiting if not tried[block.name].accepted]
        if num_free == len(free) and (joint := _only_together(waiting, tried)):
            tried[joint.name] = evidence.judge(camera_id, joint, free)
            if tried[joint.name].accepted:
                free += joint.columns
                waiting = [block for block in waiting if block.name not in parts(joint.name)]
    step = evidence.system.step(free, evidence.prior).intrinsics
    return ModelSelection(tuple(tried.values()), freedom, freedom.moved(step))


def _only_together(
    waiting: Sequence[ParameterBlock], tried: Mapping[str, TriedBlock]
) -> ParameterBlock | None:
    """Parameter blocks with a significant gain that are undetermined as long as the others are fixed.

    A decentred lens shifts the principal point and adds tangential distortion. Either alone explains little
    and leaves the focal length undetermined.
    """
    asked_for = [block for block in waiting if tried[block.name].held_out_sigmas is not None]
    return together(asked_for) if len(asked_for) > 1 else None


@dataclass
class _Evidence:
    camera: pycolmap.Camera
    freedom: Freedom
    seen: LinearizedObservations
    prior: Array = field(init=False)
    system: ReducedSystem = field(init=False)

    def __post_init__(self) -> None:
        self.prior = self.seen.variance / self.freedom.prior**2
        self.system = ReducedSystem.of(self.seen)

    @cached_property
    def folds(self) -> Folds:
        return Folds.of(self.seen)

    def judge(self, camera_id: int, block: ParameterBlock, before: Sequence[int]) -> TriedBlock:
        """Whether a parameter block is supported in addition to the free ones."""
        after = [*before, *block.columns]
        gain = self.system.gain(after, self.prior) - self.system.gain(before, self.prior)
        sigmas = math.sqrt(max(gain, 0.0) / self.seen.variance)
        step = self.system.step(after, self.prior).intrinsics
        sigma = np.zeros(len(step))
        sigma[after] = np.sqrt(np.diagonal(self.system.covariance(after, self.prior)) * self.seen.variance)
        held_out = None
        why = self._why_insignificant(block, sigmas, step)
        if not why:
            sigma = np.maximum(sigma, jackknife(self.folds.steps(after, self.prior)))
            held_out = self.folds.compare(before, after, self.prior)
            why = self._why_undetermined(block, step, sigma) or _why_no_better(held_out)
        at = list(block.columns)
        return TriedBlock(
            camera_id=camera_id,
            num_images=len(self.seen.own),
            block=block.name,
            shift={self.freedom.names[i]: _rounded(step[i], 4) for i in at},
            sigma={self.freedom.names[i]: _rounded(sigma[i], 2) for i in at},
            sigmas=round(sigmas, 1),
            held_out_percent=None if held_out is None else round(100 * held_out.gain, 2),
            held_out_sigmas=None if held_out is None else round(held_out.sigmas, 1),
            accepted=not why,
            why=why or SUPPORTED,
        )

    def _why_insignificant(self, block: ParameterBlock, sigmas: float, step: Array) -> str:
        at = list(block.columns)
        side = max(self.camera.width, self.camera.height)
        if sigmas < _MIN_SIGMAS:
            return "no significant fall in reprojection error"
        if block.name == PRINCIPAL_POINT and np.abs(step[at]).max() < _MIN_SHIFT * side:
            return "too near the centre to matter"
        if np.any(np.abs(step[at]) > _MAX_PRIOR_SIGMAS * self.freedom.prior[at]):
            return "implausibly far off"
        return ""

    def _why_undetermined(self, block: ParameterBlock, step: Array, sigma: Array) -> str:
        at = list(block.columns)
        focal_px, moved_px = (one.mean_focal_length() for one in (self.camera, self.freedom.moved(step)))
        if abs(moved_px / focal_px - 1) > _MAX_FOCAL_CHANGE:
            return "cannot be told apart from the focal length"
        if max(sigma[list(self.freedom.focal)], default=0.0) > _MAX_FOCAL_SIGMA * moved_px:
            return "not even the focal length is determined well enough"
        if np.any(sigma[at] > _MAX_SIGMA * self.freedom.prior[at]):
            return "not determined well enough"
        if np.sqrt(np.sum((step[at] / sigma[at]) ** 2)) < _MIN_STABLE_SIGMAS:
            return "differs from one part of the photos to the other"
        return ""


def _why_no_better(held_out: HeldOut) -> str:
    if held_out.sigmas < _MIN_HELD_OUT_SIGMAS or held_out.gain < _MIN_HELD_OUT_GAIN:
        return "photos that were left out are not explained better"
    return ""


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
