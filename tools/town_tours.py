"""The photographer's ways through the towns of `synthetic.towns`."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from synthetic import Pose, Scene, bridge, bridged_centre, crossings, district, facades, mouth, tour

_SMALL_TOUR = 120
"""Fewer photos than this get two blocks instead of four: neighbours must overlap."""
_EIGHT = ((1, 0), (1, 1), (0, 1), (0, 0), (1, 0), (1, 1), (2, 1), (2, 0), (1, 0))
_FOUR_LOOPS = (
    *_EIGHT, (1, 1), (1, 2), (0, 2), (0, 1), (1, 1), (1, 2), (2, 2), (2, 1), (1, 1), (1, 0),
)  # fmt: skip
"""Crossings passed; streets that are walked twice are walked in the same direction."""
_AT_HOUSES = {"glance_m": 1.0, "sweep_m": 5.0}
"""Where houses look alike they are looked at, on both sides in turn."""
_BRIDGE_COLUMNS = 2
_ALLEY_SHARE = 8
"""One photo in so many is taken in the alley."""


def district_views(
    views: int, seed: int, *, look_alikes: Literal["none", "houses", "terraces"]
) -> list[tuple[Scene, Pose]]:
    """Through all streets of a grid, several loops in one tour, which ends where it began."""
    rows = 1 if views < _SMALL_TOUR else 2
    way = _EIGHT if rows == 1 else _FOUR_LOOPS
    path = _corners(crossings(2, rows), way)
    if look_alikes == "none":
        place, looks = district(seed, columns=2, rows=rows), {}
    else:
        place, looks = facades(seed, columns=2, rows=rows, terraces=look_alikes == "terraces"), _AT_HOUSES
    at = _evenly(views, 0.0, _length(path))
    return [(place, pose) for pose in tour(at, path, seed=seed, **looks)]


def bridge_views(views: int, seed: int) -> list[tuple[Scene, Pose]]:
    """A figure of eight through one district, the alley, a figure of eight through the other."""
    place = bridge(seed, columns=_BRIDGE_COLUMNS, rows=1)
    gate = mouth()
    at = crossings(_BRIDGE_COLUMNS, 1, bridged_centre(_BRIDGE_COLUMNS))
    turn = np.array([at[2, 0, 0], gate[1]])  # in the street, before the alley
    west = np.vstack(
        [turn, _corners(at, ((2, 0), (1, 0), (1, 1), (0, 1), (0, 0), (1, 0), (1, 1), (2, 1))), turn]
    )
    alley = np.array([turn, [0.0, gate[1]], [0.0, -gate[1]], -turn])
    way = np.vstack([west, alley[1:], -west[-2::-1]])
    ends = np.cumsum([0.0, _length(west), _length(alley), _length(west)])
    in_alley = max(6, views // _ALLEY_SHARE)
    in_west = (views - in_alley) // 2
    poses = [
        *tour(_evenly(in_west, *ends[0:2]), way, seed=seed, name="west"),
        *tour(_evenly(in_alley, *ends[1:3]), way, seed=seed, name="alley", glance_m=0.5, sway_m=0.2),
        *tour(_evenly(views - in_alley - in_west, *ends[2:4]), way, seed=seed, name="east"),
    ]
    return [(place, pose) for pose in poses]


def _corners(at: np.ndarray, way: Sequence[tuple[int, int]]) -> np.ndarray:
    return np.array([at[i, j] for i, j in way])


def _length(path: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def _evenly(count: int, start_m: float, end_m: float) -> np.ndarray:
    """So many places from the start to a step before the end."""
    return np.linspace(start_m, end_m, count, endpoint=False)
