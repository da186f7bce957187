"""Towns of streets between blocks of houses: a district, two of them with a bridge, one with look-alikes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from .ground import cobbles
from .houses import house_row, twin_front
from .layouts import Scene
from .lighting import bake_sun
from .quads import Array, Quad, Texture, random_for
from .words import SIGNS, spelled

PITCH_M = (18.0, 16.0)
"""Distance between the middle lines of two streets along x and y."""
LANE_M = 7.0
HOUSE_M = 6.5
ALLEY_M = 4.0
ALLEY_LEG_M = 7.0
"""Of each of the three legs of the alley between two districts, measured along its middle line."""
_MIN_TWIN_ROW_M = 8.5
_MIN_TERRACE_ROW_M = 10.9
_TWINS = 4
_PLACES_PER_TWIN = 3

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row of houses along a street, which lies to the right of the way from `start` to `end`."""

    name: str
    start: Array
    end: Array
    relief: bool = True
    """Awnings and balconies."""

    @property
    def length_m(self) -> float:
        """From end to end."""
        return float(np.linalg.norm(self.end - self.start))

    @property
    def num_houses(self) -> int:
        """Two at least."""
        return max(2, round(self.length_m / HOUSE_M))


def crossings(columns: int, rows: int, centre: Point = (0.0, 0.0)) -> Array:
    """Where the streets of a grid of `columns` x `rows` blocks meet, (columns + 1, rows + 1, 2), metres."""
    x = (np.arange(columns + 1) - columns / 2) * PITCH_M[0] + centre[0]
    y = (np.arange(rows + 1) - rows / 2) * PITCH_M[1] + centre[1]
    return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)


@lru_cache(maxsize=2)
def district(seed: int = 0, *, columns: int = 2, rows: int = 2) -> Scene:
    """Streets round a grid of blocks; no two houses are alike."""
    ring, blocks = _grid("district", columns, rows, (0.0, 0.0))
    return _built(seed, [*ring, *blocks], [_ground(seed, "ground", columns, rows, (0.0, 0.0))], {})


@lru_cache(maxsize=2)
def facades(seed: int = 0, *, columns: int = 2, rows: int = 2, terraces: bool = False) -> Scene:
    """The streets of a district in which a few houses have the very same front as others elsewhere.

    Two houses with one front never stand in one row. With `terraces` always two neighbours have such fronts:
    a view may show nothing but what is elsewhere, too.
    """
    ring, blocks = _grid("facades", columns, rows, (0.0, 0.0))
    houses = [*ring, *blocks]
    long = [row for row in houses if row.length_m >= (_MIN_TERRACE_ROW_M if terraces else _MIN_TWIN_ROW_M)]
    chance = random_for(seed, "twins")
    order = [long[i] for i in chance.permutation(len(long))]
    twins: dict[str, dict[int, Texture]] = {}
    width = 2 if terraces else 1
    for number in range(min(_TWINS, len(order) // 2)):
        fronts = [twin_front(seed, width * number + i) for i in range(width)]
        for row in order[number :: min(_TWINS, len(order) // 2)][:_PLACES_PER_TWIN]:
            first = int(chance.integers(row.num_houses - width + 1))
            twins[row.name] = dict(enumerate(fronts, start=first))
    return _built(seed, houses, [_ground(seed, "ground", columns, rows, (0.0, 0.0))], twins)


def mouth() -> Array:
    """Where the alley leaves the street of the western district, (2,); the other mouth lies opposite it."""
    return np.array([-1.5 * ALLEY_LEG_M, ALLEY_LEG_M / 2])


def bridged_centre(columns: int) -> Point:
    """Centre of the western district of `bridge`; the eastern one lies opposite it."""
    return -1.5 * ALLEY_LEG_M - (columns * PITCH_M[0] + LANE_M) / 2, 0.0


@lru_cache(maxsize=2)
def bridge(seed: int = 0, *, columns: int = 2, rows: int = 1) -> Scene:
    """Two districts that nothing joins but a narrow alley with two bends: no view spans it.

    The alley runs from `mouth()` in three legs to the point opposite it.
    """
    west, west_blocks = _grid("west", columns, rows, bridged_centre(columns))
    x, y = bridged_centre(columns)
    east, east_blocks = _grid("east", columns, rows, (-x, -y))
    half, leg = ALLEY_M / 2, ALLEY_LEG_M
    left = [(-1.5 * leg, leg / 2 + half), (half, leg / 2 + half), (half, half - leg / 2)]
    left += [(1.5 * leg, half - leg / 2)]
    right = [(-a, -b) for a, b in left]  # the alley is its own image turned by a half
    # Both rings are clockwise: the western one is cut open on its eastern side, the eastern one opposite.
    houses = [*_opened("west", west, 1, left[0], right[-1]), *_opened("east", east, 3, right[0], left[-1])]
    houses += [*_along("left", left), *_along("right", right), *west_blocks, *east_blocks]
    grounds = [
        _ground(seed, "west ground", columns, rows, (x, y)),
        _ground(seed, "east ground", columns, rows, (-x, -y)),
        cobbles(seed, (3 * leg, leg + ALLEY_M), name="alley ground"),
    ]
    return _built(seed, houses, grounds, {})


def _grid(name: str, columns: int, rows: int, centre: Point) -> tuple[list[Row], list[Row]]:
    """The rows round the outside, clockwise from the north-west, and those of the blocks."""
    at = crossings(columns, rows, centre)
    lane = np.array([LANE_M, LANE_M]) / 2
    ring = _rectangle(f"{name} ring", at[0, 0] - lane, at[-1, -1] + lane)
    blocks: list[Row] = []
    for i in range(columns):
        for j in range(rows):
            around = _rectangle(f"{name} block {i} {j}", at[i, j] + lane, at[i + 1, j + 1] - lane)
            blocks += [Row(row.name, row.end, row.start) for row in around]
    return ring, blocks


def _rectangle(name: str, low: Array, high: Array) -> list[Row]:
    corner = np.array([[low[0], high[1]], high, [high[0], low[1]], low])
    return [Row(f"{name} {side}", corner[side], corner[(side + 1) % 4]) for side in range(4)]


def _opened(name: str, ring: Sequence[Row], side: int, first: Point, second: Point) -> Iterator[Row]:
    """The ring with one side ending at `first` and going on at `second`."""
    for number, row in enumerate(ring):
        if number != side:
            yield row
        else:
            yield Row(f"{name} before", row.start, np.array(first))
            yield Row(f"{name} after", np.array(second), row.end)


def _along(name: str, corners: Sequence[Point]) -> Iterator[Row]:
    for number, (start, end) in enumerate(pairwise(corners)):
        yield Row(f"{name} {number}", np.array(start), np.array(end), relief=False)


def _ground(seed: int, name: str, columns: int, rows: int, centre: Point) -> Quad:
    size = columns * PITCH_M[0] + LANE_M, rows * PITCH_M[1] + LANE_M
    return cobbles(seed, size, name=name, centre=centre)


def _built(
    seed: int, rows: Sequence[Row], grounds: Sequence[Quad], twins: dict[str, dict[int, Texture]]
) -> Scene:
    quads = [*grounds]
    signs = _signs(seed)
    for row in rows:
        names = [next(signs) for _ in range(row.num_houses)]
        front = twins.get(row.name)
        quads += house_row(seed, row.name, row.start, row.end, names, twins=front, relief=row.relief)
    corners = np.array([point for row in rows for point in (row.start, row.end)])
    half_x, half_y = np.abs(corners).max(axis=0)
    return Scene(tuple(bake_sun(quads, azimuth_deg=225, elevation_deg=60)), (float(half_x), float(half_y)))


def _signs(seed: int) -> Iterator[str]:
    """Words without end, each spelling once: equal signs would be matched."""
    for shift in range(26):
        words = spelled(SIGNS, seed + shift)
        yield from (str(word) for word in random_for(seed, f"signs {shift}").permutation(words))
