"""A model of unknown focal lengths, or the same with the opposite motion, whichever is likelier.

A camera that turns about a point near itself shows nearly the same with another focal length and the opposite
motion, and adjustments end in either. So a model is adjusted once more from its reversal.
"""

from __future__ import annotations

import copy
from collections.abc import Set

import numpy as np
import pycolmap
from numpy.typing import NDArray

from ..cameras.plausible import plausible
from ..measures.observations import PointTable, seen_by
from ..measures.residuals import redundancy, residual_lengths
from ..measures.shifts import camera_centres
from ..scene.bearings import bearing_vectors
from ..scene.camera_models import with_focal_length
from ..scene.journal import Journal
from ..scene.linear_solver import with_linear_solver
from ..scene.session import open_session
from .bundle_adjustment import refine_growing
from .submodels import MappingContext, Submodel, copied, settled
from .trials import best_model


def best_of_motions(
    context: MappingContext, candidates: Set[str], journal: Journal, *, max_trials: int | None = None
) -> Submodel | None:
    """`best_model`, or the same with the opposite motion of its cameras, if that is likelier.

    It is adjusted to the end where a focal length is unknown.
    """
    found = best_model(context, candidates, journal, max_trials=max_trials)
    if found is None or found.is_depth_only or context.unknown_focal.isdisjoint(found.reconstruction.cameras):
        return found
    found = settled(context, found)
    start = reversed_motion(context, found.reconstruction)
    if start is None:
        return found
    other = copied(found)
    other.reconstruction = start
    with open_session(context.scene, context.options, start) as session:
        robust = copy.deepcopy(with_linear_solver(start, context.options.global_ba))
        robust.ceres.loss_function_type = pycolmap.LossFunctionType.SOFT_L1
        # Filters would drop most points now.
        session.mapper.adjust_global_bundle(context.options.mapper, robust)
        refine_growing(session, "reversed", other.journal)
        session.triangulate_all()
        if len(session.registered) < 2:
            return found
    other = settled(context, other)
    before, after = (_log_likelihood(one.reconstruction) for one in (found, other))
    journal.note("reversed_motion", gain=round(after - before), kept=after > before)
    return other if after > before else found


def reversed_motion(
    context: MappingContext, model: pycolmap.Reconstruction
) -> pycolmap.Reconstruction | None:
    """A copy with the opposite motion, and unknown focal lengths with which that shows nearly the same.

    Centres that turn with radius r before points at depth d move the image as a focal length of 1 + r / d
    times theirs would without: the reversal has the one that makes up for -r. Points are where their rays are
    nearest; those behind a camera are left out.

    Returns:
        None where no camera turns, and where no real lens has such a focal length.
    """
    images = [model.image(image_id) for image_id in sorted(model.reg_image_ids())]
    if not images:
        return None
    centres = np.array(list(camera_centres(model).values()))
    axes = np.array([image.cam_from_world().rotation.matrix()[2] for image in images])
    table = PointTable.of(model)
    seen = [seen_by(image) for image in images]
    depths = [
        (table.xyz_of(ids) - centre) @ axis
        for (ids, _), centre, axis in zip(seen, centres, axes, strict=True)
    ]
    turned = axes - axes.mean(axis=0)
    along = float(np.sum((centres - centres.mean(axis=0)) * turned))
    depth = float(np.median(np.concatenate(depths))) * float(np.sum(turned**2))
    if not abs(along) < depth:
        return None
    ratio = along / depth
    start = copy.deepcopy(model)
    for camera_id in sorted(context.unknown_focal & set(model.cameras)):
        focal_px = model.camera(camera_id).mean_focal_length() * (1 + ratio) / (1 - ratio)
        camera = with_focal_length(context.scene.cache.camera(camera_id), focal_px)
        if not plausible(camera):
            return None
        start.camera(camera_id).params = camera.params.tolist()
    _move(start, 2 * centres.mean(axis=0) - centres, table)
    return start


def _move(model: pycolmap.Reconstruction, centres: NDArray[np.float64], table: PointTable) -> None:
    """Set the centres of all registered images, by their ids, and the points to where rays are nearest."""
    normal, towards = np.zeros((len(table.ids), 3, 3)), np.zeros((len(table.ids), 3))
    images = [model.image(image_id) for image_id in sorted(model.reg_image_ids())]
    seen = []
    for image, centre in zip(images, centres, strict=True):
        rotation = image.cam_from_world().rotation
        pose = pycolmap.Rigid3d(rotation, -rotation.matrix() @ centre)
        model.frame(image.frame_id).set_cam_from_world(image.camera_id, pose)
        ids, xy = seen_by(image)
        rays = bearing_vectors(xy, model.camera(image.camera_id)) @ rotation.matrix()
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
        rows = np.searchsorted(table.ids, ids)
        np.add.at(normal, rows, across)
        np.add.at(towards, rows, across @ centre)
        seen.append((rows, rotation.matrix()[2], centre))
    xyz = (np.linalg.pinv(normal) @ towards[:, :, None])[:, :, 0]
    behind = np.zeros(len(xyz), bool)
    for rows, axis, centre in seen:
        behind[rows[(xyz[rows] - centre) @ axis <= 0]] = True
    for point_id, place, is_behind in zip(table.ids.tolist(), xyz, behind, strict=True):
        if is_behind:
            model.delete_point3D(point_id)
        else:
            model.point3D(point_id).xyz = place


def _log_likelihood(model: pycolmap.Reconstruction) -> float:
    """Of the observations by which points are known better than exactly, beside keypoints that lie anywhere.

    Residuals are normal, with the variance that they have.
    """
    lengths = residual_lengths(model)
    tracks = np.array([point.track.length() for point in model.points3D.values()])
    redundant = float(tracks @ redundancy(tracks))
    if not len(lengths) or redundant <= 0:
        return 0.0
    cameras = [model.camera(model.image(image_id).camera_id) for image_id in model.reg_image_ids()]
    log_area = np.mean([np.log(camera.width * camera.height) for camera in cameras])
    variance = max(float(np.mean(lengths**2)) / 2, np.finfo(float).eps)
    return float(redundant * (log_area - np.log(2 * np.pi * variance) - 1))
