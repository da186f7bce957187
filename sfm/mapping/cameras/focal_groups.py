"""Images of a shared camera that were taken with different focal lengths, by adjustments of their model.

Without EXIF, images of one size share a camera. Zoomed and cropped images, and those of a phone's other
lenses, then bend the model, and may register nevertheless. An adjustment with a focal length for each image
finds the true ones even from such a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pycolmap

from .group_adjustment import (
    MAX_ERROR_RATIO,
    Errors,
    Group,
    adjusted,
    are_observed,
    errors_of,
    firm_points,
    focal_lengths,
    groups_by,
    is_observed,
    mean_of,
    median_of,
    num_observations,
)

SAME_FOCAL = 1.05
"""Focal lengths within this factor are of one zoom setting: focusing changes them by less."""
MIN_FOCAL_CHANGE = 0.25
"""Of the focal length, for images of few observations to need another: these fit noise, or a wrong pose."""
_LOOSE = 0.95
"""Of the error of a group that was cut from others, with a focal length for each image. Zoom settings that
are held come to 0.98 and more, zooming from image to image to 0.93 and less."""
_MAX_CUTS = 3
"""Cuts of a group that are tried, at the widest gaps of its focal lengths first."""


@dataclass(frozen=True, slots=True)
class FocalGroup:
    """Images that were taken with another focal length than most images of their camera."""

    image_ids: Group
    focal_px: float
    others_px: float
    """Focal length of most images of their camera."""
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
        shared_by: cameras to look at, whose intrinsics may change. Those of one value were taken for one
            camera at first.
    """
    wholes = _wholes(model, shared_by)
    if not any(len(images) > 1 for images in wholes):
        return []
    points = firm_points(model)
    observed = num_observations(model, points)
    if not are_observed(tuple(observed), observed):
        return []
    start = focal_lengths(model, [i for images in wholes for i in images])
    alone = adjusted(model, points, [(i,) for i in start], start)
    own = focal_lengths(alone, start)
    groups = [group for images in wholes for group in _of_similar_focal(images, model, own)]
    # From either start, as a cut would begin: a model that is not settled yet may end in another minimum.
    starts = (
        errors_of(adjusted(*before))
        for before in ((model, points, groups, start), (alone, points, groups, own))
    )
    errors = first = min(starts, key=lambda one: mean_of(one, tuple(one)))
    settled: set[Group] = set()
    while group := next((one for one in groups if one not in settled), None):
        others = [one for one in groups if one != group]
        for sides in _cuts(group, own):
            smaller, larger = sorted(sides, key=len)
            change = abs(median_of(own, smaller) / median_of(own, larger) - 1)
            if change < MIN_FOCAL_CHANGE and not is_observed(smaller, observed):
                continue
            found = errors_of(adjusted(alone, points, [*others, *sides], own))
            if mean_of(found, smaller) <= MAX_ERROR_RATIO * mean_of(errors, smaller):
                groups, errors = [*others, *sides], found
                break
        else:
            settled.add(group)
    apart = errors_of(alone)
    other_cameras = []
    for whole in wholes:
        cut = [group for group in groups if group[0] in whole]
        limit = _LOOSE if len(cut) > 1 else MAX_ERROR_RATIO
        cut = [part for group in cut for part in _without_loose(group, own, errors, apart, limit)]
        loose = {part[0] for part in cut if part not in groups}
        after = {i: apart[i] if i in loose else errors[i] for i in whole}
        most, *others = sorted(cut, key=lambda one: (-len(one), one))
        most_px = median_of(own, most)
        other_cameras += [
            FocalGroup(group, median_of(own, group), most_px, mean_of(after, group), mean_of(first, group))
            for group in others
        ]
    return other_cameras


def _without_loose(
    group: Group, own: Mapping[int, float], errors: Errors, apart: Errors, max_ratio: float
) -> list[Group]:
    """A group of one focal length, or each of its images where the lens was zoomed from image to image."""
    lower, upper = np.quantile([own[i] for i in group], (0.25, 0.75))
    # Where the model is bent, focal lengths of single images explain it better although they hardly differ.
    hardly_differ = upper <= lower * SAME_FOCAL**0.25
    if hardly_differ or mean_of(apart, group) > max_ratio * mean_of(errors, group):
        return [group]
    return [(i,) for i in group]


def _wholes(model: pycolmap.Reconstruction, shared_by: Mapping[int, int]) -> list[Group]:
    """Images that were taken to share a camera at first, by that camera."""
    images = [i for i in sorted(model.reg_image_ids()) if model.image(i).camera_id in shared_by]
    found = groups_by(images, lambda i: shared_by[model.image(i).camera_id])
    return [found[first] for first in sorted(found)]


def _of_similar_focal(images: Group, model: pycolmap.Reconstruction, own: Mapping[int, float]) -> list[Group]:
    """The images of each camera, with those of cameras whose images have nearly the same focal length."""
    by_camera = groups_by(images, lambda i: model.image(i).camera_id)
    joined: list[Group] = []
    for group in sorted(by_camera.values(), key=lambda one: median_of(own, one)):
        if joined and median_of(own, group) <= SAME_FOCAL * median_of(own, joined[-1]):
            joined[-1] = tuple(sorted((*joined[-1], *group)))
        else:
            joined.append(group)
    return joined


def _cuts(group: Group, own: Mapping[int, float]) -> Iterator[tuple[Group, Group]]:
    """Both sides of the widest gaps between the images' own focal lengths, the widest first."""
    ordered = sorted(group, key=lambda i: own[i])
    gaps = np.diff(np.log([own[i] for i in ordered]))
    for at in np.argsort(-gaps, kind="stable")[:_MAX_CUTS]:
        if gaps[at] > np.log(SAME_FOCAL):
            yield tuple(sorted(ordered[: at + 1])), tuple(sorted(ordered[at + 1 :]))
