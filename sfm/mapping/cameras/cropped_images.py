"""Images that were cut out of larger ones: their principal points lie far from their middles.

COLMAP and most others take the principal point to be in the middle. A crop elsewhere then has a pose that is
turned by as many degrees, and bends the model. Each image's own principal point is found by an adjustment, as
its own focal length is (`focal_groups`): points that other images hold show both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap

from kernels.median_deviation import median_deviation

from ..scene.camera_models import sigma_of_principal_point
from .focal_groups import SAME_FOCAL
from .group_adjustment import (
    MAX_ERROR_RATIO,
    MIN_IMAGES,
    Group,
    adjusted,
    are_observed,
    errors_of,
    firm_points,
    focal_lengths,
    groups_by,
    is_observed,
    mean_of,
    num_observations,
)
from .linearized_observations import MIN_SIGMA_PX

_MOST_TOGETHER = 100
"""Images that are adjusted together: the time grows with the cube of their number."""
_WORSE = 1.5
"""Smallest ratio of a single crop's error, with a centred principal point, to the typical image's. In a bent
model, too, a principal point of its own explains each image a little better."""


@dataclass(frozen=True, slots=True)
class CroppedImage:
    """An image with a principal point of its own."""

    image_id: int
    focal_px: float
    principal_point: tuple[float, float]
    """In px, as COLMAP has it."""
    error_px: float
    """Mean reprojection error of the image, cut at `MAX_ERROR_PX`."""
    error_shared_px: float
    """The same with the focal length and principal point that most images of its camera share, or with the
    principal point in the middle and a focal length of its own."""
    is_observed: bool
    """Whether it has the observations that determine its intrinsics."""


def cropped_images(model: pycolmap.Reconstruction, shared_by: Mapping[int, int]) -> list[CroppedImage]:
    """Images whose observations ask for a principal point of their own, by id; nothing is changed.

    All images of a camera are crops if principal points of their own explain the typical one clearly better
    than shared intrinsics, and with nearly one focal length; so are stabilized videos, and lenses that move.
    Otherwise single images are crops: those that a centred principal point explains worse than the typical
    image, and their own one clearly better. If these are most images of one size, the others of that size are
    crops, too.

    Args:
        model: registered images and points; where these are too few (`are_observed`), none is found.
        shared_by: the cameras whose images are looked at, each with the camera that all images of the same
            value were taken to share at first.
    """
    images = [
        i
        for i in sorted(model.reg_image_ids())
        if model.image(i).camera_id in shared_by
        and model.camera(model.image(i).camera_id).principal_point_idxs()
    ]
    parts = [part for near in _neighbours(model, images) if (part := _Part.of(model, near))]
    centred = {crop.image_id: crop for part in parts for crop in _beside_centred(model, part)}
    every = _of_whole_cameras(model, parts, centred, shared_by)
    found = [*every.values(), *_among_others(model, [centred[i] for i in centred if i not in every])]
    return sorted(found, key=lambda crop: crop.image_id)


@dataclass(frozen=True, slots=True)
class _Part:
    """Images that are adjusted together."""

    images: Group
    points: Sequence[int]
    """Ids of the points that they share."""
    observed: Mapping[int, int]
    """How many of these each image observes."""

    @classmethod
    def of(cls, model: pycolmap.Reconstruction, images: Sequence[int]) -> _Part | None:
        """None where they have too few observations."""
        points = firm_points(model, images)
        observed = num_observations(model, points, images)
        return cls(tuple(images), points, observed) if are_observed(tuple(images), observed) else None


def _of_whole_cameras(
    model: pycolmap.Reconstruction,
    parts: Sequence[_Part],
    centred: Mapping[int, CroppedImage],
    shared_by: Mapping[int, int],
) -> dict[int, CroppedImage]:
    """The images of cameras of which each is a crop, by id; those of cameras with few images together."""
    first_of = {i: shared_by[model.image(i).camera_id] for i in centred}
    wholes = groups_by(centred, first_of.__getitem__).values()
    many = [group for group in wholes if len(group) >= MIN_IMAGES]
    shared = {crop.image_id: crop for part in parts if many for crop in _beside_shared(model, part, first_of)}
    every: dict[int, CroppedImage] = {}
    for group in many:
        crops = [shared[i] for i in group]
        # A zoom, a focal length of each image's own, is the other explanation.
        gained = sum(crop.error_px - centred[crop.image_id].error_shared_px for crop in crops)
        if gained < 0 and _are_clear(crops) and _share_focal(crops):
            every |= {crop.image_id: crop for crop in crops}
    few = [centred[i] for group in wholes if len(group) < MIN_IMAGES for i in group]
    # A lens that is off its centre moves the principal points of all images alike, by little.
    if few and 2 * sum(_is_far(model, crop) for crop in few) >= len(few) and _are_clear(few):
        every |= {crop.image_id: crop for crop in few}
    return every


def _among_others(model: pycolmap.Reconstruction, centred: Sequence[CroppedImage]) -> list[CroppedImage]:
    """Crops among images that are none."""
    typical_px = np.median([crop.error_shared_px for crop in centred] or [0.0])
    clear = {
        crop.image_id
        for crop in centred
        if crop.is_observed
        and _is_far(model, crop)
        and _ratio(crop) <= MAX_ERROR_RATIO
        and crop.error_shared_px >= _WORSE * typical_px
    }
    size_of = {crop.image_id: _size(model, crop.image_id) for crop in centred}
    number, of_these = Counter(size_of.values()), Counter(size_of[i] for i in clear)
    return [
        crop
        for crop in centred
        if crop.image_id in clear or 2 * of_these[size_of[crop.image_id]] > number[size_of[crop.image_id]]
    ]


def _ratio(crop: CroppedImage) -> float:
    return crop.error_px / max(crop.error_shared_px, MIN_SIGMA_PX)


def _are_clear(crops: Sequence[CroppedImage]) -> bool:
    """Whether the typical one is explained clearly better as a crop."""
    return bool(np.median([_ratio(crop) for crop in crops]) <= MAX_ERROR_RATIO)


def _share_focal(crops: Sequence[CroppedImage]) -> bool:
    """Whether their focal lengths differ as little as those of one lens: a wrong model pulls them apart."""
    logs = np.log([crop.focal_px for crop in crops])
    return bool(median_deviation(logs - np.median(logs)) <= np.log(SAME_FOCAL))


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


def _beside_shared(
    model: pycolmap.Reconstruction, part: _Part, first_of: Mapping[int, int]
) -> Iterator[CroppedImage]:
    """Images with principal points of their own, and nearly one focal length for all of a camera.

    A focal length of its own would explain an image of a wrong model, too.
    """
    together = [*groups_by(part.images, first_of.__getitem__).values()]
    start = focal_lengths(model, part.images)
    shared = adjusted(model, part.points, together, start, "free", part.images)
    yield from _alone(shared, part, sigma_focal=SAME_FOCAL - 1)


def _beside_centred(model: pycolmap.Reconstruction, part: _Part) -> Iterator[CroppedImage]:
    """Images with principal points and focal lengths of their own."""
    alone = [(i,) for i in part.images]
    start = focal_lengths(model, part.images)
    centred = adjusted(model, part.points, alone, start, "centred", part.images)
    yield from _alone(centred, part)


def _alone(
    shared: pycolmap.Reconstruction, part: _Part, sigma_focal: float | None = None
) -> Iterator[CroppedImage]:
    """Images with principal points of their own, and focal lengths as `adjusted` has them."""
    alone, start = [(i,) for i in part.images], focal_lengths(shared, part.images)
    own = adjusted(shared, part.points, alone, start, "free", part.images, sigma_focal=sigma_focal)
    after, before = errors_of(own), errors_of(shared)
    for i in part.images:
        camera = own.camera(own.image(i).camera_id)
        where = camera.principal_point_x, camera.principal_point_y
        errors = mean_of(after, (i,)), mean_of(before, (i,))
        observed = is_observed((i,), part.observed)
        yield CroppedImage(i, camera.mean_focal_length(), where, *errors, observed)


def _is_far(model: pycolmap.Reconstruction, crop: CroppedImage) -> bool:
    """Whether the principal point is where real lenses have none: two standard deviations from the middle."""
    camera = model.camera(model.image(crop.image_id).camera_id)
    x, y = crop.principal_point
    away = max(abs(x - camera.width / 2), abs(y - camera.height / 2))
    return away > 2 * sigma_of_principal_point(camera, is_cropped=False)
