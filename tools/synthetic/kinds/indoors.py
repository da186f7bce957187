"""Rooms and a stairwell: equal furniture, equal posters, patterns that repeat, storeys that do."""

import numpy as np

from ..quads import Array, Quad, Texture, box, prism, random_for, wall
from .layout import Layout, Stop, floor, lit, spots, thing
from .materials import PAPER, Family, clouds, label, material, pasted, tiled

_PER_M = 90.0
_HEIGHT_M = 2.7


def room(seed: int) -> Layout:
    """A room with equal pieces of furniture and equal posters among things that are unlike."""
    rng = random_for(seed, "room")
    half = rng.uniform([2.8, 2.4], [3.4, 3.0])
    walls = [material(rng, (2 * half[i % 2], _HEIGHT_M), _PER_M) for i in range(4)]
    poster = label(rng, 100, 74)
    for number, i in enumerate(rng.permutation(4)):
        for k in range(2):
            sheet = poster if number < 2 and k == 0 else label(rng, *rng.integers(60, 120, 2))
            column = round((0.15 + 0.45 * k + rng.uniform(0, 0.1)) * walls[i].shape[1])
            walls[i] = pasted(walls[i], sheet, int(rng.integers(25, 70)), column)
    quads = _closed(half, walls, material(rng, tuple(2 * half), _PER_M))
    shelf = thing(rng, (0.9, 0.5, 1.3), _PER_M, package=True)
    places = [
        (-half[0] + 0.8, half[1] - 0.7),
        (half[0] - 0.8, -half[1] + 0.7),
        (half[0] - 0.8, half[1] - 0.7),
    ]
    places = [(float(x), float(y)) for x, y in places][: 2 + int(rng.random() < 0.5)]
    for place in places:
        quads += shelf.at(place, turn_deg=float(90 * rng.integers(4) + rng.uniform(-8, 8)))
    quads += _clutter(rng, half, places, 10)
    return Layout(lit(quads, rng), _round(rng, half), 0.1)


def wallpaper(seed: int) -> Layout:
    """A room papered and carpeted with one pattern each, a few unique things in it."""
    rng = random_for(seed, "wallpaper")
    half = rng.uniform([2.6, 2.2], [3.2, 2.8])
    size = int(rng.integers(64, 120))
    paper = _motif(rng, size, round(size * rng.uniform(0.8, 1.3)))
    rows = round(_HEIGHT_M * _PER_M)
    walls = [tiled(rng, paper, rows, round(2 * half[i % 2] * _PER_M), weather=0.08) for i in range(4)]
    for i in range(4):
        for k in range(2):
            sheet = label(rng, *rng.integers(60, 110, 2))
            column = round((0.1 + 0.5 * k + rng.uniform(0, 0.2)) * walls[i].shape[1])
            walls[i] = pasted(walls[i], sheet, int(rng.integers(40, 100)), column)
    rug = _motif(rng, 80, 80)
    carpet = tiled(rng, rug, round(2 * half[1] * _PER_M), round(2 * half[0] * _PER_M), weather=0.1)
    quads = _closed(half, walls, carpet) + _clutter(rng, half, [], 7)
    return Layout(lit(quads, rng), _round(rng, half), 0.1)


def stairs(seed: int) -> Layout:
    """Equal storeys one above another: a stairwell seen from within or a tower from without, going up."""
    rng = random_for(seed, "stairs")
    inside = bool(rng.random() < 0.5)
    storeys, sides, storey_m = int(rng.integers(4, 6)), 8, 2.8
    radius = float(rng.uniform(2.2, 2.8))
    per_m = 70.0
    around = 2 * np.pi * radius
    storey = material(rng, (around, storey_m), per_m)
    for share in np.arange(5) / 5:
        sheet = label(rng, *rng.integers(70, 120, 2))
        storey = pasted(storey, sheet, int(rng.integers(20, 80)), round((share + 0.05) * storey.shape[1]))
    quads: list[Quad] = []
    for level in range(storeys):
        low = level * storey_m
        skin = tiled(rng, storey, *storey.shape[:2], weather=0.08)
        for _ in range(5):
            mark = material(rng, tuple(rng.uniform(0.4, 0.9, 2)), per_m, PAPER)
            row, column = rng.integers(5, 120), rng.integers(0, storey.shape[1] - 70)
            skin = pasted(skin, mark, int(row), int(column))
        quads += prism((0, 0), radius, sides, (low, low + storey_m), skin)
        quads += _steps(low, storey_m, radius, storey) if inside else []
    quads.append(floor(material(rng, (24, 24), 40), (24, 24)))
    turns, start = (
        (storeys - 1.0, float(rng.uniform(0, 6.28))) if inside else (1.2, float(rng.uniform(0, 6.28)))
    )
    out = -0.35 * radius if inside else radius + float(rng.uniform(4.0, 5.0))

    def stop(share: float, lane: int) -> tuple[list[float], list[float]]:
        angle = start + 2 * np.pi * (turns * share + 0.13 * lane)
        z = 1.5 + share * (storeys - 1.6) * storey_m
        ahead = z + (0.3 if inside else -0.5)
        return [out * np.cos(angle), out * np.sin(angle), z], [
            -0.1 * np.cos(angle),
            -0.1 * np.sin(angle),
            ahead,
        ]

    return Layout(lit(quads, rng), stop, 0.08)


def _steps(low: float, rise: float, radius: float, texture: Texture) -> list[Quad]:
    """Sixteen equal steps round the wall, once round to a storey."""
    quads: list[Quad] = []
    for i in range(16):
        angle = 2 * np.pi * i / 16
        spot = 0.87 * radius * np.cos(angle), 0.87 * radius * np.sin(angle)
        z = low + rise * i / 16
        riser = np.ascontiguousarray(texture[60:80, :140])
        quads += box(
            spot, (0.3 * radius, 0.7), (z - 0.1, z), riser, top=texture[:90, :90], turn_deg=np.degrees(angle)
        )
    return quads


def _motif(rng: np.random.Generator, rows: int, columns: int) -> Texture:
    """One repeat of a pattern: a quarter mirrored to both sides, as printed papers are, or a label."""
    if rng.random() < 0.4:
        return label(rng, rows, columns)
    family: list[Family] = [clouds, *PAPER]
    part = material(rng, (columns / 2, rows / 2), 1.0, family)
    half = np.concatenate([part, part[:, ::-1]], axis=1)
    return np.ascontiguousarray(np.concatenate([half, half[::-1]], axis=0))


def _closed(half: Array, walls: list[Texture], ground: Texture) -> list[Quad]:
    """Four walls and the floor of a room, which is open above."""
    x, y = half
    ring = [np.array(corner) for corner in ((-x, y), (x, y), (x, -y), (-x, -y), (-x, y))]
    sides = [wall(ring[i], ring[i + 1], 0.0, _HEIGHT_M, walls[i]) for i in range(4)]
    return [*sides, floor(ground, (2 * x, 2 * y))]


def _clutter(
    rng: np.random.Generator, half: Array, taken: list[tuple[float, float]], count: int
) -> list[Quad]:
    quads: list[Quad] = []
    for place in spots(rng, 40, half - 0.4, 0.8, taken):
        if max(abs(place[0]) / half[0], abs(place[1]) / half[1]) > 0.7 and count:
            size = tuple(rng.uniform([0.3, 0.3, 0.3], [0.7, 0.7, 1.1]))
            quads += thing(rng, size, _PER_M).at(place, turn_deg=float(rng.uniform(0, 90)))
            count -= 1
    return quads


def _round(rng: np.random.Generator, half: Array) -> Stop:
    """Once round the room, looking across it or outwards."""
    across, start = bool(rng.random() < 0.5), float(rng.uniform(0, 2 * np.pi))

    def stop(share: float, lane: int) -> tuple[list[float], list[float]]:
        angle = start + 2 * np.pi * share
        way = np.array([np.cos(angle), np.sin(angle)])
        spot = (0.55 + 0.1 * lane) * half * way if across else (0.25 - 0.1 * lane) * half * way
        aim = -0.6 * half * way if across else half * way
        return [*spot, 1.5 + 0.3 * lane], [*aim, 1.05]

    return stop
