"""Images whose observations contradict the focal length of a shared camera, or a centred principal point.

Those that a model registers are found together, by adjustments (`camera_groups`, `cropped_images`). Of those
that none does, or where they observe few of the points that they match, a pose with a free focal length is
estimated.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap

from ..scene.scene import Scene
from .camera_groups import MIN_FOCAL_CHANGE, SAME_FOCAL, focal_groups
from .cropped_images import cropped_images
from .group_adjustment import MAX_ERROR_PX, MAX_ERROR_RATIO, is_firm

_MIN_POINTS = 20
_MIN_OBSERVED = 0.5
"""Of the points that an image matches, for its pose to be worth an adjustment."""


@dataclass(frozen=True, slots=True)
class WrongCamera:
    """An image with another focal length than most of its camera's images, or one that was cropped."""

    name: str
    focal_px: float
    """Equal for images that share it."""
    error_px: float
    """Mean reprojection error with these intrinsics, cut at `MAX_ERROR_PX`."""
    error_shared_px: float
    """The same with the shared focal length, or of a crop with a centred principal point."""
    principal_point: tuple[float, float] | None = None
    """Of a crop, px; None: in the middle."""


def find_wrong_cameras(
    database: Path,
    models: Sequence[pycolmap.Reconstruction],
    shared_by: Mapping[int, int],
    *,
    free: Set[int] = frozenset(),
    cropped: Set[int] = frozenset(),
    seed: int,
) -> list[WrongCamera]:
    """Images that need cameras of their own or of a few images, sorted by name; nothing is changed.

    Args:
        database: the verified pairs that the models were built from.
        models: largest first; an image that none registers is tested against the first with enough common
            points.
        shared_by: the cameras whose focal length is a guess, each with the camera that all images of the same
            value were taken to share at first.
        free: cameras whose images may be crops.
        cropped: those of them whose images were found to be crops before.
        seed: of the random sampling.
    """
    if not shared_by and not free:
        return []
    scene = Scene.open(database)
    models = [scene.with_all_keypoints(model) for model in models]  # a matcher may have appended some since
    firm = [is_firm(model) for model in models]
    foreign, registered = dict[str, WrongCamera](), set[str]()
    for model in models:
        names = {model.image(i).name for i in model.reg_image_ids()}
        own = _of_model(model, shared_by, free, cropped)
        foreign |= {one.name: one for one in own if one.name not in registered}
        registered |= names
    for name, image_id in scene.id_of.items():
        camera_id = scene.cache.image(image_id).camera_id
        if shared_by.get(camera_id) != camera_id or not _is_lost(scene, name, models, firm):
            continue
        if name in foreign and foreign[name].principal_point:
            continue  # a pose with a free focal length would not explain a crop
        grouped = foreign.pop(name, None)
        tests = (_test(scene, name, model, camera_id, seed) for model in models)
        if found := next(filter(None, tests), None):
            agrees = grouped and 1 / SAME_FOCAL < grouped.focal_px / found.focal_px < SAME_FOCAL
            foreign[name] = grouped if grouped and agrees else found
    return [foreign[name] for name in sorted(foreign)]


def _of_model(
    model: pycolmap.Reconstruction, shared_by: Mapping[int, int], free: Set[int], cropped: Set[int]
) -> Iterator[WrongCamera]:
    """Images of one model. While the model is bent by crops, no focal length is asked for."""
    crops = cropped_images(model, free)
    for crop in crops:
        errors = round(crop.error_px, 3), round(crop.error_centred_px, 3)
        yield WrongCamera(model.image(crop.image_id).name, crop.focal_px, *errors, crop.principal_point)
    cameras = {model.image(crop.image_id).camera_id for crop in crops}
    if cameras <= cropped:
        others = {camera_id: first for camera_id, first in shared_by.items() if camera_id not in cameras}
        for group in focal_groups(model, others):
            errors = round(group.error_px, 3), round(group.error_shared_px, 3)
            for image_id in group.image_ids:
                yield WrongCamera(model.image(image_id).name, group.focal_px, *errors)


def _is_lost(
    scene: Scene, name: str, models: Sequence[pycolmap.Reconstruction], firm: Sequence[bool]
) -> bool:
    """Whether no firm model registers an image where it observes most of the points that it matches."""
    for model, model_is_firm in zip(models, firm, strict=True):
        image = model.find_image_with_name(name)
        if image is not None and image.has_pose:
            if not model_is_firm:
                return True
            num_visible = len(_visible_points(scene, name, model)[0])
            seen = (model.point3D(point.point3D_id) for point in image.get_observation_points2D())
            return sum(point.track.length() > 2 for point in seen) < _MIN_OBSERVED * num_visible
    return True


def _test(
    scene: Scene, name: str, model: pycolmap.Reconstruction, camera_id: int, seed: int
) -> WrongCamera | None:
    if not any(_is_other(model, i, camera_id, name) for i in model.reg_image_ids()):
        return None  # no other image in this model supports the shared focal length
    xy, xyz = _visible_points(scene, name, model)
    if len(xy) < _MIN_POINTS:
        return None
    shared_px, shared_error = _estimate(xy, xyz, model.camera(camera_id), seed, free=False)
    own_px, own_error = _estimate(xy, xyz, model.camera(camera_id), seed, free=True)
    if own_error > MAX_ERROR_RATIO * shared_error or abs(own_px / shared_px - 1) < MIN_FOCAL_CHANGE:
        return None
    return WrongCamera(name, own_px, round(own_error, 3), round(shared_error, 3))


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
    estimation.ransac.max_error, estimation.ransac.random_seed = MAX_ERROR_PX, seed
    refinement = pycolmap.AbsolutePoseRefinementOptions()
    refinement.refine_focal_length, refinement.refine_extra_params = free, False
    found = pycolmap.estimate_and_refine_absolute_pose(xy, xyz, camera, estimation, refinement)
    if found is None:
        return camera.mean_focal_length(), MAX_ERROR_PX
    errors = np.linalg.norm(camera.img_from_cam(found["cam_from_world"] * xyz) - xy, axis=1)
    cut = np.fmin(errors, MAX_ERROR_PX)  # of points behind the camera, too, where there is no error
    return camera.mean_focal_length(), float(np.mean(cut))
