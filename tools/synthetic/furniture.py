"""Things that stand in the square."""

from collections.abc import Sequence

import numpy as np

from .facades import board
from .quads import Array, Quad, Texture, box, prism, wall
from .textures import courses, finish, flat, leaves, planks, stripes

Spot = tuple[float, float]


def fountain(rng: np.random.Generator, at: Spot) -> list[Quad]:
    """A basin, a shaft and a bowl."""
    stone = finish(courses(rng, 60, 900, stone=(20, 46), colour=(190, 184, 170)), rng, cell=30)
    water = finish(flat(160, 160, (70, 130, 150)), rng, cell=20, strength=0.35)
    shaft = finish(courses(rng, 160, 240, stone=(26, 30), colour=(200, 190, 165)), rng, cell=30)
    quads = prism(at, 1.7, 12, (0.0, 0.65), stone, top=water)
    quads += prism(at, 0.35, 8, (0.65, 2.1), shaft)
    return quads + prism(
        at,
        0.8,
        8,
        (2.1, 2.4),
        finish(courses(rng, 28, 500, stone=(14, 46), colour=(200, 194, 180)), rng, cell=30),
        top=water,
    )


def statue(rng: np.random.Generator, at: Spot, words: Sequence[str]) -> list[Quad]:
    """A plinth with an obelisk of three blocks."""
    quads = box(at, (1.3, 1.3), (0.0, 0.9), _plinth(rng, words), turn_deg=20)
    for i, (size, low, high) in enumerate(((0.85, 0.9, 1.9), (0.6, 1.9, 2.8), (0.35, 2.8, 3.6))):
        side = finish(courses(rng, 100, 340, stone=(24, 40), colour=(170 + 20 * i, 160, 146)), rng, cell=30)
        quads += box(at, (size, size), (low, high), side, turn_deg=20 + 15 * i)
    return quads


def _plinth(rng: np.random.Generator, words: Sequence[str]) -> Texture:
    """One painted board for each side."""
    return np.concatenate(
        [board(rng, 90, 130, word, (206, 198, 186), (70, 50, 40)) for word in words], axis=1
    )


def market_stall(rng: np.random.Generator, at: Spot, *, turn_deg: float) -> list[Quad]:
    """A counter full of fruit under a striped awning on four posts."""
    wood = planks(rng, 90, 560, (160, 112, 68), count=26)
    kinds = np.array([(210, 60, 40), (230, 160, 40), (120, 160, 60), (150, 60, 110)], dtype=np.float64)
    heaps = rng.choice(kinds, (12, 24)).repeat(9, axis=0).repeat(9, axis=1)
    fruit = finish(heaps, rng, cell=9, strength=0.3)
    quads = box(at, (2.2, 1.0), (0.0, 0.9), wood, top=fruit, turn_deg=turn_deg)
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    turn = np.array([[c, -s], [s, c]])
    post = planks(rng, 160, 32, (90, 66, 44), count=2)
    for offset in ((-1.1, -0.6), (1.1, -0.6), (1.1, 0.6), (-1.1, 0.6)):
        x, y = turn @ np.array(offset) + np.array(at)
        quads += box((float(x), float(y)), (0.08, 0.08), (0.0, 2.0), post, turn_deg=turn_deg)
    colours = rng.uniform(60, 230, 3)
    for side in (-1, 1):
        cloth = stripes(rng, 90, 260, colours, (236, 232, 220), count=11)
        edge = np.array([2.6 * side, 0.0]) @ turn.T
        slope = np.array([0.0, 0.9 * side]) @ turn.T
        origin = np.array(at) - edge / 2 - slope
        quads.append(Quad(np.array([*origin, 2.0]), np.array([*edge, 0.0]), np.array([*slope, 0.5]), cloth))
    return quads


def crates(rng: np.random.Generator, at: Spot) -> list[Quad]:
    """Three wooden crates, one on top."""
    quads: list[Quad] = []
    for dx, dy, low in ((0.0, 0.0, 0.0), (0.75, 0.2, 0.0), (0.3, 0.1, 0.6)):
        side = planks(rng, 80, 320, rng.uniform(90, 190, 3), count=20)
        turn = float(rng.uniform(-30, 30))
        quads += box((at[0] + dx, at[1] + dy), (0.6, 0.6), (low, low + 0.6), side, turn_deg=turn)
    return quads


def poster_column(rng: np.random.Generator, at: Spot, words: Sequence[str]) -> list[Quad]:
    """A round column pasted with posters."""
    posters = [board(rng, 190, 90, word, rng.uniform(150, 245, 3), rng.uniform(0, 90, 3)) for word in words]
    return prism(at, 0.6, 12, (0.0, 2.5), np.concatenate(posters, axis=1), top=posters[0][:90].copy())


def tree(rng: np.random.Generator, at: Spot) -> list[Quad]:
    """A trunk and a crown of turned blocks."""
    bark = planks(rng, 180, 120, (110, 84, 62), count=9)
    quads = prism(at, 0.18, 6, (0.0, 2.2), bark)
    green = rng.uniform(0.8, 1.2, 3) * np.array([84, 122, 58])
    for size, low, high in ((1.7, 1.7, 2.7), (1.4, 2.4, 3.6), (0.9, 3.3, 4.3)):
        side = leaves(rng, round((high - low) * 80), round(size * 320), green)
        quads += box(at, (size, size), (low, high), side, turn_deg=float(rng.uniform(0, 90)))
    return quads


def planter(rng: np.random.Generator, at: Spot, words: Sequence[str], *, turn_deg: float) -> list[Quad]:
    """A painted trough with a hedge full of flowers."""
    colour = rng.uniform(110, 220, 3)
    sides = [
        board(rng, 60, 110 if i % 2 == 0 else 50, str(rng.choice(words)), colour, (40, 30, 30))
        for i in range(4)
    ]
    quads = box(at, (1.3, 0.6), (0.0, 0.55), np.concatenate(sides, axis=1), turn_deg=turn_deg)
    hedge = leaves(rng, 50, 320, (96, 140, 66))
    for _ in range(160):
        row, column = rng.integers(2, 46), rng.integers(2, 315)
        hedge[row : row + 4, column : column + 4] = rng.uniform(80, 250, 3)
    return quads + box(at, (1.15, 0.45), (0.55, 1.05), hedge, top=hedge[:, :110].copy(), turn_deg=turn_deg)


def barrel(rng: np.random.Generator, at: Spot) -> list[Quad]:
    """A barrel with a painted number."""
    wood = planks(rng, 80, 240, rng.uniform(100, 190, 3), count=16)
    label = [
        board(rng, 34, 60, str(rng.integers(10, 99)), rng.uniform(150, 250, 3), (30, 30, 30))
        for _ in range(4)
    ]
    wood[24:58] = np.concatenate(label, axis=1)
    return prism(
        at,
        0.38,
        8,
        (0.0, 0.95),
        wood,
        top=planks(rng, 60, 60, (140, 104, 70)),
        turn_deg=float(rng.uniform(0, 45)),
    )


def bunting(rng: np.random.Generator, start: Spot, end: Spot, *, height_m: float, count: int) -> list[Quad]:
    """Little flags on a sagging line, each of its own pattern."""
    quads = []
    a, b = np.array(start), np.array(end)
    along = (b - a) / np.linalg.norm(b - a)
    for share in (np.arange(count) + 0.5) / count:
        angle = rng.uniform(-0.5, 0.5)
        c, s = np.cos(angle), np.sin(angle)
        half = 0.2 * np.array([[c, -s], [s, c]]) @ along
        spot = a + share * (b - a)
        top = height_m - 2.4 * share * (1 - share)
        quads.append(wall(spot - half, spot + half, top - 0.42, top, _pennant(rng)))
    return quads


def _pennant(rng: np.random.Generator) -> Texture:
    cloth = np.ones((42, 40, 3)) * rng.uniform(120, 250, 3)
    for _ in range(4):
        row, column = rng.integers(0, 34), rng.integers(0, 32)
        cloth[row : row + rng.integers(6, 20), column : column + rng.integers(6, 20)] = rng.uniform(
            20, 250, 3
        )
    return finish(cloth, rng, cell=20)


def shop_awning(rng: np.random.Generator, left: Array, right: Array) -> list[Quad]:
    """A striped cloth that leans out from the front between `left` and `right`, over part of the shop."""
    along, out = _directions(left, right)
    length = float(np.linalg.norm(right - left))
    wide = min(2.4, 0.5 * length)
    start = left + along * rng.uniform(0.2, length - wide - 0.2) + out
    cloth = stripes(
        rng, 80, round(wide * 80), rng.uniform(60, 230, 3), (236, 232, 220), count=2 * round(wide * 2) + 1
    )
    edge = np.array([*(along * wide), 0.0])
    valance = board(rng, 24, round(wide * 80), "* * *", rng.uniform(120, 240, 3), (40, 30, 30))
    return [
        Quad(np.array([*start, 2.05]), edge, np.array([*-out, 0.55]), cloth),
        wall(start, start + along * wide, 1.8, 2.05, valance),
    ]


def balcony(rng: np.random.Generator, left: Array, right: Array) -> list[Quad]:
    """A box-shaped balcony with washing on it, above the shop sign."""
    along, out = _directions(left, right)
    length = float(np.linalg.norm(right - left))
    centre = left + along * rng.uniform(1.3, length - 1.3) + out * 0.45
    colours = rng.uniform(40, 245, (4, 30, 3)).repeat(20, axis=0).repeat(16, axis=1)
    turn = float(np.degrees(np.arctan2(along[1], along[0])))
    return box(
        (float(centre[0]), float(centre[1])),
        (2.0, 0.8),
        (3.0, 3.9),
        finish(colours, rng, cell=20),
        turn_deg=turn,
    )


def _directions(left: Array, right: Array) -> tuple[Array, Array]:
    """Unit vectors along a front and out of it."""
    along = (right - left) / np.linalg.norm(right - left)
    return along, np.array([along[1], -along[0]])
