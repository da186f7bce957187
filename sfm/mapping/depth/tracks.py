"""Points of a model that the depth of its images gives, where no parallax could."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyceres  # makes `problem` of COLMAP's adjusters known, too
import pycolmap
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..cameras.focal_priors import with_held_intrinsics
from ..cameras.priors import add_prior
from ..scene.adjusted_photos import all_photos
from ..scene.bearings import bearing_vectors
from ..scene.session import MapperSession

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

DEPTH_SPREAD = 0.05
"""Relative standard deviation of depth that nothing can be compared with."""
_NUM_ROUNDS = 3
_TYPICAL = 2.0
"""Times the median error of matches is left in, where that is more than the filter's limit."""


@dataclass(frozen=True, slots=True)
class LiftedView:
    """The keypoints of one registered image with their depth in the model."""

    image_id: int
    xy: Array
    """(N, 2), px."""
    rays: Array
    """(N, 3), camera frame, third coordinate 1."""
    depth: Array
    """(N,); NaN where unknown."""
    sigma: Array
    """(N,), relative standard deviation of the depth; NaN where unknown."""

    @property
    def in_cam(self) -> Array:
        """Lifted keypoints in the camera frame, (N, 3); NaN where unknown."""
        return np.asarray(self.rays * self.depth[:, None])


def add_points(session: MapperSession, views: Sequence[LiftedView], *, are_coarse: bool = False) -> None:
    """Give the model the tracks of its images' verified matches, each at the mean of its lifted keypoints.

    Points that the model had are replaced. Matches and observations with a larger reprojection error than the
    filter allows are left out.

    Args:
        session: at work on a model in which all `views` are registered.
        views: all or some of the registered images.
        are_coarse: whether poses still have to be adjusted: errors like those of most matches are allowed.
    """
    rec, max_error = session.reconstruction, session.options.mapper.filter_max_reproj_error
    for point_id in list(rec.point3D_ids()):
        session.observations.delete_point3D(point_id)
    image = np.repeat(np.arange(len(views)), [len(view.depth) for view in views])
    number = np.concatenate([np.arange(len(view.depth)) for view in views])
    ends, errors = _matches(session, views)
    if are_coarse and (known := np.isfinite(errors)).any():
        max_error = max(max_error, _TYPICAL * float(np.median(errors[known])))
    label = _labels(ends[errors <= max_error], len(image))
    members = _one_per_image(label, image)
    world = [rec.image(view.image_id).cam_from_world().inverse() * view.in_cam for view in views]
    xyz = _means(np.concatenate(world), np.concatenate([view.sigma for view in views]), label)
    near = np.concatenate(
        [_distances(rec, view, xyz[label[image == i]]) <= max_error for i, view in enumerate(views)]
    )
    kept = members[near[members]]
    kept = kept[np.argsort(label[kept], kind="stable")]
    for _, group in itertools.groupby(kept.tolist(), key=lambda node: label[node]):
        if len(track := list(group)) > 1:
            elements = [pycolmap.TrackElement(views[image[n]].image_id, int(number[n])) for n in track]
            session.observations.add_point3D(xyz[label[track[0]]], pycolmap.Track(elements))


def settle_on_depth(
    session: MapperSession, views: Sequence[LiftedView], *, constant: int | None
) -> Sequence[LiftedView]:
    """Give a model points from depth, after rounds in which poses and intrinsics are adjusted to such points.

    A turn through many images determines the focal length without parallax: they have to close the circle.

    Args:
        session: at work on a model in which all `views` are registered.
        views: all or some of the registered images.
        constant: id of the image whose pose stays; None leaves all poses and intrinsics as they are.

    Returns:
        The views by the intrinsics that the model then has.
    """
    if constant is not None:
        for _ in range(_NUM_ROUNDS):
            add_points(session, views, are_coarse=True)
            _adjust(session, constant=constant)
            views = [_with_rays(session.reconstruction, view) for view in views]
    add_points(session, views)
    session.reconstruction.update_point_3d_errors()
    return views


def _with_rays(model: pycolmap.Reconstruction, view: LiftedView) -> LiftedView:
    """By the present intrinsics."""
    camera = model.camera(model.image(view.image_id).camera_id)
    return replace(view, rays=bearing_vectors(view.xy, camera))


def _adjust(session: MapperSession, *, constant: int) -> None:
    """Adjust all poses but that of image `constant`, intrinsics, and points near their depth.

    Points may move with the poses, but a prior holds their distance from these. Intrinsics have those of real
    lenses, and are held where they are given and not determined better.
    """
    model, cameras = session.reconstruction, session.options.mapper.constant_cameras
    config = all_photos(model, constant_cameras=cameras, has_priors=True)
    config.set_constant_rig_from_world_pose(model.image(constant).frame_id)
    options = with_held_intrinsics(session, session.options.global_ba)
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, model)
    problem = adjuster.problem  # keeps the priors alive
    for camera_id in sorted(set(model.cameras) - cameras):
        add_prior(problem, model.camera(camera_id), options, sigma_px=1.0, principal_point=False)
    centre = np.mean([model.image(i).projection_center() for i in model.reg_image_ids()], axis=0)
    for point in model.points3D.values():
        xyz = point.xyz  # residuals of observations are px, and their noise is about one
        if problem.has_parameter_block(xyz):
            ray = xyz - centre
            along = np.outer(ray, ray)
            across = (float(ray @ ray) + 1e-18) * np.eye(3) - along
            prior = pyceres.factors.NormalPrior(xyz.copy(), DEPTH_SPREAD**2 * along + across)
            problem.add_residual_block(prior, None, [xyz])
    adjuster.solve()
    model.update_point_3d_errors()


def _matches(session: MapperSession, views: Sequence[LiftedView]) -> tuple[Indices, Array]:
    """Verified matches of keypoints, numbered through all views, (M, 2), and their errors, px, (M,)."""
    graph, rec = session.scene.cache.correspondence_graph, session.reconstruction
    starts = np.cumsum([0] + [len(view.depth) for view in views])
    ends, errors = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for (i, a), (j, b) in itertools.combinations(enumerate(views), 2):
        matches = graph.extract_matches_between_images(a.image_id, b.image_id).astype(np.int64)
        if len(matches):
            one = _transfer_errors(rec, a, b, matches)
            other = _transfer_errors(rec, b, a, matches[:, ::-1])
            ends.append(matches + starts[[i, j]])
            errors.append(np.fmin(one, other))  # either may have no depth
    return np.concatenate(ends), np.concatenate(errors)


def _labels(ends: Indices, size: int) -> Indices:
    """Number of the track of each keypoint, (size,), which matches join."""
    first, second = ends.T
    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(size, size))
    _, label = connected_components(links, directed=False)
    return np.asarray(label, np.int64)


def _transfer_errors(
    rec: pycolmap.Reconstruction, source: LiftedView, target: LiftedView, matches: Indices
) -> Array:
    """From lifted keypoints of `source`, seen by `target`, to their matches there, px, (M,)."""
    world = rec.image(source.image_id).cam_from_world().inverse() * source.in_cam[matches[:, 0]]
    return _distances(rec, target, world, matches[:, 1])


def _distances(
    rec: pycolmap.Reconstruction, view: LiftedView, xyz: Array, numbers: Indices | None = None
) -> Array:
    """Between keypoints (all, or those with `numbers`) and projections of points, px, (M,); inf behind."""
    image = rec.image(view.image_id)
    in_cam = image.cam_from_world() * xyz
    in_front = in_cam[:, 2] > 1e-9  # False for NaN
    xy = view.xy if numbers is None else view.xy[numbers]
    camera = rec.camera(image.camera_id)
    projected = np.asarray(camera.img_from_cam(np.where(in_front[:, None], in_cam, (0.0, 0.0, 1.0))))
    return np.where(in_front, np.linalg.norm(projected - xy, axis=1), np.inf)


def _one_per_image(label: Indices, photo: Indices) -> Indices:
    """Keypoints of tracks, the first of each image in each track."""
    size = np.bincount(label)
    _, first = np.unique(np.column_stack((label, photo)), axis=0, return_index=True)
    return np.sort(first[size[label[first]] > 1])


def _means(xyz: Array, sigma: Array, label: Indices) -> Array:
    """Mean of the lifted keypoints of each track, weighted by certainty, (L, 3); NaN where none is known."""
    weight = np.where(np.isfinite(sigma), sigma, np.inf) ** -2.0
    total = np.bincount(label, weight)
    sums = [np.bincount(label, weight * np.nan_to_num(column)) for column in xyz.T]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.column_stack(sums) / total[:, None])
