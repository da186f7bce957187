"""A forest and fields: equal trees, equal orchards, equal roofs."""

import numpy as np

from ..quads import Quad, box, prism, random_for
from ..textures import fractal
from .layout import Layout, floor, lit, spots
from .materials import EARTH, bricks, checks, clouds, label, material, pasted, plaid, speckle, wood


def forest(seed: int) -> Layout:
    """Many trees of two or three kinds, equal within each, on a ground that is different everywhere."""
    rng = random_for(seed, "forest")
    kinds = []
    for _ in range(int(rng.integers(2, 4))):
        radius, height = float(rng.uniform(0.22, 0.4)), float(rng.uniform(4.5, 6.5))
        bark = material(rng, (2 * np.pi * radius, height), 90, (clouds, wood, bricks, speckle))
        crown = material(rng, (6.0, 1.6), 40, (clouds, speckle))
        kinds.append((radius, height, bark, crown, float(rng.uniform(0, 360))))
    quads: list[Quad] = [floor(material(rng, (40, 40), 44, EARTH), (40, 40))]
    reach, sway = float(rng.uniform(10, 12)), float(rng.uniform(0.8, 1.6))
    for x, y in spots(rng, 90, np.array([16.0, 7.0]), 1.7):
        if abs(y - sway * np.sin(0.4 * x)) < 1.1:
            continue
        radius, height, bark, crown, turn = kinds[int(rng.integers(len(kinds)))]
        turn = turn + float(rng.uniform(-15, 15))
        quads += prism((x, y), radius, 8, (0.0, height), bark, turn_deg=turn)
        quads += box((x, y), (1.5, 1.5), (height - 1.2, height + 0.4), crown, turn_deg=turn)
    for x, y in spots(rng, 26, np.array([15.0, 4.0]), 1.0):
        size = rng.uniform(0.25, 0.6)
        stone = material(rng, (4 * size, 0.6 * size), 80, EARTH)
        turn = float(rng.uniform(0, 90))
        quads += box(
            (x, y), (size, size), (0.0, 0.5 * size), stone, top=material(rng, (size, size), 80), turn_deg=turn
        )

    def stop(share: float, lane: int) -> tuple[list[float], list[float]]:
        x = (2 * share - 1) * reach
        y = sway * np.sin(0.4 * x)
        side = 2.6 if lane == 0 else -2.6
        return [x, y, 1.6], [x + 3.0, y + side, 1.1]

    return Layout(lit(quads, rng), stop, 0.15)


def fields(seed: int) -> Layout:
    """Fields, orchards and farms from the air; one orchard and one farm are at several places."""
    rng = random_for(seed, "fields")
    per_m, size = 5.0, (300.0, 200.0)
    ground = material(rng, size, per_m, (clouds,))
    families = (clouds, speckle, plaid, checks, bricks)
    for _ in range(26):
        field = material(rng, tuple(rng.uniform(22, 48, 2)), per_m, families)
        ground = pasted(ground, field, int(rng.integers(0, 900)), int(rng.integers(0, 1400)))
    orchard = material(rng, (34.0, 34.0), per_m, (speckle, checks))
    roof, side = label(rng, 70, 90), material(rng, (64.0, 6.0), per_m)
    quads: list[Quad] = []
    places = spots(rng, int(rng.integers(2, 5)), np.array([110.0, 65.0]), 65.0)
    for x, y in places:
        ground = pasted(ground, orchard, round((100 - y - 17) * per_m), round((x + 150 - 17) * per_m))
        quads += box((x + 4, y + 3), (18.0, 14.0), (0.0, 6.0), side, top=roof)
    for x, y in spots(rng, 22, np.array([135.0, 85.0]), 22.0, places):
        width, depth, height = rng.uniform([8, 8, 3], [18, 14, 12])
        skin = material(rng, (2 * (width + depth), height), per_m)
        turn = float(rng.uniform(0, 90))
        quads += box(
            (x, y), (width, depth), (0, height), skin, top=material(rng, (width, depth), per_m), turn_deg=turn
        )
    relief = 0.9 + 0.2 * fractal(rng, *ground.shape[:2], cell=200, octaves=3)
    quads.append(floor(np.clip(ground * relief[..., None], 0, 255).astype(np.uint8), size))
    height = float(rng.uniform(70, 85))

    def stop(share: float, lane: int) -> tuple[list[float], list[float]]:
        line = min(int(share * 3), 2)
        along = (3 * share - line) * (1 - 2 * (line % 2)) + line % 2
        x, y = (2 * along - 1) * 90, (line - 1) * 42.0
        if lane:
            x, y = 1.35 * y, x / 1.8
        return [x, y, height], [x, y + 0.25 * height, 0.0]

    return Layout(lit(quads, rng), stop, 2.0)
