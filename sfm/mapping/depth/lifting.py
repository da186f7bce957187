"""The pose of an image from points that the depth of its registered neighbours lifts into the model.

An image without a three-view track in a model sees none of its points. Its matches to registered images
fix its pose up to the length of the translation; the depth of those images, brought to the scale of the
model, gives the length (MP-SfM, Pataki et al. 2025, §3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from ..scene.bearings import bearing_vectors
from ..scene.session import MapperSession
from .fit import DepthFit
from .uncertain_pose import UncertainPoints, refine_pose

_MAX_NEIGHBOURS = 8  # registered images whose points are used, those with most inliers

Array = NDArray[np.float64]
FitOf = Callable[[str], DepthFit | None]


@dataclass(frozen=True, slots=True)
class LiftedPose:
    """A pose, and how many of the points that it was found with agree with it."""

    cam_from_world: pycolmap.Rigid3d
    num_points: int
    num_inliers: int


def lifted_pose(session: MapperSession, name: str, fit_of: FitOf) -> LiftedPose | None:
    """The pose of an unregistered image, from triangulated and lifted points of its registered neighbours.

    Args:
        session: the mapper at work; left unchanged.
        name: image without a pose.
        fit_of: how the depth of a registered image relates to the model; None where it can't be used.

    Returns:
        None when depth lifts nothing that the image sees, or fewer points than PnP asks for agree on a pose.
    """
    points, options = _collect(session, name, fit_of), session.options.mapper
    if not points.lifted.any() or len(points) < options.abs_pose_min_num_inliers:
        return None
    image = session.reconstruction.image(session.scene.id_of[name])
    camera = session.reconstruction.camera(image.camera_id)
    estimation = pycolmap.AbsolutePoseEstimationOptions()
    estimation.ransac.max_error = options.abs_pose_max_error
    estimation.ransac.random_seed = max(options.random_seed, 0)
    found = pycolmap.estimate_and_refine_absolute_pose(points.xy, points.xyz, camera, estimation)
    if found is None:
        return None
    sigma_px = options.filter_max_reproj_error / 2
    pose, agrees = refine_pose(points, camera, found["cam_from_world"], sigma_px=sigma_px)
    num_inliers = int(np.count_nonzero(agrees))
    if num_inliers < max(options.abs_pose_min_num_inliers, options.abs_pose_min_inlier_ratio * len(points)):
        return None
    return LiftedPose(pose, len(points), num_inliers)


def _collect(session: MapperSession, name: str, fit_of: FitOf) -> UncertainPoints:
    registered = session.registered
    others = [other for other in session.scene.view_graph.neighbours(name) if other in registered]
    found = [_points_of(session, name, other, fit_of(other)) for other in others[:_MAX_NEIGHBOURS]]
    empty = UncertainPoints(np.zeros((0, 2)), np.zeros((0, 3)), np.zeros((0, 3)))
    parts = [
        np.concatenate([getattr(p, part) for p in (empty, *found)]) for part in UncertainPoints.__slots__
    ]
    return UncertainPoints(*parts)


def _points_of(session: MapperSession, name: str, other: str, fit: DepthFit | None) -> UncertainPoints:
    """Points of one registered image that `name` matches; without a fit triangulated ones only."""
    scene, rec = session.scene, session.reconstruction
    ids = scene.id_of[other], scene.id_of[name]
    image, photo = rec.image(ids[0]), rec.image(ids[1])
    matches = scene.cache.correspondence_graph.extract_matches_between_images(*ids)
    keypoints = [image.points2D[i] for i in matches[:, 0].tolist()]
    rays = bearing_vectors(scene.keypoints(ids[0])[matches[:, 0]], rec.camera(image.camera_id))
    lifted = sigma = np.full(len(matches), np.nan)
    if fit is not None and scene.depth is not None:
        found = scene.depth.at(other, _positions(keypoints))
        if found is not None:
            lifted, sigma = fit.lift(*found)
    world_from_cam = image.cam_from_world().inverse()
    xyz = world_from_cam * (rays * lifted[:, None])
    offset = (rays * (lifted * sigma)[:, None]) @ world_from_cam.rotation.matrix().T
    for row, keypoint in enumerate(keypoints):
        if keypoint.has_point3D():
            xyz[row], offset[row] = rec.point3D(keypoint.point3D_id).xyz, 0.0
    xy = _positions([photo.points2D[i] for i in matches[:, 1].tolist()])
    return UncertainPoints(xy, xyz, offset)[np.isfinite(xyz).all(axis=1)]


def _positions(keypoints: Sequence[pycolmap.Point2D]) -> Array:
    return np.array([keypoint.xy for keypoint in keypoints]).reshape(-1, 2)
