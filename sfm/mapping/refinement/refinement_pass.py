"""One pass of the refinement: choose observations, choose camera models that they support, adjust all."""

from __future__ import annotations

import time
from collections.abc import Set
from dataclasses import dataclass, replace

import pycolmap

from retrieval import Pair
from sfm.config.schema import RefineConfig

from ..cameras.focal_priors import with_held_intrinsics
from ..cameras.loss import is_robust, with_fitting_loss
from ..cameras.model_selection import TriedBlock
from ..cameras.richer_cameras import (
    NOTHING_RICHER,
    RicherCameras,
    adjusted_with,
    as_rich_as_now,
    richer_cameras,
    without_principal_point,
)
from ..cameras.shared_lens import Lenses, tied_cameras
from ..edits.admit_pairs import supported_pairs
from ..edits.judge import Judge
from ..growing.bundle_adjustment import (
    adjust_to_the_end,
    drop_unobserved,
    note_adjustment,
    refine_until_stable,
)
from ..growing.growth import grow
from ..measures.shifts import Centres, camera_centres, median_shift
from ..scene.journal import Journal
from ..scene.linear_solver import with_linear_solver
from ..scene.options import MapperOptions, with_constant_cameras
from ..scene.scene import Scene
from ..scene.session import MapperSession, open_session
from .two_view_tracks import drop_points_of_pairs

_MIN_TRACK_LENGTH = 2.5  # tracks of two photos, one redundant measurement each, pass for evidence too easily


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The result of one pass."""

    model: pycolmap.Reconstruction
    is_richer: bool
    """Whether intrinsics became free that were not."""
    tried: list[TriedBlock]
    """Intrinsics that were tried."""
    shift: float
    """Median shift of the camera centres, as a share of the extent, since camera models became richer."""
    late_shift: float
    """The part of the shift since the observations were last chosen."""
    regained: frozenset[Pair]
    """Deferred pairs that were left out and agree with the present poses for the first time."""
    admitted_pairs: frozenset[Pair]
    """The regained pairs, and the pairs that earlier passes admitted."""
    lenses: Lenses
    """Cameras that have one lens."""
    is_far: bool
    """As `RicherCameras.is_far`."""
    is_beside: bool = False
    """Whether principal points stay where they are, since some went `RicherCameras.beside`."""


@dataclass(frozen=True, slots=True)
class RefinementPass:
    """The input of one pass."""

    judge: Judge
    scene: Scene
    deferred: Set[Pair]
    """Pairs that may be inconsistent: those that contradict the model are left out."""
    options: MapperOptions
    refine: RefineConfig
    fixed_cameras: frozenset[int]
    cropped_cameras: frozenset[int] = frozenset()
    admitted_pairs: frozenset[Pair] = frozenset()
    """Deferred pairs that an earlier pass admitted."""
    lenses: Lenses = ()
    """Cameras that have one lens, as an earlier pass found. COLMAP cannot tie them: they are held here."""

    def adjusted(self, model: pycolmap.Reconstruction, journal: Journal) -> Adjusted:
        """Adjust the model in place until convergence.

        The model is adjusted again where its observations support richer camera models, or where more
        deferred pairs agree with it. A model that richer camera models make worse keeps its present ones.
        """
        centres, refused = camera_centres(model), self._refused(model)
        scene = self.scene.without(refused)
        options = with_constant_cameras(self.options, tied_cameras(self.lenses))
        options, last = self._settled(scene, model, options, journal)
        chosen = camera_centres(model)
        if not _has_evidence(self.scene, model):
            self._end_by_least_squares(scene, model, options, journal)
            return self._outcome(model, NOTHING_RICHER, [], refused, self.admitted_pairs, centres, chosen)
        richer = richer_cameras(
            model,
            last,
            self.refine,
            fixed_cameras=self.fixed_cameras,
            cropped_cameras=self.cropped_cameras,
            first_of_second=self.scene.first_of_second,
            lenses=self.lenses,
        )
        settled = richer.started(model) if richer.supported else model
        if tied := tied_cameras(richer.lenses) - tied_cameras(self.lenses):
            settled = adjusted_with(settled, richer, last) or settled
            options = with_constant_cameras(options, tied)
        before, refused = refused, self._refused(model)
        admitted_pairs = self.admitted_pairs | (before - refused)
        if refused != before:
            scene = self.scene.without(refused)
        if richer.supported or admitted_pairs > self.admitted_pairs:
            options, last = self._settled(scene, settled, options, journal)
        if richer.supported and (why := self.judge.why_worse((model,), (settled,))):
            journal.note("step_refused", step="richer intrinsics", why=why)
            return replace(self, refine=as_rich_as_now(self.refine)).adjusted(model, journal)
        chosen = camera_centres(settled)
        if richer.supported:
            centres = chosen
        last = with_fitting_loss(last, settled, self.refine.loss_function)
        done = None
        if richer.changed or richer.lenses or is_robust(last):
            began = time.monotonic()
            done = adjusted_with(settled, richer, last)
            note_adjustment(settled, "robust" if options.converge_first else "final", began, journal)
        if done is not None and (beside := richer.beside(done)):
            without = replace(self, refine=without_principal_point(self.refine)).adjusted(model, journal)
            return replace(without, tried=[*without.tried, *beside], is_beside=True)
        tried = richer.tried(done or model, failed=done is None)
        if done is None:
            self._end_by_least_squares(scene, model, options, journal)
            richer = NOTHING_RICHER
        return self._outcome(done or model, richer, tried, refused, admitted_pairs, centres, chosen)

    def _outcome(
        self,
        model: pycolmap.Reconstruction,
        richer: RicherCameras,
        tried: list[TriedBlock],
        refused: frozenset[Pair],
        admitted_pairs: frozenset[Pair],
        centres: Centres,
        chosen: Centres,
    ) -> Adjusted:
        regained = refused - self._refused(model) - admitted_pairs
        ended = camera_centres(model)
        shift, late_shift = median_shift(centres, ended), median_shift(chosen, ended)
        return Adjusted(
            model,
            bool(richer.changed),
            tried,
            shift,
            late_shift,
            regained,
            admitted_pairs | regained,
            richer.lenses,
            richer.is_far,
        )

    def _refused(self, model: pycolmap.Reconstruction) -> frozenset[Pair]:
        """Deferred pairs that contradict a model."""
        return supported_pairs(self.scene, (model,), self.deferred)[1]

    def _settled(
        self, scene: Scene, model: pycolmap.Reconstruction, options: MapperOptions, journal: Journal
    ) -> tuple[MapperOptions, pycolmap.BundleAdjustmentOptions]:
        """Choose the observations of a model; returns new options, and those of its last adjustment.

        `scene` is without the deferred pairs that are left out.
        """
        with open_session(scene, options, model) as session:
            session.triangulate_all()  # with the pairs that waited until there was a model
            before = session.registered
            refine_until_stable(session, "settled", journal)
            if options.triangulation.ignore_two_view_tracks:  # those left of longer tracks would still pull
                drop_points_of_pairs(model, session.observations.delete_point3D)
            if options.converge_first:
                adjust_to_the_end(session, "final", journal)
            drop_unobserved(session, journal)
            _regain(session, before - session.registered, journal)
            final = with_linear_solver(model, with_held_intrinsics(session, session.options.final_ba))
            # Until the model is adjusted to other intrinsics, it would seem to determine no focal length.
            return replace(session.options, holds_given=not final.refine_focal_length), final

    def _end_by_least_squares(
        self, scene: Scene, model: pycolmap.Reconstruction, options: MapperOptions, journal: Journal
    ) -> None:
        if not options.converge_first:  # else it is where least squares end
            with open_session(scene, options, model) as session:
                adjust_to_the_end(session, "final", journal)


def _regain(session: MapperSession, lost: Set[str], journal: Journal) -> None:
    """Register images again whose observations the adjustment dropped."""
    if not lost:
        return
    grow(session, session.registered | lost, journal, on_registered=lambda name: None)
    if session.registered & lost:
        refine_until_stable(session, "regained", journal)
        drop_unobserved(session, journal)


def _has_evidence(scene: Scene, model: pycolmap.Reconstruction) -> bool:
    """Whether the observations of a model could determine principal points."""
    return scene.depth is None or model.compute_mean_track_length() >= _MIN_TRACK_LENGTH
