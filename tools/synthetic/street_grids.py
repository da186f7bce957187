"""Towns of blocks with streets between them, as points and walls only, and a walk round all blocks.

Metres, x east, y north, z up. Every block is walked round once, neighbours in opposite senses, so that a
street between two blocks is walked twice in the same direction: there the walk closes its loops.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PITCH = 22.0
"""From the middle of a street to that of the next."""
STREET = 10.0
HEIGHT = 8.0
_ALLEY_LENGTH, _ALLEY_WIDTH = 18.0, 5.0
_RING = 4.0  # thickness of the houses round the town
_VIEWS_PER_BLOCK = 50
_POINTS_PER_M2 = 5.0
_CLUTTER_PER_M2 = 0.5
_RELIEF_SHARE, _RELIEF = 0.2, 0.5
_ROUNDING = 3.5  # how far from a corner the walk begins to turn
_METRES_PER_TURN = 5.0 / math.radians(60)  # a photographer who turns takes more photos


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """What can be seen: P points on facades, on the ground and on what stands about."""

    position: Array
    """(P, 3)."""
    frame: Array
    """(P, 3, 3) rows along the facade, out of it, up; of a point on no facade the axes of the world."""
    on_facade: NDArray[np.bool_]
    """(P,)."""
    appearance: NDArray[np.int64]
    """(P,) equal for points that look the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Town:
    """Walls, points and the way through the streets."""

    houses: Array
    """(H, 4) west, south, east, north; nothing is seen through them."""
    points: Points
    path: Array
    """(M, 2) densely sampled."""


@dataclass(frozen=True, slots=True)
class _District:
    west: float
    columns: int
    rows: int

    def at(self, column: int, row: int) -> tuple[float, float]:
        return self.west + column * PITCH, row * PITCH

    def block(self, column: int, row: int) -> tuple[float, float, float, float]:
        (west, south), (east, north), half = self.at(column, row), self.at(column + 1, row + 1), STREET / 2
        return west + half, south + half, east - half, north - half


def build_town(views: int, *, alike: bool, bridge: bool, rng: np.random.Generator) -> Town:
    """A town whose streets are filled by so many views.

    Args:
        views: photos that will be taken; about 50 a block.
        alike: two or more pairs of facades look the same.
        bridge: two districts that one alley joins.
        rng: of points and of the choice of facades.
    """
    blocks = max(2, round(views / _VIEWS_PER_BLOCK))
    columns = math.ceil(math.sqrt(1.2 * blocks))
    rows = max(1, round(blocks / columns))
    districts = [_District(0.0, columns, rows)]
    if bridge:
        first = columns // 2
        second = first * PITCH + STREET + _ALLEY_LENGTH
        districts = [_District(0.0, first, rows), _District(second, columns - first, rows)]
    blocks_at = [d.block(i, j) for d in districts for i in range(d.columns) for j in range(d.rows)]
    houses = np.array([*blocks_at, *_gap(districts), *_ring(districts)])
    twins = _twins(districts, rng) if alike else {}
    return Town(houses, _points(houses, districts, twins, rng), _path(districts))


def camera_places(town: Town, views: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Where photos are taken and where they look: centres (N, 3) and headings (N,) in radians.

    The photographer walks in lanes, glances to both sides, and takes more photos where the way turns.
    """
    steps = np.diff(town.path, axis=0)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(steps, axis=1))])
    heading = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    heading = np.append(heading, heading[-1])
    turned = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(heading)))])
    effort = length + _METRES_PER_TURN * turned
    where = np.interp(np.linspace(0.0, effort[-1], views), effort, length)
    xy = np.column_stack([np.interp(where, length, town.path[:, k]) for k in (0, 1)])
    along = np.interp(where, length, heading)
    lane = 1.0 * np.sin(2 * np.pi * where / 61.0) + rng.normal(scale=0.2, size=views)
    lane = np.clip(lane, -1.2, 1.2)
    xy += lane[:, None] * np.column_stack([-np.sin(along), np.cos(along)])
    glance = math.radians(15) * np.sin(2 * np.pi * where / 23.0) + rng.normal(scale=0.05, size=views)
    height = 1.6 + rng.normal(scale=0.05, size=views)
    return np.column_stack([xy, height]), along + glance


def _gap(districts: Sequence[_District]) -> list[tuple[float, float, float, float]]:
    """Houses between two districts, on both sides of the alley."""
    if len(districts) == 1:
        return []
    (x0, _), (x1, _) = districts[0].at(districts[0].columns, 0), districts[1].at(0, 0)
    half, wide = STREET / 2, _ALLEY_WIDTH / 2
    (_, middle), (_, top) = districts[0].at(0, _alley_row(districts)), districts[0].at(0, districts[0].rows)
    return [
        (x0 + half, -half, x1 - half, middle - wide),
        (x0 + half, middle + wide, x1 - half, top + half),
    ]


def _alley_row(districts: Sequence[_District]) -> int:
    return (districts[0].rows + 1) // 2


def _ring(districts: Sequence[_District]) -> list[tuple[float, float, float, float]]:
    """Houses all round the town."""
    west, south, east, north = _bounds(districts)
    return [
        (west - _RING, south - _RING, east + _RING, south),
        (west - _RING, north, east + _RING, north + _RING),
        (west - _RING, south, west, north),
        (east, south, east + _RING, north),
    ]


def _bounds(districts: Sequence[_District]) -> tuple[float, float, float, float]:
    last = districts[-1]
    east, north = last.at(last.columns, last.rows)
    return -STREET / 2, -STREET / 2, east + STREET / 2, north + STREET / 2


def _sides(house: Array) -> list[tuple[Array, Array, Array]]:
    """Start, end and outward normal of each wall, anticlockwise."""
    west, south, east, north = house
    corners = np.array([[west, south], [east, south], [east, north], [west, north]])
    found = []
    for k in range(4):
        start, end = corners[k], corners[(k + 1) % 4]
        along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
        found.append((start, end, np.array([along[1], -along[0]])))
    return found


def _twins(
    districts: Sequence[_District], rng: np.random.Generator
) -> dict[tuple[int, int], tuple[int, int]]:
    """Facades (house, side) that copy another one, both of blocks that are walked in the same sense.

    In a town of two blocks each has four sides that look the same.
    """
    blocks = [
        (d, i, j)
        for d in range(len(districts))
        for i in range(districts[d].columns)
        for j in range(districts[d].rows)
    ]
    same = [n for n, (d, i, j) in enumerate(blocks) if _anticlockwise(d, i, j)]
    count = max(2, len(same) // 2)
    if len(same) == 1:
        return {(n, k): (n, 0) for n in range(len(blocks)) for k in (1, 2, 3)}
    sides = [(n, k) for n in same for k in range(4)]
    twins: dict[tuple[int, int], tuple[int, int]] = {}
    used: set[tuple[int, int]] = set()
    while len(twins) < count:
        a, b = (sides[int(n)] for n in rng.choice(len(sides), 2, replace=False))
        if a[0] != b[0] and not {a, b} & used:
            twins[max(a, b)] = min(a, b)
            used |= {a, b}
    return twins


def _points(
    houses: Array,
    districts: Sequence[_District],
    twins: dict[tuple[int, int], tuple[int, int]],
    rng: np.random.Generator,
) -> Points:
    west, south, east, north = _bounds(districts)
    on_wall: dict[tuple[int, int], Array] = {}
    first: dict[tuple[int, int], int] = {}
    positions, frames, looks = [], [], []
    total = 0
    for n, house in enumerate(houses):
        for k, (start, end, normal) in enumerate(_sides(house)):
            outside = (start + end) / 2 + 0.5 * normal
            if not (west < outside[0] < east and south < outside[1] < north):
                continue
            length = float(np.linalg.norm(end - start))
            source = twins.get((n, k), (n, k))
            if source == (n, k):
                on_wall[n, k], first[n, k] = _wall(length, rng), total
            local = on_wall[source]
            along = (end - start) / length
            flat = start + local[:, :1] * along + local[:, 1:2] * normal
            positions.append(np.column_stack([flat, local[:, 2]]))
            frame = np.array([[*along, 0.0], [*normal, 0.0], [0.0, 0.0, 1.0]])
            frames.append(np.broadcast_to(frame, (len(local), 3, 3)))
            looks.append(first[source] + np.arange(len(local)))
            total += len(local)
    clutter = _clutter(houses, _bounds(districts), rng)
    facade = np.arange(total + len(clutter)) < total
    return Points(
        np.vstack([*positions, clutter]),
        np.concatenate([*frames, np.broadcast_to(np.eye(3), (len(clutter), 3, 3))]),
        facade,
        np.concatenate([*looks, total + np.arange(len(clutter))]),
    )


def _wall(length: float, rng: np.random.Generator) -> Array:
    """Points of a wall (P, 3): along it, out of it, up."""
    count = round(length * HEIGHT * _POINTS_PER_M2)
    relief = np.where(rng.random(count) < _RELIEF_SHARE, rng.uniform(0, _RELIEF, count), 0.0)
    return np.column_stack([rng.uniform(0, length, count), relief, rng.uniform(0, HEIGHT, count)])


def _clutter(houses: Array, bounds: tuple[float, float, float, float], rng: np.random.Generator) -> Array:
    """Points in the streets, half of them on the ground."""
    west, south, east, north = bounds
    count = round((east - west) * (north - south) * _CLUTTER_PER_M2)
    xy = rng.uniform((west, south), (east, north), (count, 2))
    height = np.where(rng.random(count) < 0.5, 0.0, rng.uniform(0, 1.8, count))
    x, y = xy[:, :1], xy[:, 1:]
    inside = (x > houses[:, 0]) & (x < houses[:, 2]) & (y > houses[:, 1]) & (y < houses[:, 3])
    return np.column_stack([xy, height])[~inside.any(axis=1)]


def _path(districts: Sequence[_District]) -> Array:
    """The walk as a curve with rounded corners, a point every 0.1 m."""
    row = _alley_row(districts)
    corners: list[tuple[float, float]] = []
    for d, district in enumerate(districts):
        walked = _round_blocks(d, district)
        if d > 0:
            walked = [*_way(walked[0], (0, row))[::-1], *walked[1:]]
        if d + 1 < len(districts):
            walked = [*walked, *_way(walked[-1], (district.columns, row))[1:]]
        corners += [district.at(i, j) for i, j in walked]
    return _rounded(np.array(corners))


def _round_blocks(d: int, district: _District) -> list[tuple[int, int]]:
    """Crossings passed: round every block, row by row there and back."""
    order = [
        (i if j % 2 == 0 else district.columns - 1 - i, j)
        for j in range(district.rows)
        for i in range(district.columns)
    ]
    walked = [order[0]]
    for n, block in enumerate(order):
        loop = [(block[0] + a, block[1] + b) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))]
        if not _anticlockwise(d, *block):
            loop.reverse()
        at = loop.index(walked[-1])
        walked += [loop[(at + k) % 4] for k in range(1, 5)]
        if n + 1 < len(order):
            (i, j), k = order[n + 1], 0
            while not (i <= walked[-1][0] <= i + 1 and j <= walked[-1][1] <= j + 1):
                k += 1
                walked.append(loop[(at + k) % 4])
    return walked


def _way(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Crossings from one to another, along a row first."""
    columns = range(start[0], end[0], 1 if end[0] > start[0] else -1)
    rows = range(start[1], end[1], 1 if end[1] > start[1] else -1)
    return [*((i, start[1]) for i in columns), *((end[0], j) for j in rows), end]


def _anticlockwise(d: int, column: int, row: int) -> bool:
    return (d + column + row) % 2 == 0


def _rounded(corners: Array) -> Array:
    distance = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    at = np.arange(0.0, distance[-1], 0.1)
    dense = np.column_stack([np.interp(at, distance, corners[:, k]) for k in (0, 1)])
    width = int(3 * _ROUNDING / 0.1)
    kernel = np.exp(-0.5 * (np.arange(-width, width + 1) * 0.1 / _ROUNDING) ** 2)
    padded = np.pad(dense, ((width, width), (0, 0)), mode="edge")
    return np.column_stack([np.convolve(padded[:, k], kernel / kernel.sum(), "valid") for k in (0, 1)])
