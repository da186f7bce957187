"""What photos of a town of `street_grids` show: noisy keypoints, and matches of what looks alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .street_grids import Array, Town

Index = NDArray[np.int64]
WIDTH, HEIGHT = 1200, 900
NOISE_PX = 0.6
_DETECTED, _MATCHED = 0.6, 0.8
_BACKGROUND = 0.4  # keypoints on nothing that another photo shows, as a share of the others
_MAX_DISTANCE, _MIN_DISTANCE = 35.0, 0.8
_MIN_INCIDENCE = 0.2  # cosine; a descriptor of a more slanted place is another one
_MAX_TURN = math.cos(math.radians(40))
_MAX_ZOOM = 2.0
_MIN_MATCHES = 25
_PAIRS_PER_PHOTO = 12
_LOOK_ALIKES_PER_PHOTO = 4
_CANDIDATES = 40


@dataclass(frozen=True, slots=True, eq=False)
class GridPhoto:
    """One photo: its pose, its keypoints, and what the first of them show."""

    rotation: Array
    """(3, 3) of cam_from_world."""
    translation: Array
    keypoints: Array
    """(K, 2) px, noisy; those past the observations are background."""
    points: Index
    """(V,) the points seen, ascending by appearance."""
    appearance: Index
    """(V,) ascending, none twice."""
    look: Array
    """(V, 3) direction from the point to the camera, in the point's own frame."""
    distance: Array
    """(V,)."""
    order: Index
    """(V,) row of the keypoint of each observation."""


def pose(centre: Array, heading: float, pitch: float, roll: float) -> Array:
    """Rotation of cam_from_world, x right, y down, z forward; `pitch` upwards, `roll` clockwise, radians."""
    c, s = math.cos(heading), math.sin(heading)
    level = np.array([[s, -c, 0.0], [0.0, 0.0, -1.0], [c, s, 0.0]])
    up = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
    rolled = np.array([[math.cos(roll), math.sin(roll), 0], [-math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    return np.asarray(rolled @ up @ level, dtype=np.float64)


def take(
    town: Town, centre: Array, rotation: Array, focal_px: float, k1: float, rng: np.random.Generator
) -> GridPhoto:
    """Project what can be seen through a SIMPLE_RADIAL camera, keep what a detector finds, add noise."""
    points = town.points
    away = points.position - centre
    distance = np.linalg.norm(away, axis=1)
    near = np.flatnonzero(
        (distance < _MAX_DISTANCE) & (distance > _MIN_DISTANCE) & (away @ rotation[2] > 0.5)
    )
    camera = away[near] @ rotation.T
    xy = camera[:, :2] / camera[:, 2:]
    pixels = xy * (1 + k1 * np.sum(xy**2, axis=1, keepdims=True)) * focal_px + [WIDTH / 2, HEIGHT / 2]
    inside = np.all((pixels > 2) & (pixels < [WIDTH - 2, HEIGHT - 2]), axis=1) & (np.abs(xy[:, 0]) < 1.5)
    near, pixels = near[inside], pixels[inside]
    look = np.einsum("nij,nj->ni", points.frame[near], -away[near] / distance[near, None])
    seen = ~points.on_facade[near] | (look[:, 1] > _MIN_INCIDENCE)
    near, pixels, look = near[seen], pixels[seen], look[seen]
    clear = _in_sight(town.houses, centre[:2], points.position[near, :2]) & (
        rng.random(len(near)) < _DETECTED
    )
    near, pixels, look = near[clear], pixels[clear], look[clear]
    _, kept, count = np.unique(points.appearance[near], return_index=True, return_counts=True)
    kept = kept[count == 1]  # a look-alike in the same photo fails the ratio test
    near, pixels, look = near[kept], pixels[kept], look[kept]
    background = rng.uniform((0, 0), (WIDTH, HEIGHT), (math.ceil(_BACKGROUND * len(near)), 2))
    keypoints = np.vstack([pixels + rng.normal(scale=NOISE_PX, size=pixels.shape), background])
    order = rng.permutation(len(keypoints))
    shuffled = np.empty_like(keypoints)
    shuffled[order] = keypoints
    return GridPhoto(
        rotation,
        -rotation @ centre,
        shuffled,
        near,
        points.appearance[near],
        look,
        distance[near],
        order[: len(near)],
    )


def alike(a: GridPhoto, b: GridPhoto) -> tuple[Index, Index]:
    """Observations of two photos that a matcher takes for the same: same look from a like direction."""
    _, at, to = np.intersect1d(a.appearance, b.appearance, assume_unique=True, return_indices=True)
    zoom = a.distance[at] / b.distance[to]
    found = np.einsum("ni,ni->n", a.look[at], b.look[to]) > _MAX_TURN
    found &= (zoom < _MAX_ZOOM) & (zoom > 1 / _MAX_ZOOM)
    return at[found], to[found]


def choose_pairs(photos: Sequence[GridPhoto]) -> list[tuple[int, int]]:
    """Each photo with those that it has most matches with: the degree does not grow with their number.

    A dozen of those that show the same points, and some of those that only look alike, as retrieval would
    propose them.
    """
    same = _shared([photo.points for photo in photos])
    looks = _shared([photo.appearance for photo in photos])
    only_look = looks - looks.multiply(same > 0)
    strength: dict[tuple[int, int], int] = {}
    pairs: set[tuple[int, int]] = set()
    for shared, count in ((same, _PAIRS_PER_PHOTO), (only_look, _LOOK_ALIKES_PER_PHOTO)):
        for i in range(len(photos)):
            row = shared.getrow(i)
            best = row.indices[np.argsort(-row.data, kind="stable")][:_CANDIDATES]
            keys = [(min(i, int(j)), max(i, int(j))) for j in best if j != i]
            for a, b in keys:
                if (a, b) not in strength:
                    strength[a, b] = len(alike(photos[a], photos[b])[0])
            found = [key for key in keys if strength[key] >= _MIN_MATCHES]
            pairs.update(sorted(found, key=lambda key: (-strength[key], key))[:count])
    return sorted(pairs)


def _shared(seen: Sequence[Index]) -> csr_matrix:
    """How many things two photos show both, (N, N)."""
    rows = np.repeat(np.arange(len(seen)), [len(part) for part in seen])
    columns = np.concatenate(seen)
    matrix = csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(seen), columns.max() + 1))
    product = csr_matrix(matrix @ matrix.T)
    product.eliminate_zeros()
    return product


def raw_matches(
    a: GridPhoto, b: GridPhoto, wrong: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint32], int]:
    """Matches of two photos as rows of keypoints (M, 2), a share `wrong`, and how many are of one point."""
    at, to = alike(a, b)
    kept = rng.random(len(at)) < _MATCHED
    at, to = at[kept], to[kept]
    good = np.column_stack([a.order[at], b.order[to]])
    count = round(len(good) * wrong / (1 - wrong))
    left = [np.setdiff1d(np.arange(len(p.keypoints)), good[:, k]) for k, p in enumerate((a, b))]
    count = min(count, *(len(rows) for rows in left))
    bad = np.column_stack([rng.choice(rows, count, replace=False) for rows in left])
    matches = rng.permutation(np.vstack([good, bad]))
    return matches.astype(np.uint32), int(np.sum(a.points[at] == b.points[to]))


def _in_sight(houses: Array, eye: Array, targets: Array) -> NDArray[np.bool_]:
    """Whether no house is between the eye and each target, (T,), by slabs in plan."""
    reach = targets - eye
    reach = np.where(np.abs(reach) < 1e-9, 1e-9, reach)[:, None, :]
    low = (houses[None, :, :2] + 0.02 - eye) / reach
    high = (houses[None, :, 2:] - 0.02 - eye) / reach
    enter = np.minimum(low, high).max(axis=2)
    leave = np.maximum(low, high).min(axis=2)
    blocked = (enter < leave) & (leave > 0) & (enter < 1)
    return np.asarray(~blocked.any(axis=1))
