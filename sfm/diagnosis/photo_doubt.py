"""Which registered images probably have a wrong pose, and the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

import numpy as np

from retrieval import Pair
from sfm.types import PhotoQuality

from .photo_quality import ModelQuality, contradicted_of, firm_parts

_MOSTLY = 0.5
_FEW_POINTS = 30
_SMALL_ANGLE_DEG = 1.5
_FEW_POINTS_OF_ONE = 60  # of an image with one neighbour
_MIN_PHOTOS = 4  # in smaller models every image has one or two neighbours
_UNSURE_PLACE = 0.01  # of the extent
_UNSURE_TURN_DEG = 1.0
_UNUSUAL = 5.0  # times the model's median


def doubts(
    quality: ModelQuality, num_observations: Mapping[str, int], deferred: Set[Pair]
) -> Mapping[str, str]:
    """Why images of a model probably have a wrong pose, in words; those without such evidence are left out.

    A model that is wrong as a whole contradicts no pair, so that its images are not named. Of two parts with
    inconsistent poses, the images of the smaller one are named.

    Args:
        quality: figures of the model.
        num_observations: points that each image sees.
        deferred: pairs that may be inconsistent.
    """
    contradicted, apart = _contradicted(quality, deferred), _apart(quality, deferred)
    misplaced = _misplaced(quality)
    usual = _Usual.of(quality)
    found = {
        name: "; ".join(
            [
                *(why[name] for why in (contradicted, apart, misplaced) if name in why),
                *_reasons(photo, num_observations[name], usual),
            ]
        )
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


def _contradicted(quality: ModelQuality, deferred: Set[Pair]) -> Mapping[str, str]:
    """Images most of whose matches contradict the poses, and how many.

    A pair contradicts both of its images, though mostly only the worse one is wrong. So images are named one
    by one, the worst first, and the pairs of a named image no longer count against others.
    """
    pairs_of: dict[str, set[Pair]] = {name: set() for name in quality.photos}
    for pair in quality.errors_px:
        for name in pair:
            pairs_of[name].add(pair)

    def share(name: str) -> float:
        return contradicted_of(sorted(pairs_of[name]), quality.errors_px, quality.inliers, deferred)

    shares = {name: share(name) for name in quality.photos}
    why: dict[str, str] = {}
    while shares:
        worst = max(sorted(shares), key=shares.__getitem__)
        against = shares.pop(worst)
        if against <= _MOSTLY:
            break
        why[worst] = f"{100 * against:.0f} % of its matches with its model's other photos contradict its pose"
        for pair in pairs_of[worst]:
            other = pair.a if pair.b == worst else pair.b
            pairs_of[other].discard(pair)
            if other in shares:
                shares[other] = share(other)
    return why


def _apart(quality: ModelQuality, deferred: Set[Pair]) -> Mapping[str, str]:
    """Images without firm pairs to the largest part of their model, and what connects them instead."""
    parts, by_any_pair = firm_parts(quality, deferred), firm_parts(quality, frozenset())
    why = {}
    for part in parts[1:]:
        linked = any(part | parts[0] <= whole for whole in by_any_pair)
        for name in part:
            why[name] = (
                "ambiguous: only pairs that may be look-alikes' link it with the rest of its model"
                if linked
                else "no pair that agrees with the poses links it with the rest of its model"
            )
    return why


def _misplaced(quality: ModelQuality) -> Mapping[str, str]:
    """Images of misplaced parts."""
    why: dict[str, str] = {}
    for part in quality.misplaced:
        against = f"{part.place.num_inconsistent} of {part.place.num_tried} pairs that should match do not"
        for name in part.names:
            why.setdefault(name, f"with {len(part.names) - 1} photos around it, it stands where {against}")
    return why
