"""Tables with things on them, and one thing turned. Lengths here are decimetres until the scene is lit."""

import numpy as np

from ..quads import Texture, box, prism, random_for, wall
from .layout import Layout, floor, lit, spots, thing
from .materials import PAPER, clouds, label, material, pasted, wood

_PER_DM = 60.0


def desk(seed: int, *, twins: bool = True) -> Layout:
    """Different things on a table in front of a wall, two or three of them equal."""
    rng = random_for(seed, f"desk {twins}")
    quads = [
        floor(material(rng, (16, 10), _PER_DM, (wood, clouds)), (16, 10)),
        floor(material(rng, (40, 30), 24), (40, 30), -7.5),
        wall(np.array([-16.0, 6.5]), np.array([16.0, 6.5]), -7.5, 9.0, _papered(rng, 32, 16.5)),
    ]
    count = 2 + int(rng.random() < 0.4) if twins else 0
    equal = thing(rng, (1.7, 1.2, 2.3), _PER_DM, package=True)
    step = 10.0 / max(count - 1, 1)
    places = [(-5.0 + i * step, float(rng.uniform(-2.0, 2.0))) for i in range(count)]
    for place in places:
        quads += equal.at(place, turn_deg=float(rng.uniform(-30, 30)))
    for place in spots(rng, 13, np.array([7.0, 4.0]), 2.3, places):
        size = tuple(rng.uniform([0.7, 0.7, 0.5], [1.9, 1.9, 2.2]))
        quads += thing(rng, size, _PER_DM, package=rng.random() < 0.3).at(
            place, turn_deg=float(rng.uniform(0, 90))
        )
    for place in spots(rng, 16, np.array([7.4, 4.4]), 1.2, places):
        sheet = material(rng, (1.0, 1.4), _PER_DM, PAPER)
        quads += box(
            place, (1.0, 1.4), (0.0, 0.02), sheet[:12], top=sheet, turn_deg=float(rng.uniform(0, 180))
        )
    reach, height = float(rng.uniform(7.5, 9.5)), float(rng.uniform(3.5, 5.0))

    def stop(share: float, lane: int) -> tuple[list[float], list[float]]:
        angle = np.radians(-65 + 130 * share)
        out = reach * (1.0 + 0.2 * lane)
        eye = [1.1 * out * np.sin(angle), -out * np.cos(angle), height + 1.5 * lane]
        return [0.1 * x for x in eye], [0.1 * 5.5 * np.sin(1.2 * angle), 0.0, 0.1]

    return Layout(lit(quads, rng, scale=0.1), stop, 0.04)


def clutter(seed: int) -> Layout:
    """A desk on which no two things are equal."""
    return desk(seed, twins=False)


def turned(seed: int) -> Layout:
    """A turned object with the same print on two of its sides, on a floor with little on it."""
    rng = random_for(seed, "object")
    sides = 2 * int(rng.integers(4, 7))
    radius, height = float(rng.uniform(1.6, 2.2)), float(rng.uniform(3.0, 4.5))
    quads = prism((0, 0), radius, sides, (0.05, height), _wound(rng, radius, height), top=_lid(rng, radius))
    quads += box((radius + 0.25, 0.0), (0.7, 0.35), (0.8, 0.7 * height), material(rng, (2.1, 2), _PER_DM))
    quads.append(floor(material(rng, (9, 9), 20, (clouds,)), (9, 9)))
    quads.append(floor(material(rng, (36, 36), 4, (clouds,)), (36, 36), -0.1))
    for place in spots(rng, int(rng.integers(0, 4)), np.array([3.8, 3.8]), 2.0, [(0.0, 0.0), (2.0, 0.0)]):
        if np.hypot(*place) > 3.0:
            quads += thing(rng, (0.6, 0.6, 0.4), _PER_DM).at(place)
    reach, start = float(rng.uniform(7.0, 8.5)), float(rng.uniform(0, 2 * np.pi))

    def stop(share: float, lane: int) -> tuple[list[float], list[float]]:
        angle = start + 2 * np.pi * share
        out = reach * (1.0 + 0.15 * lane)
        eye = [out * np.cos(angle), out * np.sin(angle), height * (0.8 + 0.8 * lane)]
        return [0.1 * x for x in eye], [0.0, 0.0, 0.05 * height]

    return Layout(lit(quads, rng, scale=0.1), stop, 0.02)


def _wound(rng: np.random.Generator, radius: float, height: float) -> Texture:
    """A plain glaze that differs all round, with one print in two places."""
    around = 2 * np.pi * radius
    glaze = material(rng, (around, height), _PER_DM, (clouds, wood))
    rows, columns = glaze.shape[:2]
    print_ = label(rng, round(0.8 * rows), round(columns * rng.uniform(0.2, 0.3)))
    second = rng.uniform(0.42, 0.58)
    for share in (0.08, 0.08 + second):
        glaze = pasted(glaze, print_, round(0.1 * rows), round(share * columns))
    return glaze


def _lid(rng: np.random.Generator, radius: float) -> Texture:
    return material(rng, (2 * radius, 2 * radius), _PER_DM)


def _papered(rng: np.random.Generator, width: float, height: float) -> Texture:
    """A wall of one material with posters of others."""
    base = material(rng, (width, height), 30)
    for _ in range(14):
        poster = material(rng, tuple(rng.uniform(1.5, 4.0, 2)), 30)
        row, column = rng.uniform(0, 0.5) * base.shape[0], rng.uniform(0, 0.95) * base.shape[1]
        base = pasted(base, poster, round(row), round(column))
    return base
