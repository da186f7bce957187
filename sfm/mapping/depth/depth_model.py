"""A model from depth alone, for images from which no seed starts a model, as after a pure rotation.

Poses come from keypoints that depth lifts to points, not from triangulation, so such a model may have no
parallax. COLMAP's filters would remove all its points, so it is built again instead of continued
(`has_parallax`).
"""

from __future__ import annotations

import itertools
from collections.abc import Set

import numpy as np
import pycolmap
from numpy.typing import NDArray

from ..measures.agreement import agreement
from ..scene.bearings import bearing_vectors
from ..scene.journal import Journal
from ..scene.options import MapperOptions
from ..scene.scene import Scene
from ..scene.session import MapperSession, open_session
from .fit import DepthFit, fit_depth, is_known
from .lifting import lifted_pose
from .tracks import DEPTH_SPREAD, LiftedView, settle_on_depth

_MIN_KEYPOINTS = 30  # of known depth in the image that a model starts from
_MIN_INLIER_RATIO = 0.5  # of the lifted points: no track confirms such a pose
_MIN_OBSERVATIONS = 15
_MAX_TESTED = 500  # points of a model whose angle is measured

Array = NDArray[np.float64]


def build_depth_model(
    scene: Scene, options: MapperOptions, candidates: Set[str], journal: Journal
) -> pycolmap.Reconstruction | None:
    """A model of the `candidates` that lifted points connect to the best connected one of them.

    Points are means of lifted keypoints, and poses and intrinsics are adjusted to them. The unit is that of
    the depth of the first image. None with fewer than two connected images.
    """
    root = _root(scene, candidates)
    if root is None:
        return None
    model = pycolmap.Reconstruction()
    with open_session(scene, options, model) as session:
        _register(session, root, pycolmap.Rigid3d())
        fits: dict[str, DepthFit | None] = {root: _own_fit(_depth_at_keypoints(scene, root))}
        views, num_views = {root: _view(session, root, fits[root])}, 0
        while True:  # where a turn closes, images fit only once the poses before do
            _add_views(session, candidates, views, fits)
            if len(views) == num_views:
                break
            settled = settle_on_depth(session, list(views.values()), constant=scene.id_of[root])
            views, num_views = dict(zip(views, settled, strict=True)), len(views)
        for name in sorted(session.registered):
            if model.image(scene.id_of[name]).num_points3D < _MIN_OBSERVATIONS:
                session.observations.deregister_frame(model.image(scene.id_of[name]).frame_id)
        for name in sorted(session.registered, key=list(views).index):
            num = model.image(scene.id_of[name]).num_points3D
            journal.note("registered", name=name, how="depth", num_visible=num, num_inliers=num)
    return model if model.num_reg_images() > 1 else None


def has_parallax(model: pycolmap.Reconstruction, min_angle_deg: float) -> bool:
    """Whether half of the points are seen under `min_angle_deg` or more, and so survive COLMAP's filter."""
    points = list(model.points3D.values())
    step = max(1, len(points) // _MAX_TESTED)
    centres = {i: model.image(i).projection_center() for i in model.reg_image_ids()}
    angles = [
        max(
            pycolmap.calculate_triangulation_angle(centres[a.image_id], centres[b.image_id], point.xyz)
            for a, b in itertools.combinations(point.track.elements, 2)
        )
        for point in points[::step]
        if len(point.track.elements) > 1
    ]
    return not angles or bool(np.rad2deg(np.median(angles)) >= min_angle_deg)


def _root(scene: Scene, candidates: Set[str]) -> str | None:
    """The image with depth that shares most inliers with other candidates."""
    graph = scene.view_graph.restricted(candidates)
    shared = {name: sum(graph.num_inliers(name, o) for o in graph.neighbours(name)) for name in graph.names}
    for name in sorted(shared, key=lambda name: (-shared[name], name)):
        if shared[name] and _own_fit(_depth_at_keypoints(scene, name)) is not None:
            return name
    return None


def _depth_at_keypoints(scene: Scene, name: str) -> tuple[Array, Array]:
    """Depth and confidence of all keypoints of an image, both (N,)."""
    points2D = scene.cache.image(scene.id_of[name]).points2D
    xy = np.array([point.xy for point in points2D]).reshape(-1, 2)
    found = scene.depth.at(name, xy) if scene.depth is not None else None
    return found or (np.full(len(xy), np.nan), np.ones(len(xy)))


def _own_fit(found: tuple[Array, Array]) -> DepthFit | None:
    """The fit that makes the unit of an image that of the model."""
    depth, confidence = found
    known = is_known(depth, confidence)
    if np.count_nonzero(known) < _MIN_KEYPOINTS:
        return None
    low, high = np.quantile(depth[known], [0.05, 0.95])
    return DepthFit(1.0, 0.0, DEPTH_SPREAD, float(low), float(high), float(np.median(confidence[known])))


def _add_views(
    session: MapperSession,
    candidates: Set[str],
    views: dict[str, LiftedView],
    fits: dict[str, DepthFit | None],
) -> None:
    """Register images one after the other, those with most matches first, and lift their keypoints."""
    graph = session.scene.view_graph
    failed_at: dict[str, int] = {}
    while True:
        count = {
            name: sum(graph.num_inliers(name, other) for other in graph.neighbours(name) if other in views)
            for name in sorted(candidates - views.keys())
        }
        waiting = [name for name in count if count[name] > failed_at.get(name, 0)]
        if not waiting:
            return
        name = max(waiting, key=lambda name: count[name])
        failed_at[name] = count[name]
        found = lifted_pose(session, name, fits.get)
        if found is None or found.num_inliers < _MIN_INLIER_RATIO * found.num_points:
            continue
        _register(session, name, found.cam_from_world)
        if agreement(session, name) < _MIN_INLIER_RATIO:
            session.observations.deregister_frame(
                session.reconstruction.image(session.scene.id_of[name]).frame_id
            )
            continue
        fits[name] = _fit_to_views(session, name, views)
        views[name] = _view(session, name, fits[name])


def _register(session: MapperSession, name: str, cam_from_world: pycolmap.Rigid3d) -> None:
    image = session.reconstruction.image(session.scene.id_of[name])
    frame = session.reconstruction.frame(image.frame_id)
    frame.set_cam_from_world(image.camera_id, cam_from_world)
    session.observations.register_frame(frame.frame_id)


def _view(session: MapperSession, name: str, fit: DepthFit | None) -> LiftedView:
    image = session.reconstruction.image(session.scene.id_of[name])
    xy = np.array([point.xy for point in image.points2D]).reshape(-1, 2)
    num = len(xy)
    rays = bearing_vectors(xy, session.reconstruction.camera(image.camera_id))
    depth = sigma = np.full(num, np.nan)
    if fit is not None:
        depth, sigma = fit.lift(*_depth_at_keypoints(session.scene, name))
    return LiftedView(image.image_id, xy, rays, depth, sigma)


def _fit_to_views(session: MapperSession, name: str, views: dict[str, LiftedView]) -> DepthFit | None:
    """How the depth of a registered image relates to what the others lift at keypoints that they share."""
    scene, rec = session.scene, session.reconstruction
    image_id = scene.id_of[name]
    depth, confidence = _depth_at_keypoints(scene, name)
    found = [np.zeros((0, 3))]
    for other in scene.view_graph.neighbours(name):
        if other in views:
            view = views[other]
            matches = scene.cache.correspondence_graph.extract_matches_between_images(view.image_id, image_id)
            cam_from_other = (
                rec.image(image_id).cam_from_world() * rec.image(view.image_id).cam_from_world().inverse()
            )
            lifted = cam_from_other * view.in_cam[matches[:, 0]]
            found.append(np.column_stack((depth[matches[:, 1]], confidence[matches[:, 1]], lifted[:, 2])))
    columns = np.concatenate(found).T
    return fit_depth(columns[0], columns[1], columns[2])
