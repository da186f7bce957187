"""Bundle adjustment around the last image, of the whole growing model, and of the model that is kept.

A growing model needs poses good enough to register the next image and to find outliers. A part of the points
and one pass suffice for that. All points and repeated passes are for the model that is kept.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Set

import pycolmap

from ..cameras.focal_priors import with_held_intrinsics, with_held_local_focal
from ..cameras.plausible import cameras_in_use, implausible_cameras
from ..measures.residuals import noise_px, residual_lengths
from ..scene.journal import Journal
from ..scene.linear_solver import with_linear_solver
from ..scene.session import MapperSession

_MANY = 40  # images
OUTLIER_SIGMAS = 6.0
"""Residuals above this multiple of the noise of keypoints are outliers."""


def refine_local(session: MapperSession, name: str) -> None:
    """Adjust the image just registered with those that share most points with it."""
    pipeline = session.options.pipeline
    session.mapper.iterative_local_refinement(
        pipeline.ba_local_max_refinements,
        pipeline.ba_local_max_refinement_change,
        session.options.mapper,
        with_held_local_focal(session, session.options.local_ba),
        session.options.triangulation,
        session.scene.id_of[name],
    )


def refine_growing(session: MapperSession, why: str, journal: Journal) -> None:
    """Complete and merge tracks, adjust all images with the points that hold them best, filter; once."""
    before, started = session.registered, time.monotonic()
    options = session.options
    growing = options.growing if session.num_registered < _MANY else options.growing_large
    _complete_and_adjust(session, growing, options.growing_ba, rounds=1, is_growing=True)
    _drop_implausible(session)
    _note(session, why, before, started, journal)


def refine_fully(session: MapperSession, why: str, journal: Journal) -> None:
    """Settle the model (`refine_until_stable`), then adjust everything to the end."""
    refine_until_stable(session, why, journal)
    adjust_to_the_end(session, why, journal)


def refine_until_stable(session: MapperSession, why: str, journal: Journal) -> None:
    """Complete and merge tracks, adjust, filter, until little changes; then drop outliers.

    In a large model the points that hold the images best do for that, unless patience is asked for.

    Observations within COLMAP's few pixels pass there even where keypoints are good to a fifth of a pixel.
    Least squares lets them bend the model, so those beyond a multiple of the noise go.
    """
    before, started = session.registered, time.monotonic()
    options = session.options
    rounds = options.pipeline.ba_global_max_refinements
    pruned = session.num_registered >= _MANY and not options.converge_first
    settling = options.growing_large if pruned else options.mapper
    _complete_and_adjust(session, settling, options.settling_ba, rounds=rounds)
    limited = copy.copy(options.mapper)
    noise = noise_px(residual_lengths(session.reconstruction))
    limited.filter_max_reproj_error = min(options.mapper.filter_max_reproj_error, OUTLIER_SIGMAS * noise)
    _filter(session, limited)
    _note(session, why, before, started, journal, max_error_px=round(limited.filter_max_reproj_error, 3))


def adjust_to_the_end(session: MapperSession, why: str, journal: Journal) -> None:
    """Adjust a settled model by least squares until nothing moves, then filter."""
    before, started = session.registered, time.monotonic()
    options = session.options
    final = with_linear_solver(session.reconstruction, with_held_intrinsics(session, options.final_ba))
    session.mapper.adjust_global_bundle(options.mapper, final)
    _filter(session, options.mapper)
    _note(session, why, before, started, journal)


def drop_unobserved(session: MapperSession, journal: Journal) -> None:
    """Take out images that have no point left; COLMAP's own filter leaves models of few images alone.

    An image without points stays where another camera of its rig holds it.
    """
    unobserved = [frame for frame in session.frames() if not any(image.num_points3D for image in frame)]
    for frame in unobserved:
        session.observations.deregister_frame(frame[0].frame_id)
        for image in frame:
            journal.note("filtered", name=image.name, why="no points are left of it")
    if unobserved:
        session.recount()


def _filter(session: MapperSession, options: pycolmap.IncrementalMapperOptions) -> None:
    """Drop points by the options, then images with few points or an implausible camera."""
    session.mapper.filter_points(options)
    session.mapper.filter_frames(options)
    _drop_implausible(session)


def _drop_implausible(session: MapperSession) -> None:
    """Take out images whose intrinsics cannot be those of a lens, and give their cameras the first ones.

    A model of such images alone stays as it is: the comparison with others is for that.
    """
    model = session.reconstruction
    bogus = implausible_cameras(model)
    if not bogus or bogus == cameras_in_use(model):
        return
    for frame in session.frames():
        if not bogus.isdisjoint(image.camera_id for image in frame):
            session.observations.deregister_frame(frame[0].frame_id)
    for camera_id in bogus:
        model.camera(camera_id).params = list(session.scene.cache.camera(camera_id).params)
    session.recount()


def _complete_and_adjust(
    session: MapperSession,
    mapper: pycolmap.IncrementalMapperOptions,
    adjustment: pycolmap.BundleAdjustmentOptions,
    *,
    rounds: int,
    is_growing: bool = False,
) -> None:
    adjustment = with_held_intrinsics(session, adjustment, is_growing=is_growing)
    session.mapper.iterative_global_refinement(
        rounds,
        session.options.pipeline.ba_global_max_refinement_change,
        mapper,
        with_linear_solver(session.reconstruction, adjustment),
        session.options.triangulation,
        normalize_reconstruction=not session.options.frozen,
    )


def note_adjustment(
    model: pycolmap.Reconstruction, why: str, began: float, journal: Journal, **more: float
) -> None:
    """Record an adjustment of the whole model; `began` is of the monotonic clock."""
    journal.note(
        "global_ba",
        why=why,
        num_images=model.num_reg_images(),
        num_points=model.num_points3D(),
        seconds=round(time.monotonic() - began, 3),
        **more,
    )


def _note(
    session: MapperSession, why: str, before: Set[str], began: float, journal: Journal, **more: float
) -> None:
    note_adjustment(session.reconstruction, why, began, journal, **more)
    for name in sorted(before - session.registered):
        journal.note("filtered", name=name, why="too few observations or implausible intrinsics")
