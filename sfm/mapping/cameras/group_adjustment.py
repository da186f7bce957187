"""Adjustments of a part of a model in which groups of images have cameras of their own.

They show what images say of their intrinsics, and are thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Literal, TypeVar

import numpy as np
import pyceres
import pycolmap
from numpy.typing import NDArray

from ..measures.residuals import noise_px, residual_lengths
from ..scene.camera_models import as_model, with_focal_length
from ..scene.linear_solver import with_linear_solver
from .priors import add_prior

MAX_ERROR_PX = 12.0
"""Errors are cut there, so that outliers do not rule their mean."""
MAX_ERROR_RATIO = 0.8
"""Of the error with shared intrinsics, for other ones to explain images clearly better."""
MIN_IMAGES = 3
"""A model of fewer determines no intrinsics of single images."""
_OBSERVATIONS = 150
"""Of each image, of the points that most images see; more only cost time. Where the typical image has fewer,
intrinsics of single images explain noise."""
_MIN_TRACK = 3
"""Points of two images fit nearly any focal length."""
_ITERATIONS = 50
_TOLERANCE = 1e-7
"""Change of the cost, relative, below which iterations end. COLMAP ends with none."""

K = TypeVar("K")
T = TypeVar("T")
Group = tuple[int, ...]
"""Ids of images that share a camera, ascending."""
Errors = Mapping[int, NDArray[np.float64]]
"""Reprojection errors (n,), px, by image id."""
PrincipalPoints = Literal["kept", "centred", "free"]
"""Of the cameras of groups: as the model has them, in the middle of the image, or found by the adjustment."""


def groups_by(ids: Iterable[T], key: Callable[[T], K]) -> dict[K, tuple[T, ...]]:
    """Images, or cameras, of one key, in their order."""
    groups: dict[K, list[T]] = {}
    for one in ids:
        groups.setdefault(key(one), []).append(one)
    return {each: tuple(group) for each, group in groups.items()}


def is_firm(model: pycolmap.Reconstruction) -> bool:
    """Whether a model has the images and observations that determine intrinsics of each image."""
    some = tuple(model.reg_image_ids())
    return are_observed(some, num_observations(model, firm_points(model)))


def are_observed(group: Group, num_observations: Mapping[int, int]) -> bool:
    """Whether images are enough, and have the observations, to determine intrinsics of each."""
    return len(group) >= MIN_IMAGES and is_observed(group, num_observations)


def num_observations(
    model: pycolmap.Reconstruction, points: Iterable[int], images: Iterable[int] | None = None
) -> dict[int, int]:
    """How many of these points each of some images observes; None: each registered one."""
    count = dict.fromkeys(model.reg_image_ids() if images is None else images, 0)
    for point_id in points:
        for element in model.point3D(point_id).track.elements:
            if element.image_id in count:
                count[element.image_id] += 1
    return count


def is_observed(group: Group, num_observations: Mapping[int, int]) -> bool:
    """Whether the typical image of a group has the observations that determine its intrinsics."""
    return float(np.median([num_observations[i] for i in group])) >= _OBSERVATIONS


def focal_lengths(model: pycolmap.Reconstruction, images: Iterable[int]) -> dict[int, float]:
    """Of some images, px."""
    return {i: model.camera(model.image(i).camera_id).mean_focal_length() for i in images}


def median_of(own: Mapping[int, float], group: Group) -> float:
    """Of the values of a group's images."""
    return float(np.median([own[i] for i in group]))


def firm_points(model: pycolmap.Reconstruction, images: Iterable[int] | None = None) -> list[int]:
    """Ids of points that many of some images see, a bounded number of each; None: of all registered ones."""
    chosen_images = sorted(model.reg_image_ids() if images is None else images)
    tracks: dict[int, list[int]] = {}
    for image_id in chosen_images:
        for point in model.image(image_id).get_observation_points2D():
            seen_by = tracks.setdefault(point.point3D_id, [])
            if not seen_by or seen_by[-1] != image_id:
                seen_by.append(image_id)
    count = dict.fromkeys(chosen_images, 0)
    chosen = []
    for point_id in sorted(tracks, key=lambda point_id: (-len(tracks[point_id]), point_id)):
        if len(tracks[point_id]) < _MIN_TRACK:
            break
        if any(count[i] < _OBSERVATIONS for i in tracks[point_id]):
            chosen.append(point_id)
            for i in tracks[point_id]:
                count[i] += 1
    return chosen


def adjusted(
    model: pycolmap.Reconstruction,
    points: Sequence[int],
    groups: Sequence[Group],
    focal_px: Mapping[int, float],
    principal_points: PrincipalPoints = "kept",
    images: Iterable[int] | None = None,
    *,
    sigma_focal: float | None = None,
    camera_model: str | None = None,
) -> pycolmap.Reconstruction:
    """A copy of a model with some of its points and a camera for each group, adjusted.

    Args:
        model: left unchanged.
        points: ids of its points that the copy has.
        groups: their focal lengths start at the median of `focal_px` of their images; cameras of other images
            are held.
        focal_px: by image id.
        principal_points: of the cameras of groups. Free ones have a wide prior about the middle of the image.
        images: that the copy has; None: all registered ones.
        sigma_focal: standard deviation of focal lengths from `focal_px`, relative; None: they are free. Only
            where principal points are free.
        camera_model: of the cameras of groups, with focal lengths and first distortion free; None: theirs.
    """
    copy = pycolmap.Reconstruction()
    config = pycolmap.BundleAdjustmentConfig()
    camera_of: dict[int, int] = {}
    for camera_id, group in enumerate(groups, start=1 + max(model.cameras)):
        shared = model.camera(model.image(group[0]).camera_id)
        camera = with_focal_length(shared, median_of(focal_px, group))
        camera.camera_id = camera_id
        if camera_model:
            camera = _of_model(camera, camera_model)
        if principal_points == "centred":
            camera.principal_point_x, camera.principal_point_y = camera.width / 2, camera.height / 2
        copy.add_camera_with_trivial_rig(camera)
        camera_of.update(dict.fromkeys(group, camera_id))
    within = frozenset(model.reg_image_ids() if images is None else images)
    for image_id in sorted(within):
        image = model.image(image_id)
        if image_id not in camera_of and image.camera_id not in copy.cameras:
            copy.add_camera_with_trivial_rig(pycolmap.Camera(model.camera(image.camera_id).todict()))
            config.set_constant_cam_intrinsics(image.camera_id)
        camera_id = camera_of.get(image_id, image.camera_id)
        added = pycolmap.Image(name=image.name, camera_id=camera_id, image_id=image_id)
        added.points2D = image.points2D
        for index in added.get_observation_point2D_idxs():
            added.reset_point3D_for_point2D(index)
        copy.add_image_with_trivial_frame(added, image.cam_from_world())
        config.add_image(image_id)
    for point_id in points:
        point = model.point3D(point_id)
        seen = [element for element in point.track.elements if element.image_id in within]
        copy.add_point3D_with_id(point_id, pycolmap.Point3D(xyz=point.xyz, track=pycolmap.Track(seen)))
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    sigma_px = noise_px(residual_lengths(model)) if principal_points == "free" else None
    is_simple = camera_model is not None
    _adjust(copy, config, frozenset(camera_of.values()), sigma_px, sigma_focal, is_simple=is_simple)
    return copy


def _of_model(camera: pycolmap.Camera, model: str) -> pycolmap.Camera:
    """With its mean focal length, its principal point and its first distortion."""
    first, *_ = [*(camera.params[i] for i in camera.extra_params_idxs()), 0.0]
    plain = pycolmap.Camera(
        camera_id=camera.camera_id,
        model="SIMPLE_RADIAL",
        width=camera.width,
        height=camera.height,
        params=[camera.mean_focal_length(), camera.principal_point_x, camera.principal_point_y, first],
    )
    return as_model(plain, model)


def _adjust(
    model: pycolmap.Reconstruction,
    config: pycolmap.BundleAdjustmentConfig,
    camera_ids: Set[int],
    sigma_px: float | None,
    sigma_focal: float | None,
    *,
    is_simple: bool,
) -> None:
    """Adjust a model in place.

    Args:
        model: to adjust.
        config: what takes part.
        camera_ids: of the cameras whose principal points get a wide prior where these are free.
        sigma_px: noise of observations, for the priors; None: principal points are held.
        sigma_focal: relative standard deviation of their focal lengths; None: they are free.
        is_simple: whether distortion beyond the first parameter is held, too.
    """
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_principal_point, options.print_summary = sigma_px is not None, False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.SOFT_L1
    options.ceres.solver_options.max_num_iterations = _ITERATIONS
    options.ceres.solver_options.function_tolerance = _TOLERANCE
    options = with_linear_solver(model, options)
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, model)
    problem = adjuster.problem  # keeps the priors alive
    for camera in (model.camera(camera_id) for camera_id in sorted(camera_ids) if is_simple):
        held = sorted([*camera.principal_point_idxs(), *camera.extra_params_idxs()[1:]])
        if problem.has_parameter_block(camera.params):
            problem.set_manifold(camera.params, pyceres.SubsetManifold(len(camera.params), held))
    if sigma_px is not None:
        for camera_id in sorted(camera_ids):
            camera = model.camera(camera_id)
            add_prior(
                problem,
                camera,
                options,
                sigma_px=sigma_px,
                principal_point=True,
                is_cropped=True,
                sigma_focal=sigma_focal,
            )
    pyceres.solve(options.ceres.create_solver_options(config, problem), problem, pyceres.SolverSummary())


def errors_of(model: pycolmap.Reconstruction) -> Errors:
    """Of all registered images, cut at `MAX_ERROR_PX`."""
    errors = {}
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        seen = image.get_observation_points2D()
        xyz = np.array([model.point3D(point.point3D_id).xyz for point in seen]).reshape(-1, 3)
        where = model.camera(image.camera_id).img_from_cam(image.cam_from_world() * xyz)
        distance = np.linalg.norm(where - np.array([point.xy for point in seen]).reshape(-1, 2), axis=1)
        # Points behind the camera have no error.
        errors[image_id] = np.fmin(distance, MAX_ERROR_PX)
    return errors


def mean_of(errors: Errors, group: Group) -> float:
    """Mean error of the observations of a group's images."""
    every = np.concatenate([errors[i] for i in group])
    return float(np.mean(every)) if len(every) else MAX_ERROR_PX
