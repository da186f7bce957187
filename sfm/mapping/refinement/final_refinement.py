"""Refinement of models: all points, richer intrinsics where supported, metric scale."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass, replace

import pycolmap

from retrieval import Pair
from sfm.config.schema import RefineConfig

from ..cameras.richer_cameras import as_rich_as_now, without_principal_point
from ..depth.depth_model import has_parallax
from ..depth.metric_scale import metric_scale, scale_to_metres
from ..edits.judge import Judge, Step, apply_step
from ..edits.relocate import relocate_parts
from ..growing.bundle_adjustment import adjust_to_the_end
from ..growing.submodels import MappingContext, Submodel, copied
from ..scene.journal import Journal
from ..scene.options import with_patience, with_two_view_tracks
from ..scene.scene import Scene
from ..scene.session import open_session
from .points_behind import drop_observations_behind
from .refinement_pass import Adjusted, RefinementPass
from .two_view_tracks import drop_points_of_pairs, is_weak

_MAX_PASSES = 10
_SETTLED_SHIFT = 1e-3
"""Median shift of the camera centres below which refinement ends, as a share of the extent of the model."""
_CHOSEN_SHIFT = 1.5e-4
"""The same since the last choice of observations, in a first pass."""
_STALLED = 0.5
"""Of the shift, in two passes: where it falls by less, poses go to and fro with the observations."""


def refine_model(
    context: MappingContext,
    grown: Submodel,
    refine: RefineConfig,
    *,
    deferred: Set[Pair],
    fixed_cameras: frozenset[int],
    cropped_cameras: frozenset[int] = frozenset(),
) -> Submodel:
    """Refine a model until its poses are stable; the given model is left unchanged.

    Each step goes through `judge.apply_step`, which returns a model at least as good as before.

    - Deferred pairs that contradict the model are left out.
    - Tracks of length 2, which COLMAP leaves out, take part where many images have few other tracks. They
      leave the model in the end, except where images have few other points. With depth they are left out.
    - Observations are chosen by the present poses. They are chosen again where the poses then change, or
      where more deferred pairs agree at first. From the second time on, outliers are dropped only after
      convergence.
    - A part is relocated where its placement is then likelier right (`relocate_parts`); the model is then
      refined again.
    - Models from depth alone keep their poses, since their points lack parallax and would be filtered.
    """
    scene, options, submodel = context.scene, context.options, grown
    judge = Judge.of(scene, options, context.judge)
    if scene.depth is None and is_weak(submodel.reconstruction):
        options = with_two_view_tracks(options)
    if scene.depth is None or has_parallax(submodel.reconstruction, options.mapper.filter_min_tri_angle):
        last = RefinementPass(judge, scene, deferred, options, refine, fixed_cameras, cropped_cameras)
        submodel = _settled(submodel, last)
        (moved,) = apply_step(judge, [submodel], _relocating(context, last), "relocate", submodel.journal)
        if moved is not submodel:
            submodel = _settled(moved, last)
        (submodel,) = apply_step(
            judge, [submodel], _without_points_of_pairs, "points of two photos", submodel.journal
        )
    (submodel,) = apply_step(judge, [submodel], _scaling(scene), "metric scale", submodel.journal)
    return submodel


def _settled(grown: Submodel, last: RefinementPass) -> Submodel:
    """The model, adjusted with the camera models that its observations support.

    Where it gets worse with these, it is adjusted with its present camera models, all points from the
    beginning. Where this fails as well, it is adjusted with its present observations.
    """
    as_it_is = replace(last, refine=as_rich_as_now(last.refine), options=with_patience(last.options))
    submodel, is_done = _passed(grown, last)
    if not is_done:
        submodel, is_done = _passed(grown, as_it_is)
    if not is_done and submodel is grown:
        (submodel,) = apply_step(
            last.judge, [grown], _adjusting(last), "adjustment as it stands", grown.journal
        )
    return submodel


def _passed(grown: Submodel, last: RefinementPass) -> tuple[Submodel, bool]:
    """The model, adjusted until its poses are stable.

    Tracks of length 2 are triangulated again in each pass, since they depend on two poses alone. Passes also
    end where the shift no longer falls. Where deferred pairs agree with the poses of the first pass, a second
    one takes them; those that agree later on matter only where the poses still move. Where intrinsics went
    far, they are asked for once more: which ones are supported was judged far from there.

    Returns:
        The model, and whether it is final. It is not where the first pass was refused, or a pass after camera
        models became richer.
    """
    submodel, is_richer, shifts = grown, False, list[float]()
    for attempt in range(_MAX_PASSES):
        step = _Pass(last, attempt)
        (after,) = apply_step(last.judge, [submodel], step, "last adjustment", grown.journal)
        if after is submodel or step.found is None:
            return submodel, attempt > 0 and not is_richer
        submodel, found = after, step.found
        is_richer |= found.is_richer
        stays = found.shift <= _SETTLED_SHIFT
        if not attempt:
            stays = (stays or found.late_shift <= _CHOSEN_SHIFT) and not found.regained
        # with other parameters the poses move anew
        shifts = [found.shift] if found.is_richer else [*shifts, found.shift]
        if (stays or _has_stalled(shifts)) and not found.is_far:
            break
        last = replace(
            last,
            refine=without_principal_point(last.refine) if found.is_beside else last.refine,
            options=with_patience(last.options),
            admitted_pairs=found.admitted_pairs,
            lenses=found.lenses,
        )
    return submodel, True


def _has_stalled(shifts: Sequence[float]) -> bool:
    """Whether the last two passes brought the shift down by too little."""
    return len(shifts) > 2 and min(shifts[-2:]) > _STALLED * min(shifts[:-2])


@dataclass(slots=True)
class _Pass:
    """One pass of the refinement, as a step."""

    last: RefinementPass
    attempt: int
    found: Adjusted | None = None

    def __call__(self, submodels: Sequence[Submodel]) -> Sequence[Submodel]:
        submodel = copied(submodels[0])
        drop_points_of_pairs(submodel.reconstruction)
        self.found = self.last.adjusted(submodel.reconstruction, submodel.journal)
        drop_observations_behind(self.found.model)
        for block in self.found.tried:
            if block.accepted or not self.attempt:
                submodel.journal.note("intrinsics", **asdict(block))
        return [_with_model(submodel, self.found.model)]


def _adjusting(last: RefinementPass) -> Step:
    """Least squares of all observations that a model has."""

    def step(submodels: Sequence[Submodel]) -> Sequence[Submodel]:
        submodel = copied(submodels[0])
        with open_session(last.scene, last.options, submodel.reconstruction) as session:
            adjust_to_the_end(session, "final", submodel.journal)
        drop_observations_behind(submodel.reconstruction)
        return [_with_model(submodel, submodel.reconstruction)]

    return step


def _relocating(context: MappingContext, last: RefinementPass) -> Step:
    """Parts of a model at placements that are likelier right."""
    context = replace(context, options=last.options)
    return lambda submodels: [relocate_parts(context, submodel) for submodel in submodels]


def _without_points_of_pairs(submodels: Sequence[Submodel]) -> Sequence[Submodel]:
    submodel = copied(submodels[0])
    drop_points_of_pairs(submodel.reconstruction)
    return [submodel]


def _scaling(scene: Scene) -> Step:
    """A model in metres where the depth of its images is metric."""

    def step(submodels: Sequence[Submodel]) -> Sequence[Submodel]:
        submodel = submodels[0]
        found = metric_scale(scene, submodel.reconstruction)
        if not found:
            return submodels
        submodel = copied(submodel)
        scale_to_metres(submodel.reconstruction, found)
        submodel.journal.note(
            "metric_scale",
            source="mast3r",
            scale=round(found.scale, 6),
            spread=round(found.spread, 4),
            num_images=found.num_images,
        )
        return [submodel]

    return step


def _with_model(submodel: Submodel, model: pycolmap.Reconstruction) -> Submodel:
    return replace(submodel, reconstruction=model, names=Submodel.of(model).names)


def note_model(journal: Journal, model: pycolmap.Reconstruction) -> None:
    """Note the figures of a model."""
    journal.note(
        "model",
        num_images=model.num_reg_images(),
        num_points=model.num_points3D(),
        mean_reprojection_error_px=round(model.compute_mean_reprojection_error(), 4),
        mean_track_length=round(model.compute_mean_track_length(), 3),
    )
