"""Models of images whose poses were found together elsewhere: registered at these, then given points.

Where the poses give no parallax, as after a pure rotation, points come from depth instead of triangulation.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from statistics import median

import numpy as np
import pycolmap

from sfm.errors import ConfigError

from ..depth.depth_model import has_parallax
from ..depth.tracks import DEPTH_SPREAD, LiftedView, settle_on_depth
from ..scene.bearings import bearing_vectors
from ..scene.existing_models import scale_as
from ..scene.journal import Journal
from ..scene.options import with_two_view_tracks
from ..scene.pose_source import PosedGroup, PosedImage
from ..scene.session import MapperSession, open_session
from .bundle_adjustment import drop_unobserved, refine_fully
from .submodels import MappingContext, Submodel, judged

_MIN_POINTS = 15
"""An image; with fewer, poses show hardly any parallax."""


def aligned_models(
    context: MappingContext,
    mapper: str,
    discarded: Journal,
    *,
    keep: bool,
    known: Mapping[str, pycolmap.Rigid3d] | None = None,
) -> list[Submodel]:
    """A model of each group that the context's source of poses aligns; see `posed_model`.

    Args:
        context: of the scene, with a source of poses.
        mapper: by which images were registered, for the report.
        discarded: receives the events of groups that end in no model.
        keep: whether poses and intrinsics stay as they are in the group.
        known: poses that the alignment holds, by name.

    Raises:
        ConfigError: there is no source.
    """
    source = context.poses
    if source is None:
        raise ConfigError(
            f"register.mapper={mapper} needs the pointmaps of backend mast3r",
            hint="use register.mapper=graph",
        )
    found = []
    for group in source.groups(known=known):
        submodel = posed_model(context, group, how=mapper, keep=keep, known=known or {})
        losses = [round(loss, 6) for loss in group.losses]
        journal = discarded if submodel is None else submodel.journal
        lost = [[*pair, why] for pair, why in sorted(group.lost.items())]
        journal.note("aligned", losses=losses, stopped=group.stopped, depth=group.kept, lost=lost)
        if keep and not known and group.depth is not None and group.depth.metric:
            journal.note("metric_scale", source="mast3r", scale=1.0)
        found += [] if submodel is None else [submodel]
    return found


def posed_model(
    context: MappingContext,
    group: PosedGroup,
    *,
    how: str,
    keep: bool = False,
    known: Container[str] = (),
) -> Submodel | None:
    """A model of a group at its poses; None where fewer than two of its images get points.

    Args:
        context: of the scene, whose cameras take the group's focal lengths unless they are constant.
        group: images with poses.
        how: how the images were registered, for the report.
        keep: whether poses and intrinsics stay as they are in the group.
        known: images whose poses stay where the context's options freeze known ones.
    """
    names = [name for name in sorted(group.images) if name in context.scene.id_of]
    if len(names) < 2:
        return None
    _set_intrinsics(context, group, names, keep=keep)
    submodel = _triangulated(context, group, names, how=how, keep=keep, known=known)
    if group.depth is not None and not _is_determined(context, submodel, len(names)):
        lifted = _lifted(context, group, names, keep=keep)
        submodel = lifted if len(lifted.names) >= len(submodel.names) else submodel
    if len(submodel.names) < 2:
        return None
    for name in sorted(submodel.names):
        num = submodel.reconstruction.image(context.scene.id_of[name]).num_points3D
        submodel.journal.note("registered", name=name, how=how, num_visible=num, num_inliers=num)
        context.on_registered(name)
    return judged(context, submodel)


def _triangulated(
    context: MappingContext,
    group: PosedGroup,
    names: list[str],
    *,
    how: str,
    keep: bool,
    known: Container[str],
) -> Submodel:
    """With points where the poses give parallax, of two images, too; adjusted unless poses stay."""
    options = with_two_view_tracks(context.options)
    frozen = [name for name in names if options.frozen and name in known]
    # adjustments leave alone the images that a session begins with
    submodel = Submodel(None, _posed(context, group, frozen or names))
    with open_session(context.scene, options, submodel.reconstruction) as session:
        for name in sorted(set(names) - session.registered):
            image = session.reconstruction.image(context.scene.id_of[name])
            frame = session.reconstruction.frame(image.frame_id)
            frame.set_cam_from_world(image.camera_id, group.images[name].cam_from_world)
            session.observations.register_frame(frame.frame_id)
        for name in names:
            session.mapper.triangulate_image(options.triangulation, context.scene.id_of[name])
        session.mapper.complete_and_merge_tracks(options.triangulation)
        session.mapper.filter_points(options.mapper)
        if not keep:
            refine_fully(session, how, submodel.journal)
            drop_unobserved(session, submodel.journal)
        submodel.names = session.registered
    if len(frozen) == 1 and not keep and frozen[0] in submodel.names:  # one pose leaves the scale open
        of_group = {
            context.scene.id_of[name]: group.images[name].cam_from_world.inverse().translation
            for name in names
        }
        scale_as(submodel.reconstruction, of_group, context.scene.id_of[frozen[0]])
    return submodel


def _is_determined(context: MappingContext, submodel: Submodel, num_images: int) -> bool:
    """Whether triangulation kept all images and gave them points under wide enough angles."""
    model = submodel.reconstruction
    return (
        len(submodel.names) == num_images
        and model.num_points3D() >= _MIN_POINTS * num_images
        and has_parallax(model, context.options.mapper.filter_min_tri_angle)
    )


def _lifted(context: MappingContext, group: PosedGroup, names: list[str], *, keep: bool) -> Submodel:
    """With points from aligned depth; poses are adjusted to them unless they stay."""
    submodel = Submodel(None, _posed(context, group, names), is_depth_only=True)
    with open_session(context.scene, context.options, submodel.reconstruction) as session:
        views = [_lifted_view(session, group, name) for name in names]
        stays = keep or context.options.frozen
        settle_on_depth(session, views, constant=None if stays else views[0].image_id)
        drop_unobserved(session, submodel.journal)
        submodel.names = session.registered
    return submodel


def _posed(context: MappingContext, group: PosedGroup, names: list[str]) -> pycolmap.Reconstruction:
    """The images at their poses, without points."""
    model, cache = pycolmap.Reconstruction(), context.scene.cache
    for name in names:
        image_id = context.scene.id_of[name]
        camera = cache.camera(cache.image(image_id).camera_id)
        if not model.exists_camera(camera.camera_id):
            model.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(name, context.scene.keypoints(image_id), camera.camera_id, image_id)
        model.add_image_with_trivial_frame(image, group.images[name].cam_from_world)
    return model


def _set_intrinsics(context: MappingContext, group: PosedGroup, names: list[str], *, keep: bool) -> None:
    """Give the scene's cameras the median intrinsics of their images, where these may change."""
    cache, constant = context.scene.cache, context.options.mapper.constant_cameras
    posed: dict[int, list[PosedImage]] = {}
    for name in names:
        posed.setdefault(cache.image(context.scene.id_of[name]).camera_id, []).append(group.images[name])
    for camera_id, images in posed.items():
        camera = cache.camera(camera_id)
        if camera_id in constant:
            continue
        params, indices = list(camera.params), list(camera.focal_length_idxs())
        along = [median(image.focal_px[axis] for image in images) for axis in (0, 1)]
        for axis, index in enumerate(indices):
            params[index] = along[axis] if len(indices) > 1 else float(np.sqrt(along[0] * along[1]))
        for axis, index in enumerate(camera.principal_point_idxs() if keep else ()):
            params[index] = median(image.principal_point[axis] for image in images)
        camera.params = params


def _lifted_view(session: MapperSession, group: PosedGroup, name: str) -> LiftedView:
    """The keypoints of an image at their aligned depth."""
    image = session.reconstruction.image(session.scene.id_of[name])
    xy = np.array([point.xy for point in image.points2D]).reshape(-1, 2)
    rays = bearing_vectors(xy, session.reconstruction.camera(image.camera_id))
    found = group.depth.at(name, xy) if group.depth is not None else None
    depth = found[0] if found is not None else np.full(len(xy), np.nan)
    return LiftedView(image.image_id, xy, rays, depth, np.where(np.isfinite(depth), DEPTH_SPREAD, np.nan))
