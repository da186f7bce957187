"""Which registered images probably have a wrong or an uncertain pose, and the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from sfm.types import PhotoQuality

from .photo_quality import ModelQuality

_FEW_POINTS = 30
_SMALL_ANGLE_DEG = 1.5
_FEW_POINTS_OF_ONE = 60  # of an image with one neighbour
_MIN_PHOTOS = 4  # in smaller models every image has one or two neighbours
_UNSURE_PLACE = 0.01  # of the extent
_UNSURE_TURN_DEG = 1.0
_UNUSUAL = 5.0  # times the model's median


def doubts(quality: ModelQuality, num_observations: Mapping[str, int]) -> Mapping[str, str]:
    """Why images of a model probably have a wrong or an uncertain pose, in words; the others are left out.

    Args:
        quality: figures of the model.
        num_observations: points that each image sees.
    """
    usual, reasons = _Usual.of(quality), quality.probabilities.reasons
    found = {
        name: "; ".join([*filter(None, [reasons.get(name)]), *_reasons(photo, num_observations[name], usual)])
        for name, photo in quality.photos.items()
    }
    return {name: why for name, why in found.items() if why}


@dataclass(frozen=True, slots=True)
class _Usual:
    """What is usual in a model."""

    num_photos: int
    extent: float
    sigma_position: float
    sigma_rotation_deg: float

    @classmethod
    def of(cls, quality: ModelQuality) -> _Usual:
        photos = quality.photos.values()
        place = [p.sigma_position for p in photos if p.sigma_position is not None]
        turn = [p.sigma_rotation_deg for p in photos if p.sigma_rotation_deg is not None]
        return cls(
            len(photos),
            quality.extent,
            float(np.median(place)) if place else 0.0,
            float(np.median(turn)) if turn else 0.0,
        )


def _reasons(photo: PhotoQuality, num_points: int, usual: _Usual) -> Iterator[str]:
    angle = photo.tri_angle_deg or 0.0
    if num_points < _FEW_POINTS and angle < _SMALL_ANGLE_DEG:
        yield f"only {num_points} points hold it, at angles of {angle:.1f}°"
    elif photo.num_neighbours <= 1 and num_points < _FEW_POINTS_OF_ONE and usual.num_photos >= _MIN_PHOTOS:
        agree = "one other photo agrees" if photo.num_neighbours else "no other photo agrees"
        yield f"only {num_points} points hold it, and {agree} with its pose"
    place, turn = photo.sigma_position or 0.0, photo.sigma_rotation_deg or 0.0
    if place > max(_UNSURE_PLACE * usual.extent, _UNUSUAL * usual.sigma_position):
        times = place / max(usual.sigma_position, 1e-12)
        share = 100 * place / max(usual.extent, 1e-12)
        yield f"its position is uncertain by {share:.0f} % of the model's extent, {times:.0f} times the usual"
    if turn > max(_UNSURE_TURN_DEG, _UNUSUAL * usual.sigma_rotation_deg):
        times = turn / max(usual.sigma_rotation_deg, 1e-12)
        yield f"its rotation is uncertain by {turn:.1f}°, {times:.0f} times the usual"
