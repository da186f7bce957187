"""One pass of the last adjustment: observations chosen, cameras as rich as these ask for, all adjusted."""

from __future__ import annotations

import copy
import time
from collections.abc import Set
from dataclasses import dataclass, replace

import pycolmap

from sfm.config.schema import RefineConfig

from .adjustment import adjust_to_the_end, drop_blind, note_adjustment, refine_fully, settle
from .calibration.climbing import TriedRung
from .calibration.focal_priors import determined_focal, holds_focal, with_held_focal
from .calibration.intrinsics import adjusted_with, richer_cameras
from .calibration.loss import is_robust, with_fitting_loss
from .growth import grow
from .journal import Journal
from .options import MapperOptions
from .scene import Scene
from .session import MapperSession, open_session
from .shifts import camera_centres, median_shift

_GRADIENT_TOLERANCE = 1e-4  # by COLMAP's, all but the focal length being settled, nothing is left to do
_MIN_TRACK_LENGTH = 2.5  # tracks of two photos, one redundant measurement each, pass for evidence too easily


@dataclass(frozen=True, slots=True)
class LastPass:
    """All there is to a last adjustment, once."""

    scene: Scene
    options: MapperOptions
    refine: RefineConfig
    fixed_cameras: frozenset[int]
    journal: Journal

    def adjusted(
        self, model: pycolmap.Reconstruction
    ) -> tuple[pycolmap.Reconstruction, list[TriedRung], float]:
        """The model, the intrinsics that were tried, and how far the photos moved, of the extent.

        Cameras become richer as soon as the model has settled, and observations are then chosen anew: to
        adjust it to the end with the poorer ones would be time lost. Photos have moved since the last choice.
        """
        centres = camera_centres(model)
        options, last = self._settled(model, self.options)
        if not _has_evidence(self.scene, model):
            self._end_by_least_squares(model, options)
            return model, [], median_shift(centres, camera_centres(model))
        richer = richer_cameras(model, last, self.refine, fixed_cameras=self.fixed_cameras)
        started, done = richer.started(model), None
        if richer.supported:
            options, last = self._settled(started, options)
            centres = camera_centres(started)
        last = with_fitting_loss(last, started, self.refine.loss_function)
        if richer.changed or is_robust(last):
            began = time.monotonic()
            done = adjusted_with(started, richer, last)
            note_adjustment(started, "robust" if options.patient else "final", began, self.journal)
        tried = richer.tried(done or model, failed=done is None)
        if done is None:
            self._end_by_least_squares(model, options)
        return done or model, tried, median_shift(centres, camera_centres(done or model))

    def _settled(
        self, model: pycolmap.Reconstruction, options: MapperOptions
    ) -> tuple[MapperOptions, pycolmap.BundleAdjustmentOptions]:
        """Choose the observations of a model; the options from now on, and those of its last adjustment."""
        with open_session(self.scene, options, model) as session:
            for name in sorted(session.registered):  # with the pairs that waited until there was a model
                session.mapper.triangulate_image(options.triangulation, self.scene.id_of[name])
            before = session.registered
            settle(session, "settled", self.journal)
            if options.patient:
                adjust_to_the_end(session, "final", self.journal)
            session = _with_freed_focal(session, self.journal)
            drop_blind(session, self.journal)
            _regain(session, before - session.registered, self.journal)
            return session.options, with_held_focal(session, session.options.final_ba)

    def _end_by_least_squares(self, model: pycolmap.Reconstruction, options: MapperOptions) -> None:
        if not options.patient:  # else it is where least squares end
            with open_session(self.scene, options, model) as session:
                adjust_to_the_end(session, "final", self.journal)


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


def _regain(session: MapperSession, lost: Set[str], journal: Journal) -> None:
    """Register photos again whose observations the adjustment dropped: they had been in the wrong place."""
    if not lost:
        return
    grow(session, session.registered | lost, journal, on_registered=lambda name: None)
    if session.registered & lost:
        settle(session, "regained", journal)
        drop_blind(session, journal)


def _has_evidence(scene: Scene, model: pycolmap.Reconstruction) -> bool:
    """Whether the observations of a model could tell of principal points."""
    return scene.depth is None or model.compute_mean_track_length() >= _MIN_TRACK_LENGTH
