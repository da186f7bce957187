"""Images of a shared camera that were taken with different focal lengths, by adjustments of their model.

Without EXIF, images of one size share a camera. Zoomed and cropped images, and those of a phone's other
lenses, then bend the model, and may register nevertheless. An adjustment with a focal length for each image
finds the true ones even from such a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

SAME_FOCAL = 1.05
"""Focal lengths within this factor are of one zoom setting: focusing changes them by less."""
MAX_ERROR_RATIO = 0.8
"""Of the error with the shared focal length, for another one to explain images clearly better."""
MAX_ERROR_PX = 12.0
"""Errors are cut there, so that outliers do not rule their mean."""
MIN_FOCAL_CHANGE = 0.25
"""Of the focal length, for images of few observations to need another: these fit noise, or a wrong pose."""
_LOOSE = 0.95
"""Of the error of a group that was cut from others, with a focal length for each image. Zoom settings that
are held come to 0.98 and more, zooming from image to image to 0.93 and less."""
_MIN_IMAGES = 3
"""A model of fewer determines no focal lengths."""
_OBSERVATIONS = 150
"""Of each image, of the points that most images see; more only cost time. Where the typical image has fewer,
focal lengths of single images explain noise."""
_MIN_TRACK = 3
"""Points of two images fit nearly any focal length."""
_MAX_CUTS = 3
"""Cuts of a group that are tried, at the widest gaps of its focal lengths first."""
_ITERATIONS = 50

Group = tuple[int, ...]
"""Ids of images that share a camera, ascending."""
Errors = Mapping[int, NDArray[np.float64]]
"""Reprojection errors (n,), px, by image id."""


@dataclass(frozen=True, slots=True)
class FocalGroup:
    """Images that were taken with another focal length than most images of their camera."""

    image_ids: Group
    focal_px: float
    error_px: float
    """Their mean reprojection error with this focal length, cut at `MAX_ERROR_PX`."""
    error_shared_px: float
    """The same with the focal length that they shared."""


def focal_groups(model: pycolmap.Reconstruction, shared_by: Mapping[int, int]) -> list[FocalGroup]:
    """Images that need another camera, those of one focal length together; nothing is changed.

    Cameras of nearly the same focal length are taken for one. The images of a camera are then cut in two
    where their own focal lengths are far apart, as long as an adjustment with the cut explains the smaller
    side clearly better. Where a camera was cut and one for each image is better still, each has its own.

    Args:
        model: registered images and points; one that is not firm (`is_firm`) has no groups.
        shared_by: cameras to look at, whose focal length is a guess. Those of one value were taken for one
            camera at first.
    """
    wholes = _wholes(model, shared_by)
    if not any(len(images) > 1 for images in wholes) or not is_firm(model):
        return []
    points = _firm_points(model)
    num_observations = _num_observations(model, points)
    start = _focal_px(model, [i for images in wholes for i in images])
    alone = _adjusted(model, points, [(i,) for i in start], start)
    own = _focal_px(alone, start)
    groups = [group for images in wholes for group in _of_similar_focal(images, model, own)]
    # From either start, as a cut would begin: a model that is not settled yet may end in another minimum.
    starts = (
        _errors(_adjusted(*before))
        for before in ((model, points, groups, start), (alone, points, groups, own))
    )
    errors = first = min(starts, key=lambda one: _mean(one, tuple(one)))
    settled: set[Group] = set()
    while group := next((one for one in groups if one not in settled), None):
        others = [one for one in groups if one != group]
        for sides in _cuts(group, own):
            smaller, larger = sorted(sides, key=len)
            change = abs(_median(own, smaller) / _median(own, larger) - 1)
            if change < MIN_FOCAL_CHANGE and not _is_observed(smaller, num_observations):
                continue
            found = _errors(_adjusted(alone, points, [*others, *sides], own))
            if _mean(found, smaller) <= MAX_ERROR_RATIO * _mean(errors, smaller):
                groups, errors = [*others, *sides], found
                break
        else:
            settled.add(group)
    apart = _errors(alone)
    other_cameras = []
    for whole in wholes:
        cut = [group for group in groups if group[0] in whole]
        limit = _LOOSE if len(cut) > 1 else MAX_ERROR_RATIO
        cut = [part for group in cut for part in _without_loose(group, own, errors, apart, limit)]
        other_cameras += [
            FocalGroup(group, _median(own, group), _mean(errors, group), _mean(first, group))
            for group in sorted(cut, key=lambda one: (-len(one), one))[1:]
        ]
    return other_cameras


def _without_loose(
    group: Group, own: Mapping[int, float], errors: Errors, apart: Errors, max_ratio: float
) -> list[Group]:
    """A group of one focal length, or each of its images where the lens was zoomed from image to image."""
    lower, upper = np.quantile([own[i] for i in group], (0.25, 0.75))
    # Where the model is bent, focal lengths of single images explain it better although they hardly differ.
    hardly_differ = upper <= lower * SAME_FOCAL**0.25
    if hardly_differ or _mean(apart, group) > max_ratio * _mean(errors, group):
        return [group]
    return [(i,) for i in group]


def is_firm(model: pycolmap.Reconstruction) -> bool:
    """Whether a model has the images and observations that determine a focal length for each image."""
    return len(model.reg_image_ids()) >= _MIN_IMAGES and _is_observed(
        tuple(model.reg_image_ids()), _num_observations(model, _firm_points(model))
    )


def _num_observations(model: pycolmap.Reconstruction, points: Iterable[int]) -> dict[int, int]:
    """How many of these points each image observes."""
    count = dict.fromkeys(model.reg_image_ids(), 0)
    for point_id in points:
        for element in model.point3D(point_id).track.elements:
            count[element.image_id] += 1
    return count


def _is_observed(group: Group, num_observations: Mapping[int, int]) -> bool:
    """Whether the typical image of a group has the observations that determine a focal length."""
    return float(np.median([num_observations[i] for i in group])) >= _OBSERVATIONS


def _wholes(model: pycolmap.Reconstruction, shared_by: Mapping[int, int]) -> list[Group]:
    """Images that were taken to share a camera at first, by that camera."""
    found: dict[int, Group] = {}
    for image_id in sorted(model.reg_image_ids()):
        first = shared_by.get(model.image(image_id).camera_id)
        if first is not None:
            found[first] = (*found.get(first, ()), image_id)
    return [found[first] for first in sorted(found)]


def _of_similar_focal(images: Group, model: pycolmap.Reconstruction, own: Mapping[int, float]) -> list[Group]:
    """The images of each camera, with those of cameras whose images have nearly the same focal length."""
    by_camera: dict[int, Group] = {}
    for i in images:
        camera_id = model.image(i).camera_id
        by_camera[camera_id] = (*by_camera.get(camera_id, ()), i)
    joined: list[Group] = []
    for group in sorted(by_camera.values(), key=lambda one: _median(own, one)):
        if joined and _median(own, group) <= SAME_FOCAL * _median(own, joined[-1]):
            joined[-1] = tuple(sorted((*joined[-1], *group)))
        else:
            joined.append(group)
    return joined


def _focal_px(model: pycolmap.Reconstruction, images: Iterable[int]) -> dict[int, float]:
    return {i: model.camera(model.image(i).camera_id).mean_focal_length() for i in images}


def _median(own: Mapping[int, float], group: Group) -> float:
    return float(np.median([own[i] for i in group]))


def _cuts(group: Group, own: Mapping[int, float]) -> Iterator[tuple[Group, Group]]:
    """Both sides of the widest gaps between the images' own focal lengths, the widest first."""
    ordered = sorted(group, key=lambda i: own[i])
    gaps = np.diff(np.log([own[i] for i in ordered]))
    for at in np.argsort(-gaps, kind="stable")[:_MAX_CUTS]:
        if gaps[at] > np.log(SAME_FOCAL):
            yield tuple(sorted(ordered[: at + 1])), tuple(sorted(ordered[at + 1 :]))


def _firm_points(model: pycolmap.Reconstruction) -> list[int]:
    """Ids of points that many images see, a bounded number of each image."""
    tracks = {
        point_id: {element.image_id for element in point.track.elements}
        for point_id, point in model.points3D.items()
    }
    count = dict.fromkeys(model.reg_image_ids(), 0)
    chosen = []
    for point_id in sorted(tracks, key=lambda point_id: (-len(tracks[point_id]), point_id)):
        if len(tracks[point_id]) < _MIN_TRACK:
            break
        if any(count[i] < _OBSERVATIONS for i in tracks[point_id]):
            chosen.append(point_id)
            for i in tracks[point_id]:
                count[i] += 1
    return chosen


def _adjusted(
    model: pycolmap.Reconstruction,
    points: Sequence[int],
    groups: Sequence[Group],
    focal_px: Mapping[int, float],
) -> pycolmap.Reconstruction:
    """A copy of a model with some of its points and a camera for each group, adjusted.

    Args:
        groups: their focal lengths start at the median of `focal_px` of their images; cameras of other images
            are held.
    """
    copy = pycolmap.Reconstruction()
    config = pycolmap.BundleAdjustmentConfig()
    camera_of: dict[int, int] = {}
    for camera_id, group in enumerate(groups, start=1 + max(model.cameras)):
        camera = pycolmap.Camera(model.camera(model.image(group[0]).camera_id).todict())
        camera.camera_id = camera_id
        params = list(camera.params)
        for index in camera.focal_length_idxs():
            params[index] = _median(focal_px, group)
        camera.params = params
        copy.add_camera_with_trivial_rig(camera)
        camera_of.update(dict.fromkeys(group, camera_id))
    for image_id in sorted(model.reg_image_ids()):
        image = model.image(image_id)
        if image_id not in camera_of and image.camera_id not in copy.cameras:
            copy.add_camera_with_trivial_rig(pycolmap.Camera(model.camera(image.camera_id).todict()))
            config.set_constant_cam_intrinsics(image.camera_id)
        camera_id = camera_of.get(image_id, image.camera_id)
        added = pycolmap.Image(name=image.name, camera_id=camera_id, image_id=image_id)
        added.points2D = pycolmap.Point2DList([pycolmap.Point2D(point.xy) for point in image.points2D])
        copy.add_image_with_trivial_frame(added, image.cam_from_world())
        config.add_image(image_id)
    for point_id in points:
        point = model.point3D(point_id)
        copy.add_point3D_with_id(point_id, pycolmap.Point3D(xyz=point.xyz, track=point.track))
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(_options(), config, copy).solve()
    return copy


def _options() -> pycolmap.BundleAdjustmentOptions:
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_principal_point = options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.SOFT_L1
    options.ceres.solver_options.max_num_iterations = _ITERATIONS
    return options


def _errors(model: pycolmap.Reconstruction) -> Errors:
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


def _mean(errors: Errors, group: Group) -> float:
    every = np.concatenate([errors[i] for i in group])
    return float(np.mean(every)) if len(every) else MAX_ERROR_PX
