"""Camera models with more parameters where observations clearly ask for them, in the last adjustment."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
import pyceres
import pycolmap

from sfm.config.schema import RefineConfig

from ..measures.residuals import noise_px, residual_lengths
from ..scene.adjusted_photos import all_photos
from ..scene.camera_models import PRINCIPAL_POINT, as_model, freedom, ladder_of
from .evidence import MIN_IMAGES
from .linearized_observations import NO_SECOND
from .model_selection import FAR, ModelSelection, TriedBlock, select_model
from .plausible import one_to_one, plausible
from .priors import add_prior
from .shared_lens import Lenses, crops_of_one_lens, shared_lenses, tie, tied_cameras

_TOLERANCE, _ITERATIONS = 1e-5, 100
"""Of the cost function. Flat scenes need dozens of steps: distortion and depths change together."""
_FREED_ANYWAY = "freed without asking the observations"
_FAILED = "the adjustment failed"
_ELSEWHERE = "went elsewhere than predicted"


@dataclass(frozen=True, slots=True, eq=False)
class RicherCameras:
    """Model selection for the intrinsics of the cameras of a model."""

    selections: Mapping[int, ModelSelection]
    """By camera id, of those that were asked about."""
    num_images: Mapping[int, int]
    """Registered images by camera id."""
    fixed: Set[int]
    anyway: Set[int]
    """Cameras whose principal point is freed without asking the observations."""
    sigma_px: float
    """Standard deviation of the observations, px."""
    lenses: Lenses = ()
    """Cameras that have one lens, of which all images together support richer intrinsics."""
    cropped: Set[int] = frozenset()
    """Cameras of cropped images, whose principal points may lie anywhere."""

    @property
    def supported(self) -> Set[int]:
        """Ids of cameras of which observations support richer intrinsics than they have."""
        return {camera_id for camera_id, found in self.selections.items() if found.is_richer}

    @property
    def changed(self) -> Set[int]:
        """Ids of cameras with more free intrinsics than they had."""
        return self.anyway | self.supported

    @property
    def is_far(self) -> bool:
        """Whether parameters went where no lens has them, far from where they were judged."""
        steps = [(found.step, found.freedom.prior) for found in self.selections.values()]
        return any(bool(np.any(np.abs(step) > FAR * prior)) for step, prior in steps)

    @property
    def shifted(self) -> Set[int]:
        """Ids of cameras whose principal point is free."""
        off_centre = {i for i, found in self.selections.items() if PRINCIPAL_POINT in found.accepted}
        return self.anyway | off_centre

    def beside(self, model: pycolmap.Reconstruction) -> list[TriedBlock]:
        """Principal points without clear evidence that went elsewhere than predicted, once adjusted."""
        return [
            replace(one, accepted=False, why=_ELSEWHERE)
            for camera_id, found in self.selections.items()
            if model.exists_camera(camera_id) and found.is_beside(model.camera(camera_id))
            for one in found.reached(model.camera(camera_id))
            if one.block == PRINCIPAL_POINT
        ]

    def started(self, model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
        """A copy of the model with the cameras that the selections predict."""
        started = copy.deepcopy(model)
        for camera_id in sorted(self.supported):
            found = self.selections[camera_id]
            camera, predicted = started.camera(camera_id), found.camera
            ladder = ladder_of(camera.model_name)
            richer = [name for name in ladder if name in found.accepted]
            if ladder:
                predicted = as_model(predicted, richer[-1] if richer else camera.model_name)
            camera.model, camera.params = predicted.model, predicted.params.tolist()
        return started

    def tried(self, model: pycolmap.Reconstruction, *, failed: bool = False) -> list[TriedBlock]:
        """All that was tried, with the shifts of the model's cameras where they changed.

        Where the adjustment `failed`, nothing was accepted.
        """
        asked = [
            one
            for camera_id, found in self.selections.items()
            if model.exists_camera(camera_id)
            for one in found.reached(model.camera(camera_id))
        ]
        if failed:
            return [replace(one, accepted=False, why=_FAILED) if one.accepted else one for one in asked]
        return asked + [_freed_anyway(i, self.num_images[i]) for i in sorted(self.anyway)]


NOTHING_RICHER = RicherCameras({}, {}, frozenset(), frozenset(), 0.0)
"""No camera with more free intrinsics than it had."""


def without_principal_point(refine: RefineConfig) -> RefineConfig:
    """What may change where principal points are to stay."""
    return replace(refine, principal_point="never")


def as_rich_as_now(refine: RefineConfig) -> RefineConfig:
    """What may change where cameras are to keep their models and principal points."""
    return replace(without_principal_point(refine), max_camera_model="SIMPLE_RADIAL")


def richer_cameras(
    model: pycolmap.Reconstruction,
    options: pycolmap.BundleAdjustmentOptions,
    refine: RefineConfig,
    *,
    fixed_cameras: Set[int],
    cropped_cameras: Set[int] = frozenset(),
    first_of_second: Mapping[int, int] = NO_SECOND,
    lenses: Lenses = (),
) -> RicherCameras:
    """Ask the observations of a model which further intrinsics they support.

    Args:
        model: globally adjusted, without outliers.
        options: of the global adjustment.
        refine: what may be freed.
        fixed_cameras: cameras whose intrinsics never change.
        cropped_cameras: cameras of cropped images, whose principal points are free and nothing else is asked.
        first_of_second: as `Scene.first_of_second`.
        lenses: cameras that are known to have one lens.
    """
    num_images = Counter(model.image(image_id).camera_id for image_id in model.reg_image_ids())
    could = {
        camera_id: freedom(
            model.camera(camera_id),
            options,
            richest="OPENCV" if refine.max_camera_model == "auto" else refine.max_camera_model,
            principal_point=refine.principal_point == "evidence",
        )
        for camera_id in sorted(num_images)
        if camera_id not in fixed_cameras | cropped_cameras and model.camera(camera_id).focal_length_idxs()
    }
    alone = {
        camera_id: select_model(model, {camera_id: own}, first_of_second)
        for camera_id, own in could.items()
        if num_images[camera_id] >= MIN_IMAGES and camera_id not in tied_cameras(lenses)
    }
    lenses, selections = shared_lenses(model, could, alone, num_images, first_of_second, known=lenses)
    anyway = set(num_images) if refine.principal_point == "always" else cropped_cameras & set(num_images)
    sigma_px = noise_px(residual_lengths(model))
    return RicherCameras(
        selections, num_images, fixed_cameras, anyway - fixed_cameras, sigma_px, lenses, cropped_cameras
    )


def adjusted_with(
    model: pycolmap.Reconstruction, richer: RicherCameras, options: pycolmap.BundleAdjustmentOptions
) -> pycolmap.Reconstruction | None:
    """A copy of a model that `richer.started`, adjusted to its end; None where that fails.

    Intrinsics have the priors of real lenses: what observations leave open stays where lenses are.
    """
    model = copy.deepcopy(model)
    # A camera may have lost all images.
    free = (set(richer.num_images) & set(model.cameras)) - richer.fixed
    config = all_photos(model, constant_cameras=set(model.cameras) - free, has_priors=True)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    freed = copy.deepcopy(options)
    freed.refine_principal_point = bool(richer.shifted & free)
    solver = freed.ceres.solver_options
    solver.gradient_tolerance, solver.function_tolerance = 1e-4, _TOLERANCE
    solver.max_num_iterations = _ITERATIONS
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(freed, config, model)
    problem = adjuster.problem  # keeps the priors alive
    lens_of = {view.camera_id: views for views in richer.lenses for view in views}
    for camera_id in sorted(free):
        # The prior of a lens counts once, and observations as if those that err alike were fewer.
        num = len(lens_of.get(camera_id, (camera_id,)))
        found = richer.selections.get(camera_id)
        add_prior(
            problem,
            model.camera(camera_id),
            freed,
            sigma_px=richer.sigma_px / math.sqrt(num),
            design_effects=found.design_effects if found else {},
            principal_point=camera_id in richer.shifted,
            is_cropped=camera_id in richer.cropped,
        )
    for views in (*richer.lenses, *crops_of_one_lens(model, sorted(richer.cropped & free))):
        for view in views[1:]:
            if {views[0].camera_id, view.camera_id} <= free:
                tie(problem, model.camera(views[0].camera_id), model.camera(view.camera_id), view)
    # Unlike COLMAP's adjuster, this lets other threads evaluate the ties, which are Python's.
    summary = pyceres.SolverSummary()
    pyceres.solve(freed.ceres.create_solver_options(config, problem), problem, summary)
    if not summary.IsSolutionUsable() or not all(plausible(model.camera(i)) for i in free):
        return None
    if not all(one_to_one(model.camera(i)) for i in richer.changed & free):
        return None
    model.update_point_3d_errors()
    return model


def _freed_anyway(camera_id: int, num_images: int) -> TriedBlock:
    return TriedBlock(camera_id, num_images, PRINCIPAL_POINT, {}, {}, 0.0, None, True, _FREED_ANYWAY)
