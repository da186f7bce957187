"""Images whose observations contradict the focal length of a shared camera."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap

from ..scene.scene import Scene

_MIN_POINTS = 20
_MAX_ERROR_PX = 12.0
_MIN_FOCAL_CHANGE = 0.25
_MAX_ERROR_RATIO = 0.8  # of that with the shared focal length; an image zoomed by 4/3 has 0.62, others 0.87
_POOR = 1.1  # of the median image's reprojection error: what contradicts an image is mostly not observed


@dataclass(frozen=True, slots=True)
class WrongFocalLength:
    """An image that was taken with another focal length than the rest of its camera's images."""

    name: str
    focal_px: float
    """Ratio to the shared focal length, at least: a wrong one is off by a quarter or more."""
    num_points: int
    """Fewest points of the model that an image matches."""
    error_px: float
    """Mean distance to them with this focal length, cut at the sampling threshold."""
    error_shared_px: float
    """The same with the shared focal length."""


def find_wrong_focal_lengths(
    database: Path,
    models: Sequence[pycolmap.Reconstruction],
    *,
    fixed_cameras: Set[int] = frozenset(),
    seed: int,
) -> list[WrongFocalLength]:
    """Images that need cameras of their own, sorted by name; nothing is changed.

    Candidates are images without a good pose whose camera several images share, with a guessed focal length.
    The test is whether the model's points fit a pose clearly better with a free focal length.

    Args:
        database: the verified pairs that the models were built from.
        models: largest first; an image is tested against the first with enough common points.
        fixed_cameras: cameras whose intrinsics the user gave.
        seed: of the random sampling.
    """
    scene = Scene.open(database)
    guessed = {i for i, c in scene.cache.cameras.items() if not c.has_prior_focal_length} - fixed_cameras
    good = {name for model in models for name in _well_registered(model)}
    foreign = []
    for name, image_id in sorted(scene.id_of.items()):
        camera_id = scene.cache.image(image_id).camera_id
        if name not in good and camera_id in guessed:
            found = (_test(scene, name, model, camera_id, seed) for model in models)
            foreign += [next((image for image in found if image), None)]
    return [image for image in foreign if image]


def _well_registered(model: pycolmap.Reconstruction) -> Iterator[str]:
    """Names of images whose mean reprojection error is not far above the median image's.

    Of points that three images see: one of two fits nearly any pose of theirs.
    """
    errors = {}
    for image_id in model.reg_image_ids():
        seen = model.image(image_id).get_observation_points2D()
        points = [model.point3D(point2D.point3D_id) for point2D in seen]
        firm = [point.error for point in points if point.track.length() > 2]
        errors[image_id] = float(np.mean(firm)) if firm else np.inf
    limit = _POOR * float(np.median(list(errors.values()))) if errors else 0.0
    return (model.image(image_id).name for image_id, error in errors.items() if error <= limit)


def _test(
    scene: Scene, name: str, model: pycolmap.Reconstruction, camera_id: int, seed: int
) -> WrongFocalLength | None:
    if not any(_is_other(model, i, camera_id, name) for i in model.reg_image_ids()):
        return None  # no other image in this model supports the shared focal length
    xy, xyz = _visible_points(scene, name, model)
    if len(xy) < _MIN_POINTS:
        return None
    shared_px, shared_error = _estimate(xy, xyz, model.camera(camera_id), seed, free=False)
    own_px, own_error = _estimate(xy, xyz, model.camera(camera_id), seed, free=True)
    if own_error > _MAX_ERROR_RATIO * shared_error or abs(own_px / shared_px - 1) < _MIN_FOCAL_CHANGE:
        return None
    return WrongFocalLength(name, own_px, len(xy), round(own_error, 3), round(shared_error, 3))


def _is_other(model: pycolmap.Reconstruction, image_id: int, camera_id: int, name: str) -> bool:
    image = model.image(image_id)
    return bool(image.camera_id == camera_id and image.name != name)


def _visible_points(
    scene: Scene, name: str, model: pycolmap.Reconstruction
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Keypoints of an image, (N, 2) px, and the model's points that matches assign to them, (N, 3)."""
    registered = {model.image(i).name: i for i in model.reg_image_ids()}
    image_id = scene.id_of[name]
    point_of: dict[int, int] = {}
    for other in scene.view_graph.neighbours(name):
        if other in registered:
            points = model.image(registered[other]).points2D
            matches = scene.cache.correspondence_graph.extract_matches_between_images(
                image_id, registered[other]
            )
            for i, j in matches.tolist():
                if points[j].has_point3D() and _is_seen(model, points[j].point3D_id, registered.get(name)):
                    point_of.setdefault(i, points[j].point3D_id)
    keypoints = scene.cache.image(image_id).points2D
    xy = np.array([keypoints[i].xy for i in point_of]).reshape(-1, 2)
    return xy, np.array([model.point3D(i).xyz for i in point_of.values()]).reshape(-1, 3)


def _is_seen(model: pycolmap.Reconstruction, point3D_id: int, image_id: int | None) -> bool:
    """Whether two other images see the point: one that the image itself fixed would fit any focal length."""
    observers = {element.image_id for element in model.point3D(point3D_id).track.elements}
    return len(observers - {image_id}) >= 2


def _estimate(
    xy: npt.NDArray[np.float64],
    xyz: npt.NDArray[np.float64],
    camera: pycolmap.Camera,
    seed: int,
    *,
    free: bool,
) -> tuple[float, float]:
    """Focal length in px and error after estimating a pose, the focal length free or not.

    The error is the mean distance, px, with distances cut at the sampling threshold, so that outliers do not
    dominate it.
    """
    camera = copy.deepcopy(camera)
    estimation = pycolmap.AbsolutePoseEstimationOptions()
    estimation.estimate_focal_length = free
    # Sampling with a tight threshold would settle on the part of the points that the first focal length fits.
    estimation.ransac.max_error, estimation.ransac.random_seed = _MAX_ERROR_PX, seed
    refinement = pycolmap.AbsolutePoseRefinementOptions()
    refinement.refine_focal_length, refinement.refine_extra_params = free, False
    found = pycolmap.estimate_and_refine_absolute_pose(xy, xyz, camera, estimation, refinement)
    if found is None:
        return camera.mean_focal_length(), _MAX_ERROR_PX
    errors = np.linalg.norm(camera.img_from_cam(found["cam_from_world"] * xyz) - xy, axis=1)
    cut = np.fmin(errors, _MAX_ERROR_PX)  # of points behind the camera, too, where there is no error
    return camera.mean_focal_length(), float(np.mean(cut))
