"""The last adjustment of models that are kept: all points, richer intrinsics where supported, metres."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import asdict, dataclass, replace

import pycolmap

from retrieval import Pair
from sfm.config.schema import RefineConfig

from .adjustment import drop_blind, refine_fully
from .calibration.climbing import TriedRung
from .calibration.focal_priors import determined_focal, holds_focal, with_held_focal
from .calibration.intrinsics import free_intrinsics
from .depth.depth_model import has_parallax
from .depth.metric_scale import metric_scale, scale_to_metres
from .growth import grow
from .journal import Journal
from .late_pairs import supported
from .observations import points_of_pairs
from .options import MapperOptions, with_patience, with_two_view_tracks
from .scene import Scene
from .second_opinion import reconsidered
from .session import MapperSession, open_session
from .shifts import camera_centres, median_shift
from .steps import FIRM

_MOSTLY_FIRM = 0.95  # of the photos: in 17 sets either all see FIRM points or a seventh and more do not
_MAX_PASSES = 10
_SETTLED_SHIFT = 1e-3
"""Of a model's extent, the median of its photos: an adjustment that moved them less has nothing to add."""
_GRADIENT_TOLERANCE = 1e-4  # by COLMAP's, all but the focal length being settled, nothing is left to do
_MIN_TRACK_LENGTH = 2.5  # tracks of two photos, one redundant measurement each, pass for evidence too easily


def finish(
    scene: Scene,
    model: pycolmap.Reconstruction,
    options: MapperOptions,
    refine: RefineConfig,
    *,
    suspects: Set[Pair],
    fixed_cameras: frozenset[int],
    journal: Journal,
) -> pycolmap.Reconstruction:
    """A grown model, adjusted until little changes; the model that is given may be changed.

    `suspects` are pairs of the scene that may be look-alikes': those that the model contradicts stay out.

    Points that two photos see alone, which COLMAP leaves out, take part where many photos are weakly held:
    there they are half of what there is. AUC@1 of ETH3D pipes with three seeds is 73.2, 71.3 and 70.1 with
    them, 76.6, 70.8 and 58.0 without; of a street grid whose photos see hundreds of others 93.5 with them,
    95.0 without. They leave the model in the end, but for those of photos with few others. Where photos have
    depth, matches are so many that they would add cost alone.

    Observations are chosen by where the photos stand, so that a bent model keeps those that bend it. Where
    the photos move, all is done again, and no outlier is dropped then before the adjustment has come to its
    end: two districts that an alley joins move by 3e-3, 5e-3 and 5e-4 of their extent in turn (AUC@5 89, 90,
    93), most models less than `_SETTLED_SHIFT` the first time. So is it where suspects agree with the new
    poses that did not before: 58 of 79 in a district (AUC@5 from 97 to 98).

    A part that a settled model contradicts by the most of its matches is moved (`reconsidered`), and all is
    done again.

    Models from depth alone keep their poses: their points would be filtered for want of parallax.
    """
    if scene.depth is None and _is_weak(model):
        options = with_two_view_tracks(options)
    if scene.depth is None or has_parallax(model, options.mapper.filter_min_tri_angle):
        passes = _Passes(scene, options, refine, suspects, fixed_cameras, journal)
        model = passes.settled(model)
        if moved := reconsidered(scene, model, options, suspects, journal):
            model = passes.settled(moved)
        _drop_points_of_pairs(model)
    _scale_to_metres(scene, model, journal)
    return model


@dataclass(frozen=True, slots=True)
class _Passes:
    """The last adjustment, as often as it takes."""

    scene: Scene
    options: MapperOptions
    refine: RefineConfig
    suspects: Set[Pair]
    fixed_cameras: frozenset[int]
    journal: Journal

    def settled(self, model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
        """The model, adjusted until the photos stay where they are and no further suspect agrees.

        Points of two photos are made anew each time: those made where photos stood wrong hold them there.
        """
        refused, options = supported(self.scene, (model,), self.suspects)[1], self.options
        for attempt in range(_MAX_PASSES if self.scene.depth is None else 1):
            before = camera_centres(model)
            _drop_points_of_pairs(model)
            rest = self.scene.without(refused)
            model, tried = _adjusted(rest, model, options, self.refine, self.fixed_cameras, self.journal)
            for rung in tried:
                if rung.accepted or not attempt:
                    self.journal.note("intrinsics", **asdict(rung))
            still = supported(self.scene, (model,), self.suspects)[1]
            if median_shift(before, camera_centres(model)) <= _SETTLED_SHIFT and still >= refused:
                break
            refused, options = still, with_patience(options)
        return model


def _adjusted(
    scene: Scene,
    model: pycolmap.Reconstruction,
    options: MapperOptions,
    refine: RefineConfig,
    fixed_cameras: frozenset[int],
    journal: Journal,
) -> tuple[pycolmap.Reconstruction, list[TriedRung]]:
    """The model after one pass of all there is, and the intrinsics that were tried."""
    with open_session(scene, options, model) as session:
        for name in sorted(session.registered):  # with the pairs that waited until there was a model
            session.mapper.triangulate_image(options.triangulation, scene.id_of[name])
        before = session.registered
        refine_fully(session, "final", journal)
        session = _with_freed_focal(session, journal)
        drop_blind(session, journal)
        _regain(session, before - session.registered, journal)
        last = with_held_focal(session, options.final_ba)
    if not _has_evidence(scene, model):
        return model, []
    return free_intrinsics(model, last, refine, fixed_cameras=fixed_cameras)


def _with_freed_focal(session: MapperSession, journal: Journal) -> MapperSession:
    """The session with all focal lengths free, and adjusted again, where those held turn out determined."""
    if not session.options.final_ba.refine_focal_length or not holds_focal(session):
        return session
    if not determined_focal(session, journal):
        return session
    last = copy.deepcopy(session.options.final_ba)
    last.ceres.solver_options.gradient_tolerance = _GRADIENT_TOLERANCE
    freed = replace(session, options=replace(session.options, guessed_cameras=frozenset(), final_ba=last))
    refine_fully(freed, "focal lengths freed", journal)
    return freed


def note_model(journal: Journal, model: pycolmap.Reconstruction) -> None:
    """The figures of a model, at the end of its story."""
    journal.note(
        "model",
        num_images=model.num_reg_images(),
        num_points=model.num_points3D(),
        mean_reprojection_error_px=round(model.compute_mean_reprojection_error(), 4),
        mean_track_length=round(model.compute_mean_track_length(), 3),
    )


def _regain(session: MapperSession, lost: Set[str], journal: Journal) -> None:
    """Register photos again whose observations the adjustment dropped: they had been in the wrong place."""
    if not lost:
        return
    grow(session, session.registered | lost, journal, on_registered=lambda name: None)
    if session.registered & lost:
        refine_fully(session, "regained", journal)
        drop_blind(session, journal)


def _drop_points_of_pairs(model: pycolmap.Reconstruction) -> None:
    """Take out the points of two photos, no third one vouching for them, where both see enough others."""
    pairs = points_of_pairs(model)
    firm = _firm(model, pairs.values())
    for point_id, (first, second) in pairs.items():
        if first in firm and second in firm:
            model.delete_point3D(point_id)


def _is_weak(model: pycolmap.Reconstruction) -> bool:
    """Whether more than a few photos see few points that a third photo vouches for."""
    return len(_firm(model, points_of_pairs(model).values())) < _MOSTLY_FIRM * model.num_reg_images()


def _firm(model: pycolmap.Reconstruction, pairs: Iterable[tuple[int, int]]) -> set[int]:
    """Ids of the images that see enough points which a third one vouches for; the others are of `pairs`."""
    alone = Counter(image_id for pair in pairs for image_id in pair)
    return {i for i in model.reg_image_ids() if model.image(i).num_points3D - alone[i] >= FIRM}


def _has_evidence(scene: Scene, model: pycolmap.Reconstruction) -> bool:
    """Whether the observations of a model could tell of principal points."""
    return scene.depth is None or model.compute_mean_track_length() >= _MIN_TRACK_LENGTH


def _scale_to_metres(scene: Scene, model: pycolmap.Reconstruction, journal: Journal) -> None:
    if found := metric_scale(scene, model):
        scale_to_metres(model, found)
        journal.note(
            "metric_scale",
            source="mast3r",
            scale=round(found.scale, 6),
            spread=round(found.spread, 4),
            num_images=found.num_images,
        )
