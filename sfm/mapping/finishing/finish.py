"""The last adjustment of models that are kept: all points, richer intrinsics where supported, metres."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import asdict, replace

import pycolmap

from retrieval import Pair
from sfm.config.schema import RefineConfig

from ..depth.depth_model import has_parallax
from ..depth.metric_scale import metric_scale, scale_to_metres
from ..journal import Journal
from ..options import MapperOptions, with_patience, with_two_view_tracks
from ..places.second_opinion import reconsidered
from ..scene import Scene
from .last_pass import LastPass
from .two_view_points import drop_points_of_pairs, is_weak

_MAX_PASSES = 10
_SETTLED_SHIFT = 1e-3
"""Of a model's extent, the median of its photos: an adjustment that moved them less has nothing to add."""
_CHOSEN_SHIFT = 1.5e-4
"""The same since the last choice of observations, of a first pass: a street grid whose photos moved by
1.3e-3 until then and by 9e-5 since moves by 1e-6 in another pass; bent towns move by 2e-4 and more since."""


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
    if scene.depth is None and is_weak(model):
        options = with_two_view_tracks(options)
    if scene.depth is None or has_parallax(model, options.mapper.filter_min_tri_angle):
        last = LastPass(scene, suspects, options, refine, fixed_cameras, journal)
        model = _settled(model, last)
        if moved := reconsidered(scene, model, options, suspects, journal):
            model = _settled(moved, last)
        drop_points_of_pairs(model)
    _scale_to_metres(scene, model, journal)
    return model


def _settled(model: pycolmap.Reconstruction, last: LastPass) -> pycolmap.Reconstruction:
    """The model, adjusted until the photos stay where they are and no further suspect agrees.

    Points of two photos are made anew each time: those made where photos stood wrong hold them there.
    """
    for attempt in range(_MAX_PASSES if last.scene.depth is None else 1):
        drop_points_of_pairs(model)
        found = last.adjusted(model)
        model = found.model
        for rung in found.tried:
            if rung.accepted or not attempt:
                last.journal.note("intrinsics", **asdict(rung))
        stays = found.shift <= _SETTLED_SHIFT or (not attempt and found.late_shift <= _CHOSEN_SHIFT)
        if stays and not found.regained:
            break
        last = replace(last, options=with_patience(last.options), let_in=found.let_in)
    return model


def note_model(journal: Journal, model: pycolmap.Reconstruction) -> None:
    """The figures of a model, at the end of its story."""
    journal.note(
        "model",
        num_images=model.num_reg_images(),
        num_points=model.num_points3D(),
        mean_reprojection_error_px=round(model.compute_mean_reprojection_error(), 4),
        mean_track_length=round(model.compute_mean_track_length(), 3),
    )


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
