"""Alignment problems of which the answer is known: views of random surfaces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sfm.global_alignment.sparse.canonical import CanonicalSums, CanonicalView
from sfm.global_alignment.sparse.problem import (
    AlignedPair,
    AlignmentProblem,
    Anchored,
    Predicted,
    View,
    placed,
)

SIZE = (48, 64)
FOCAL = 60.0

Float64 = NDArray[np.float64]


def pointmap(seed: int) -> Float64:
    """(48, 64, 3): a smooth surface about 4 units ahead, as a camera with focal length 60 px sees it."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    a, b, c = chance.uniform(-0.4, 0.4, 3)
    depth = 4 + a * np.sin(x / 15) + b * np.cos(y / 12) + c * x / SIZE[1]
    return _rays() * depth[..., None]


def seen_points(count: int, seed: int, *, spread: float = 0.1) -> tuple[list[Float64], Float64, Float64]:
    """Pointmaps (48, 64, 3) of a tilted plane, with rotations from camera to world, and centres."""
    chance = np.random.default_rng(seed)
    normal = np.array([*chance.uniform(-0.3, 0.3, 2), 1.0])
    turns = Rotation.from_rotvec(chance.normal(0, spread, (count, 3))).as_matrix()
    centres = chance.normal(0, 5 * spread, (count, 3))
    return (
        [_plane(turn, centre, normal) for turn, centre in zip(turns, centres, strict=True)],
        turns,
        centres,
    )


def problem(count: int, seed: int = 0, *, spread: float = 0.1) -> tuple[AlignmentProblem, Float64, Float64]:
    """Views of a tilted plane, with rotations (N, 3, 3) from camera to world and centres (N, 3).

    Depths and predictions are exact; correspondences are rounded to whole pixels.
    """
    seen, turns, centres = seen_points(count, seed, spread=spread)
    canonical = [_canonical(points) for points in seen]
    views = tuple(
        View((SIZE[1], SIZE[0]), view.core_depth, FOCAL, (SIZE[1] / 2, SIZE[0] / 2)) for view in canonical
    )
    pairs = []
    for i, j in combinations(range(count), 2):
        here, there = _matches(seen[i], turns, centres, i, j)
        first, second = _predicted(seen[i], turns, centres, i, j), _predicted(seen[j], turns, centres, j, i)
        pairs.append(
            AlignedPair(
                i,
                j,
                Anchored.of(canonical[i], here),
                Anchored.of(canonical[j], there),
                np.full(len(here), 10.0),
                first,
                second,
                placed(canonical[i], first),
                placed(canonical[j], second),
            )
        )
    return AlignmentProblem(views, tuple(pairs)), turns, centres


def _rays() -> Float64:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    return np.stack([(x - SIZE[1] / 2) / FOCAL, (y - SIZE[0] / 2) / FOCAL, np.ones_like(x)], axis=2)


def _plane(turn: Float64, centre: Float64, normal: Float64) -> Float64:
    """(48, 64, 3) points of the plane normal . x = 5 in the camera's frame."""
    rays = _rays()
    depth = (5 - normal @ centre) / (rays @ (turn.T @ normal))
    assert (depth > 0).all()
    return rays * depth[..., None]


def _matches(
    points: Float64, turns: Float64, centres: Float64, own: int, other: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels (M, 2) of a grid of view `own`, and where view `other` sees their points."""
    x, y = np.meshgrid(np.arange(2, SIZE[1], 4), np.arange(2, SIZE[0], 4))
    grid = np.column_stack((x.reshape(-1), y.reshape(-1)))
    world = points[grid[:, 1], grid[:, 0]] @ turns[own].T + centres[own]
    moved = (world - centres[other]) @ turns[other]
    there = np.rint(FOCAL * moved[:, :2] / moved[:, 2:] + (SIZE[1] / 2, SIZE[0] / 2)).astype(np.int64)
    inside = ((there >= 0) & (there < (SIZE[1], SIZE[0]))).all(axis=1)
    return grid[inside], there[inside]


def _canonical(points: Float64) -> CanonicalView:
    sums = CanonicalSums(SIZE)
    sums.add(points, np.full(SIZE, 5.0))
    return sums.view()


def _predicted(points: Float64, turns: Float64, centres: Float64, own: int, frame: int) -> Predicted:
    world = points[::8, ::8].reshape(-1, 3) @ turns[own].T + centres[own]
    there = (world - centres[frame]) @ turns[frame]
    return Predicted(there, np.full(len(there), 5.0))


def with_known_poses(
    task: AlignmentProblem,
    turns: Float64,
    centres: Float64,
    views: Iterable[int],
    world: pycolmap.Sim3d | None = None,
) -> AlignmentProblem:
    """The problem with true poses of some views, in a world that the frame of the truth is turned into."""
    world = world or pycolmap.Sim3d()
    known = list(task.views)
    for view in views:
        place = world * pycolmap.Sim3d(1, pycolmap.Rotation3d(turns[view]), centres[view])
        pose = pycolmap.Rigid3d(place.rotation, place.translation)
        known[view] = replace(known[view], world_from_view=pose)
    return replace(task, views=tuple(known))
