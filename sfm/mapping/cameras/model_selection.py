"""Model selection: which further intrinsics of a camera the observations support, before any adjustment.

Parameters are freed where the log evidence for them is large (`evidence`): few lenses need them. Every lens
has its principal point off centre by some pixels, so whether it has is not in question, but whether the
observations say where it is: it is freed by Akaike's criterion (1974, "A New Look at the Statistical Model
Identification"). Where no lens has it, or it is known no better than of lenses, it needs evidence, too.
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
    heavy_tailed,
    ladder_of,
    parts,
    principal_point,
    together,
)
from .evidence import Estimate, Folds
from .linearized_observations import NO_SECOND, LinearizedObservations, gather_of_cameras
from .reduced_system import ReducedSystem

Array = npt.NDArray[np.float64]

MIN_LOG_EVIDENCE = 1.5
"""For each parameter, from which a block is freed; the principal point needs none."""
FAR = 5.0
"""Standard deviations of what lenses have: images whose intrinsics are farther off were stretched or cut."""
_BESIDE = 2.0
"""Standard deviations between where a principal point was predicted and where it went, at most."""
_OF_FISHEYE = 0.0
"""The same for each parameter of a fisheye: every measured one has further distortion."""
_SUPPORTED = "supported by the observations"
_INSIGNIFICANT = "no significant fall in reprojection error"
_UNDETERMINED = "not determined well enough, or differs from photo to photo"


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
    log_evidence: float | None
    """For freeing them (natural logarithm); None where so few sigmas give little, or nothing was asked."""
    accepted: bool
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class ModelSelection:
    """How far a camera came."""

    tried: tuple[TriedBlock, ...]
    freedom: Freedom
    camera: pycolmap.Camera
    """Of the richest model; what was not freed is as it was."""
    step: Array
    """(D,) in the directions of `freedom`; 0 where nothing was tried."""
    design_effects: Mapping[str, float] = field(default_factory=dict)
    """As `Estimate.design_effects`, by the name of each direction that was accepted."""

    @classmethod
    def unchanged(cls, freedom: Freedom) -> ModelSelection:
        """Of a camera of which nothing was asked."""
        return cls((), freedom, freedom.camera, np.zeros(len(freedom.names)))

    @property
    def accepted(self) -> tuple[str, ...]:
        """Names of the accepted parameter blocks, one by one."""
        return tuple(name for one in self.tried if one.accepted for name in parts(one.block))

    @property
    def is_richer(self) -> bool:
        """Whether parameters were accepted that were not free: a principal point off the centre was."""
        return any(name != PRINCIPAL_POINT or not self.freedom.offset.any() for name in self.accepted)

    @property
    def log_evidence(self) -> float:
        """For all accepted parameter blocks together (natural logarithm); 0 where there are none."""
        return sum(one.log_evidence or 0.0 for one in self.tried if one.accepted)

    def is_beside(self, adjusted: pycolmap.Camera) -> bool:
        """Whether the principal point went significantly elsewhere than predicted: linearised, it misled.

        With as much evidence as other parameters need, it may: then it is off centre anyway.
        """
        off = np.abs(principal_point(adjusted) - principal_point(self.camera))
        return any(
            bool(np.any(off > _BESIDE * np.array(list(one.sigma.values()))))
            for one in self.tried
            if one.block == PRINCIPAL_POINT
            and one.accepted
            and (one.log_evidence or 0.0) <= MIN_LOG_EVIDENCE * len(off)
        )

    def of_camera(self, camera_id: int, num_images: int, freedom: Freedom) -> ModelSelection:
        """The same for another camera, which changes in its own directions with this one."""
        tried = tuple(replace(one, camera_id=camera_id, num_images=num_images) for one in self.tried)
        return replace(self, tried=tried, freedom=freedom, camera=freedom.moved(self.step))

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


def select_model(
    model: pycolmap.Reconstruction,
    freedoms: Mapping[int, Freedom],
    first_of_second: Mapping[int, int] = NO_SECOND,
) -> ModelSelection:
    """Try the parameter blocks of a camera one after the other, each with those accepted so far.

    Args:
        model: globally adjusted, without outliers.
        freedoms: by camera id, of the camera, then of others that change with it, in the same directions.
        first_of_second: as `Scene.first_of_second`.
    """
    camera_id, freedom = next(iter(freedoms.items()))
    seen = gather_of_cameras(model, freedoms, first_of_second=first_of_second)
    if not freedom.blocks or not seen.variance > 0:
        return ModelSelection.unchanged(freedom)
    try:
        return _selected(_Evidence(freedom, seen), camera_id)
    except np.linalg.LinAlgError:  # poses that nothing determines
        return ModelSelection.unchanged(freedom)


def supports(
    model: pycolmap.Reconstruction,
    freedoms: Mapping[int, Freedom],
    columns: Sequence[int],
    accepted: Sequence[int],
    first_of_second: Mapping[int, int] = NO_SECOND,
) -> bool:
    """Whether the observations support some directions of cameras that change together.

    Args:
        model: as for `select_model`.
        freedoms: as for `select_model`.
        columns: of the directions in question.
        accepted: of those that are free already, beside the base.
        first_of_second: as for `select_model`.
    """
    camera_id, first = next(iter(freedoms.items()))
    evidence = _Evidence(first, gather_of_cameras(model, freedoms, first_of_second=first_of_second))
    try:
        return evidence.judge(
            camera_id, ParameterBlock("", tuple(columns)), [*first.base, *accepted]
        ).accepted
    except np.linalg.LinAlgError:  # poses that nothing determines
        return False


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
        # A decentred lens shifts the principal point and adds tangential distortion. Either alone explains
        # little and leaves the focal length undetermined.
        if num_free == len(free) and len(waiting) > 1:
            joint = together(waiting)
            tried[joint.name] = evidence.judge(camera_id, joint, free)
            if tried[joint.name].accepted:
                free += joint.columns
                waiting = [block for block in waiting if block.name not in parts(joint.name)]
    step = evidence.system.step(free, evidence.prior).intrinsics
    accepted = [i for i in free if i not in freedom.base]
    effects = dict[str, float]()
    if accepted:
        found = evidence.folds.estimate(free, accepted, evidence.prior).design_effects.tolist()
        effects = dict(zip((freedom.names[i] for i in accepted), found, strict=True))
    return ModelSelection(tuple(tried.values()), freedom, freedom.moved(step), step, effects)


@dataclass
class _Evidence:
    freedom: Freedom
    seen: LinearizedObservations
    prior: Array = field(init=False)
    system: ReducedSystem = field(init=False)

    def __post_init__(self) -> None:
        self.prior = self.seen.variance / self.freedom.prior**2
        self.system = ReducedSystem.of(self.seen)

    @property
    def least(self) -> float:
        """Log evidence from which a parameter is freed."""
        return _OF_FISHEYE if self.freedom.camera.is_perspective_fisheye() else MIN_LOG_EVIDENCE

    @cached_property
    def folds(self) -> Folds:
        return Folds.of(self.seen, self.system)

    def judge(self, camera_id: int, block: ParameterBlock, before: Sequence[int]) -> TriedBlock:
        """Whether a parameter block is to be free in addition to the free ones."""
        after, at = [*before, *block.columns], list(block.columns)
        gain = self.system.gain(after, self.prior) - self.system.gain(before, self.prior)
        most = max(gain, 0.0) / self.seen.variance / 2
        found = self.system.step(after, self.prior).intrinsics[at]
        estimate = self.folds.estimate(after, at, self.prior)
        sigma = np.sqrt(np.diagonal(estimate.covariance))
        # Few images may scatter less than their noise: what that explains is no evidence.
        is_significant = most > self.least * len(at) or bool(self.freedom.offset[at].any())
        log_evidence = self._log_evidence(estimate, at) if is_significant else None
        names = [self.freedom.names[i] for i in at]
        if log_evidence is None:
            accepted = False
        elif block.name == PRINCIPAL_POINT:
            accepted = self._is_known(estimate, at, found, log_evidence)
        else:
            accepted = log_evidence > self.least * len(set(names) - {"cx", "cy"})
        refused = _INSIGNIFICANT if log_evidence is None else _UNDETERMINED
        return TriedBlock(
            camera_id=camera_id,
            num_images=len(self.seen.own),
            block=block.name,
            shift={name: _rounded(value, 4) for name, value in zip(names, found, strict=True)},
            sigma={name: _rounded(value, 2) for name, value in zip(names, sigma, strict=True)},
            sigmas=round(math.sqrt(2 * most), 1),
            log_evidence=None if log_evidence is None else round(log_evidence, 1),
            accepted=accepted,
            why=_SUPPORTED if accepted else refused,
        )

    def _is_known(self, estimate: Estimate, at: Sequence[int], found: Array, log_evidence: float) -> bool:
        """Whether the observations say where the principal point is, by Akaike's criterion.

        Where no lens has it, or it is known no better than of lenses, it needs evidence.
        """
        offset, prior = self.freedom.offset[at], self.freedom.prior[at]
        is_usual = np.abs(found + offset) < FAR * prior
        is_sharper = np.sqrt(np.diagonal(estimate.covariance)) < prior
        needed = -math.inf if np.all(is_usual & is_sharper) else 0.0
        return log_evidence > needed and estimate.log_likelihood_ratio(offset) > len(at)

    def _log_evidence(self, estimate: Estimate, at: Sequence[int]) -> float:
        """With Cauchy's prior for the aspect of pixels, by the normal one that is nearest at the estimate."""
        prior, offset = self.freedom.prior[at], self.freedom.offset[at]
        stretched = np.array([self.freedom.names[i] == "aspect" for i in at])
        wide = np.where(stretched, heavy_tailed(estimate.shift, prior), prior)
        return estimate.log_evidence(wide, offset) - float(np.log(wide / prior).sum())


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
