"""Steps after growth return models that are at least as good as the given ones, or the given ones.

One measure decides (`why_worse`). A step must not change the given models, and its result is only taken
through `apply_step`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import pycolmap

from retrieval import Pair

from ..cameras.plausible import implausible_cameras
from ..depth.fit import weighted_median
from ..growing.submodels import Submodel
from ..measures.agreement import CONTRADICTED_PX, contradicted_matches, median_errors_px
from ..pose_consistency.pose_judge import PoseJudge
from ..scene.journal import Journal
from ..scene.options import MapperOptions
from ..scene.scene import Scene

log = logging.getLogger(__name__)

_MAX_RISE = 1.05
"""Of the epipolar error: filters and losses shift which matches an adjustment serves best."""
_MOST = 0.5
"""Share of contradicting matches from which on an image may be lost."""
_TIMES_TYPICAL = 5.0
"""Epipolar errors are truncated at this multiple of the typical one."""
_FEWEST_LEFT = 0.5
"""Share of the observations of three images and more, below which most of a model would be lost."""
_MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Judge:
    """Whether a step may replace models."""

    scene: Scene
    """With all pairs, also those that a step leaves out."""
    min_points: int
    """Fewest observations with which registration accepts an image."""
    poses: PoseJudge | None = None
    """Where more poses are probably right, false pairs may lie farther from their epipolar lines."""

    @classmethod
    def of(cls, scene: Scene, options: MapperOptions, poses: PoseJudge | None = None) -> Judge:
        """By the limits of registration."""
        return cls(scene, options.lenient.abs_pose_min_num_inliers, poses)

    def why_worse(
        self, before: Sequence[pycolmap.Reconstruction], after: Sequence[pycolmap.Reconstruction]
    ) -> str:
        """Why models are worse than those that they would replace; empty where they are as good.

        Models are worse where a camera becomes implausible, or where a supported image is missing
        (`_is_supported`) whose camera was plausible. They are also worse, unless more poses are probably
        right, where most observations are lost: cameras that came together have no parallax. The same holds
        where verified matches lie farther from their epipolar lines, among pairs within a model before and
        after. Adjustment used only a part of these matches.
        """
        if not _names(after):
            return "no photo would be left"
        were_bogus = _implausible_cameras(before)
        if bogus := _implausible_cameras(after) - were_bogus:
            return f"implausible intrinsics of camera {', '.join(map(str, sorted(bogus)))}"
        was, now = self._errors_px(before), self._errors_px(after)
        if missing := sorted(_names(before, but_of=were_bogus) - _names(after)):
            supported = [name for name in missing if self._is_supported(name, before, was)]
            if supported:
                more = f" and {len(supported) - _MAX_SHOWN} more" if len(supported) > _MAX_SHOWN else ""
                return f"photos would be lost: {', '.join(supported[:_MAX_SHOWN])}{more}"
        observed_was, observed_now = _num_long_observations(before), _num_long_observations(after)
        if observed_now < _FEWEST_LEFT * observed_was and not self._is_likelier(before, after):
            return f"{observed_was - observed_now} of {observed_was} observations would be lost"
        error_was, error_now = self._mean_errors_px(was, now)
        if error_now > _MAX_RISE * error_was and not self._is_likelier(before, after):
            return (
                f"matches would lie {error_now:.3g} px from their epipolar lines instead of {error_was:.3g}"
            )
        return ""

    def _is_likelier(
        self, before: Sequence[pycolmap.Reconstruction], after: Sequence[pycolmap.Reconstruction]
    ) -> bool:
        return self.poses is not None and self.poses.right_pairs(after) > self.poses.right_pairs(before)

    def _is_supported(
        self, name: str, models: Sequence[pycolmap.Reconstruction], errors_px: Mapping[Pair, float]
    ) -> bool:
        """Whether an image has enough points in a model, and most of its matches agree with its pose."""
        images = (model.image(i) for model in models for i in model.reg_image_ids())
        points = max(image.num_points3D for image in images if image.name == name)
        own = [pair for pair in errors_px if name in pair]
        against = contradicted_matches(own, errors_px, self._inliers(own))
        return points >= self.min_points and bool(own) and against < _MOST

    def _errors_px(self, models: Sequence[pycolmap.Reconstruction]) -> dict[Pair, float]:
        """Median epipolar error of each verified pair within a model, the least where several hold it."""
        found: dict[Pair, float] = {}
        for model in models:
            for pair, error in median_errors_px(self.scene, model, self.scene.view_graph.edges).items():
                found[pair] = min(error, found.get(pair, error))
        return found

    def _mean_errors_px(self, was: Mapping[Pair, float], now: Mapping[Pair, float]) -> tuple[float, float]:
        """Mean errors of the pairs that have both, by their matches and their probability to be true.

        Errors are cut at a few times that of the typical match before; beyond, false pairs would decide.
        """
        inliers = self._inliers(pair for pair in sorted(was) if pair in now)
        if not inliers:
            return 0.0, 0.0
        chance = self.poses.probability if self.poses is not None else {}
        weight = np.array([num * chance.get(pair, 1.0) for pair, num in inliers.items()])
        before, after = (np.array([errors[pair] for pair in inliers]) for errors in (was, now))
        most_px = min(_TIMES_TYPICAL * weighted_median(before, weight), CONTRADICTED_PX)
        error_was, error_now = (
            float(np.average(np.minimum(errors, most_px), weights=weight)) for errors in (before, after)
        )
        return error_was, error_now

    def _inliers(self, pairs: Iterable[Pair]) -> dict[Pair, int]:
        edges = self.scene.view_graph.edges
        return {pair: edges[pair].num_inliers for pair in pairs}


Step = Callable[[Sequence[Submodel]], Sequence[Submodel]]
"""Makes other models of some, which stay as they are; the same objects where it finds nothing to do."""


def apply_step(
    judge: Judge, before: Sequence[Submodel], step: Step, name: str, journal: Journal
) -> list[Submodel]:
    """The result of a step, or the given models where it fails or makes them worse.

    Args:
        judge: of the result.
        before: models; a step leaves them unchanged.
        step: the change.
        name: of the step, for the journal.
        journal: records why a result was not taken.
    """
    try:
        after = list(step(before))
    except Exception as error:  # whatever it is, the models that were there are worth more
        log.warning("%s failed; the models stay as they were", name, exc_info=True)
        journal.note("step_refused", step=name, why=f"it failed: {type(error).__name__}: {error}")
        return list(before)
    if len(after) == len(before) and all(new is old for new, old in zip(after, before, strict=True)):
        return after
    models = [[submodel.reconstruction for submodel in submodels] for submodels in (before, after)]
    if why := judge.why_worse(*models):
        journal.note("step_refused", step=name, why=why)
        return list(before)
    return after


def _implausible_cameras(models: Sequence[pycolmap.Reconstruction]) -> set[int]:
    return {camera_id for model in models for camera_id in implausible_cameras(model)}


def _names(models: Sequence[pycolmap.Reconstruction], *, but_of: Set[int] = frozenset()) -> frozenset[str]:
    """Of the images, but for those of some cameras."""
    images = (model.image(image_id) for model in models for image_id in model.reg_image_ids())
    return frozenset(image.name for image in images if image.camera_id not in but_of)


def _num_long_observations(models: Sequence[pycolmap.Reconstruction]) -> int:
    """In tracks of three images and more; steps drop shorter ones on purpose."""
    lengths = (point.track.length() for model in models for point in model.points3D.values())
    return sum(length for length in lengths if length > 2)
