"""Outdoors: houses in a row, a symmetric building, a long wall, a yard."""

import numpy as np

from ..facades import TEXELS_PER_M, paint, random_front
from ..furniture import barrel, crates, planter, poster_column, tree
from ..houses import house_row, twin_front
from ..quads import Quad, random_for, wall
from ..words import PLANTS, POSTERS, SIGNS, spelled
from .layout import Layout, Stop, floor, lit, spots, thing
from .materials import EARTH, bricks, label, material, pasted, tiled


def rows(seed: int) -> Layout:
    """A row of houses of which several are exactly equal."""
    rng = random_for(seed, "rows")
    count = int(rng.integers(6, 8))
    length = 6.0 * count
    front = twin_front(seed)
    equal = sorted(rng.choice(np.arange(0, count, 2), 2 + int(rng.random() < 0.4), replace=False).tolist())
    signs = [str(sign) for sign in rng.permutation(spelled(SIGNS, seed))[:count]]
    left, right = np.array([-length / 2, 0.0]), np.array([length / 2, 0.0])
    quads = house_row(seed, "row", left, right, signs, twins=dict.fromkeys(equal, front), relief=False)
    quads.append(floor(material(rng, (length + 20, 16), 50, EARTH), (length + 20, 16), 0.0, (0, -6)))
    for x in np.arange(-length / 2, length / 2, 3.2):
        quads += _piece(rng, (float(x + rng.uniform(-1, 1)), float(rng.uniform(-2.2, -1.0))), seed)
    return Layout(lit(quads, rng), _along(rng, length, 7.5, 2.6), 0.25)


def brick(seed: int) -> Layout:
    """A long wall of which one part of brickwork repeats, with doors and posters that do not."""
    rng = random_for(seed, "brick")
    length, height, per_m = 26.0, 3.6, 70.0
    part = material(rng, (float(rng.uniform(2.0, 4.0)), height), per_m, (bricks,))
    texture = tiled(
        rng, part, round(height * per_m), round(length * per_m), weather=float(rng.uniform(0.04, 0.1))
    )
    for x in np.arange(0.5, length - 1.5, 2.6):
        sheet = (
            label(rng, *rng.integers(70, 150, 2)) if rng.random() < 0.7 else material(rng, (1, 2.1), per_m)
        )
        row = texture.shape[0] - sheet.shape[0] - (0 if sheet.shape[0] > 140 else int(rng.integers(40, 110)))
        texture = pasted(texture, sheet, row, round((x + rng.uniform(0, 1.2)) * per_m))
    quads = [wall(np.array([-length / 2, 0.0]), np.array([length / 2, 0.0]), 0, height, texture)]
    quads.append(floor(material(rng, (length + 16, 12), 50, EARTH), (length + 16, 12), 0.0, (0, -5)))
    for place in spots(rng, 5, np.array([length / 2 - 1, 0.4]), 3.0):
        quads += thing(rng, (0.6, 0.6, 0.7), per_m).at((place[0], place[1] - 1.2))
    return Layout(lit(quads, rng), _along(rng, length, 4.4, 1.6), 0.15)


def symmetric(seed: int) -> Layout:
    """A building with two or four equal fronts in surroundings that are different on each side."""
    rng = random_for(seed, "symmetric")
    order = int(rng.choice([2, 4]))
    width, height = float(rng.uniform(6.0, 7.5)), float(rng.uniform(5.5, 7.5))
    fronts = [paint(random_front(rng, width, height, _sign(rng, seed)), rng) for _ in range(4 // order)]
    c = width / 2
    ring = [np.array(corner) for corner in ((-c, -c), (c, -c), (c, c), (-c, c), (-c, -c))]
    quads = [wall(ring[i], ring[i + 1], 0, height, fronts[i % len(fronts)]) for i in range(4)]
    quads += [floor(material(rng, (width, width), 30), (width, width), height)]
    quads += [floor(material(rng, (44, 44), 36, EARTH), (44, 44))]
    far = rng.uniform(13.0, 16.0)
    for angle in np.arange(0, 2 * np.pi, 0.35):
        away = far * rng.uniform(0.95, 1.4)
        quads += _piece(rng, (away * np.cos(angle), away * np.sin(angle)), seed)
    for place in spots(rng, 12, np.array([7.0, 7.0]), 2.5):
        if c + 0.9 < max(abs(place[0]), abs(place[1])) < c + 2.4:
            quads += _piece(rng, place, seed)
    reach, start = c + float(rng.uniform(6.0, 7.5)), float(rng.uniform(0, 6.28))

    def stop(share: float, lane: int) -> tuple[list[float], list[float]]:
        angle, out = start + 2 * np.pi * share, reach + 1.5 * lane
        return [out * np.cos(angle), out * np.sin(angle), 1.7 + 2.0 * lane], [0.0, 0.0, 0.4 * height]

    return Layout(lit(quads, rng), stop, 0.25)


def yard(seed: int) -> Layout:
    """A yard between houses of one design: shelves, signs and windows are alike, the rest is not."""
    rng = random_for(seed, "yard")
    half = 8.0
    signs = [str(sign) for sign in rng.permutation(spelled(SIGNS, seed))]
    ring = [
        np.array(corner)
        for corner in ((-half, half), (half, half), (half, -half), (-half, -half), (-half, half))
    ]
    quads: list[Quad] = [floor(material(rng, (20, 20), 60, EARTH), (20, 20))]
    for i in range(4):
        quads += house_row(seed, f"yard {i}", ring[i], ring[i + 1], signs[3 * i : 3 * i + 3])
    for place in spots(rng, 12, np.array([6.5, 6.5]), 2.2):
        quads += _piece(rng, place, seed) if np.hypot(*place) > 4.5 or np.hypot(*place) < 1.5 else []

    def stop(share: float, lane: int) -> tuple[list[float], list[float]]:
        way = np.array([np.cos(2 * np.pi * share), np.sin(2 * np.pi * share)])
        return [*(3.4 * way), 1.7 + 0.5 * lane], [*((-4.0 if lane else 7.0) * way), 2.0]

    return Layout(lit(quads, rng), stop, 0.2)


def _along(rng: np.random.Generator, length: float, off: float, high: float) -> Stop:
    """From one end to the other before a front, looking a little ahead."""
    ahead = float(rng.uniform(0.5, 1.5))

    def stop(share: float, lane: int) -> tuple[list[float], list[float]]:
        x = (share - 0.5) * (length - 0.8 * off)
        return [x - ahead * (1 - 2 * lane), -off * (1 + 0.15 * lane), 1.7], [x, 0.0, high * 0.85]

    return stop


def _sign(rng: np.random.Generator, seed: int) -> str:
    return str(rng.choice(spelled(SIGNS, seed)))


def _piece(rng: np.random.Generator, at: tuple[float, float], seed: int) -> list[Quad]:
    """A piece of furniture or a tree, each with its own surfaces."""
    at = float(at[0]), float(at[1])
    choice = int(rng.integers(6))
    if choice == 0:
        return tree(rng, at)
    if choice == 1:
        return crates(rng, at)
    if choice == 2:
        return planter(rng, at, spelled(PLANTS, seed), turn_deg=float(rng.uniform(0, 90)))
    if choice == 3:
        return poster_column(rng, at, [str(w) for w in rng.permutation(spelled(POSTERS, seed))[:4]])
    if choice == 4:
        return barrel(rng, at)
    return thing(rng, (0.8, 0.8, 1.2), TEXELS_PER_M).at(at, turn_deg=float(rng.uniform(0, 90)))
