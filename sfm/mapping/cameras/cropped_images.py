"""Images that were cut out of larger ones: their principal points lie far from their middles.

COLMAP and most others take the principal point to be in the middle. A crop elsewhere then has a pose that is
turned by as many degrees, and bends the model. Each image's own principal point is found by an adjustment, as
its own focal length is (`camera_groups`): points that other images hold show both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import pycolmap

from ..scene.camera_models import sigma_of_principal_point
from .camera_groups import SAME_FOCAL
from .group_adjustment import (
    MAX_ERROR_RATIO,
    adjusted,
    are_observed,
    errors_of,
    firm_points,
    focal_lengths,
    is_observed,
    mean_of,
    num_observations,
)
from .linearized_observations import MIN_SIGMA_PX

_TYPICAL_RATIO = 0.85
"""Of the typical image's error with a centred principal point, where all images are crops. Without crops it
comes to 0.87 and more."""
_MOST_TOGETHER = 100
"""Images that are adjusted together: the time grows with the cube of their number."""
_WORSE = 1.5
"""Ratio of a crop's error with a centred principal point to that of the typical image, at least, where most
images are no crops: bent points, too, are explained better by a principal point of their own."""


@dataclass(frozen=True, slots=True)
class CroppedImage:
    """An image with a principal point of its own."""

    image_id: int
    focal_px: float
    principal_point: tuple[float, float]
    """In px, as COLMAP has it."""
    error_px: float
    """Mean reprojection error of the image, cut at `MAX_ERROR_PX`."""
    error_centred_px: float
    """The same with the principal point in the middle and a focal length of its own."""
    is_observed: bool
    """Whether it has the observations that determine its intrinsics."""


def cropped_images(model: pycolmap.Reconstruction, cameras: Set[int]) -> list[CroppedImage]:
    """Images whose observations ask for a principal point of their own, by id; nothing is changed.

    Where principal points of their own explain the typical image clearly better, half of them lie far from
    the middle, and half of the images of each camera come to one focal length, every image is a crop.
    Otherwise those are that are explained worse than the typical one with a centred principal point, and
    clearly better with their own; and where these are most of one size, the others of it.

    Args:
        model: registered images and points; where these are too few (`are_observed`), none is found.
        cameras: whose images are looked at.
    """
    images = [
        i
        for i in sorted(model.reg_image_ids())
        if model.image(i).camera_id in cameras
        and model.camera(model.image(i).camera_id).principal_point_idxs()
    ]
    found = [crop for part in _neighbours(model, images) for crop in _with_own(model, part)]
    if not found:
        return []
    far = [crop for crop in found if _is_far(model, crop)]
    ratio = np.median([crop.error_px / max(crop.error_centred_px, MIN_SIGMA_PX) for crop in found])
    if ratio <= _TYPICAL_RATIO and 2 * len(far) >= len(found) and _have_one_focal(model, found):
        return found
    typical_px = float(np.median([crop.error_centred_px for crop in found]))
    clear = {
        crop.image_id
        for crop in far
        if crop.is_observed
        and crop.error_px <= MAX_ERROR_RATIO * crop.error_centred_px
        and crop.error_centred_px >= _WORSE * typical_px
    }
    size_of = {crop.image_id: _size(model, crop.image_id) for crop in found}
    number, of_these = Counter(size_of.values()), Counter(size_of[i] for i in clear)
    return [
        crop
        for crop in found
        if crop.image_id in clear or 2 * of_these[size_of[crop.image_id]] > number[size_of[crop.image_id]]
    ]


def _size(model: pycolmap.Reconstruction, image_id: int) -> tuple[int, int]:
    camera = model.camera(model.image(image_id).camera_id)
    return camera.width, camera.height


def _neighbours(model: pycolmap.Reconstruction, images: Sequence[int]) -> Iterator[list[int]]:
    """The images in parts that see the same points, each of which is adjusted alone."""
    if len(images) <= _MOST_TOGETHER:
        yield list(images)
        return
    shared: dict[int, Counter[int]] = {i: Counter() for i in images}
    for point_id in firm_points(model, images):
        seen_by = {element.image_id for element in model.point3D(point_id).track.elements} & shared.keys()
        for i in seen_by:
            shared[i].update(seen_by - {i})
    left = set(images)
    while left:
        part = [max(left, key=lambda i: (shared[i].total(), -i))]
        near = Counter(shared[part[0]])
        left.discard(part[0])
        while len(part) < _MOST_TOGETHER and (others := near.keys() & left):
            part.append(max(others, key=lambda i: (near[i], -i)))
            left.discard(part[-1])
            near.update(shared[part[-1]])
        yield sorted(part)


def _with_own(model: pycolmap.Reconstruction, images: Sequence[int]) -> list[CroppedImage]:
    """Images with principal points of their own; none where they have too few observations."""
    points = firm_points(model, images)
    observed = num_observations(model, points, images)
    if not are_observed(tuple(images), observed):
        return []
    alone = [(i,) for i in images]
    held = adjusted(model, points, alone, focal_lengths(model, images), "centred", images)
    free = adjusted(held, points, alone, focal_lengths(held, images), "free", images)
    before, after = errors_of(held), errors_of(free)
    found = []
    for i in images:
        camera = free.camera(free.image(i).camera_id)
        where = camera.principal_point_x, camera.principal_point_y
        errors = mean_of(after, (i,)), mean_of(before, (i,))
        found.append(CroppedImage(i, camera.mean_focal_length(), where, *errors, is_observed((i,), observed)))
    return found


def _have_one_focal(model: pycolmap.Reconstruction, crops: Sequence[CroppedImage]) -> bool:
    """Whether half of the crops have the focal length of their camera: cutting does not change it.

    Images of a model that is wrong are explained better by wrong intrinsics, each by others.
    """
    by_camera: dict[int, list[float]] = {}
    for crop in crops:
        by_camera.setdefault(model.image(crop.image_id).camera_id, []).append(np.log(crop.focal_px))
    away = [abs(log - np.median(logs)) for logs in by_camera.values() for log in logs]
    return bool(np.median(away) <= np.log(SAME_FOCAL))


def _is_far(model: pycolmap.Reconstruction, crop: CroppedImage) -> bool:
    """Whether the principal point is where real lenses have none: two standard deviations from the middle."""
    camera = model.camera(model.image(crop.image_id).camera_id)
    x, y = crop.principal_point
    away = max(abs(x - camera.width / 2), abs(y - camera.height / 2))
    return away > 2 * sigma_of_principal_point(camera, is_cropped=False)
