"""Cobbled ground."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .facades import TEXELS_PER_M, write
from .quads import Quad, random_for
from .textures import courses, finish
from .words import CHALK, spelled


def cobbles(
    seed: int,
    size_m: tuple[float, float],
    *,
    name: str = "ground",
    centre: tuple[float, float] = (0.0, 0.0),
) -> Quad:
    """Cobbles with chalk drawings, so that no two places of the ground look the same."""
    rng = random_for(seed, name)
    rows, columns = round(size_m[1] * TEXELS_PER_M), round(size_m[0] * TEXELS_PER_M)
    stones = courses(rng, rows, columns, stone=(36, 54), colour=(176, 166, 152), spread=0.13, joint=0.07)
    picture = Image.fromarray(np.clip(stones, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(round(size_m[0] * size_m[1] / 14)):
        _chalk(draw, rng, (rng.uniform(0, columns), rng.uniform(0, rows)), spelled(CHALK, seed))
    texture = finish(np.asarray(picture, dtype=np.float64), rng, cell=300, strength=0.14)
    origin = np.array([centre[0] - size_m[0] / 2, centre[1] - size_m[1] / 2, 0.0])
    return Quad(origin, np.array([size_m[0], 0.0, 0.0]), np.array([0.0, size_m[1], 0.0]), texture)


def _chalk(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, at: tuple[float, float], words: Sequence[str]
) -> None:
    ink = tuple(
        int(c) for c in rng.choice([(240, 240, 235), (240, 190, 200), (190, 220, 240), (245, 235, 160)])
    )
    size = rng.uniform(20, 55)
    x, y = at
    kind = rng.integers(4)
    if kind == 0:
        draw.ellipse([x - size, y - size, x + size, y + size], outline=ink, width=5)
        draw.arc([x - size / 2, y - size / 2, x + size / 2, y + size / 2], 20, 160, fill=ink, width=5)
    elif kind == 1:
        for step in range(rng.integers(3, 6)):
            draw.rectangle(
                [x, y + step * size * 0.8, x + size * 0.8, y + (step + 1) * size * 0.8], outline=ink, width=4
            )
    elif kind == 2:
        write(draw, at, str(rng.choice(words)), 4 * size, 1.4 * size, ink)
    else:
        angle = np.sort(rng.uniform(0, 2 * np.pi, 7))
        points = [(x + size * np.cos(a), y + size * np.sin(a)) for a in angle]
        draw.line([*points, points[0]], fill=ink, width=5)


def fields(seed: int, size_m: tuple[float, float], *, texels_per_m: float = 8.0) -> Quad:
    """Fields without any height, each of its own colour, strewn with stones."""
    rng = random_for(seed, "fields")
    rows, columns = round(size_m[1] * texels_per_m), round(size_m[0] * texels_per_m)
    picture = Image.new("RGB", (columns, rows), (128, 112, 84))
    draw = ImageDraw.Draw(picture)
    field = 40 * texels_per_m
    for top in np.arange(0, rows, field):
        left = -rng.uniform(0, field)
        while left < columns:
            right = left + field * rng.uniform(0.5, 1.5)
            colour = rng.choice([(118, 132, 66), (150, 138, 90), (96, 116, 58), (136, 110, 78)])
            shade = tuple(int(c) for c in colour + rng.uniform(-14, 14, 3))
            draw.rectangle([left, top, right, top + field], fill=shade)
            left = right
    for _ in range(round(size_m[0] * size_m[1] / 6)):
        x, y, size = rng.uniform(0, columns), rng.uniform(0, rows), rng.exponential(0.5) * texels_per_m
        shade = tuple(int(c) for c in np.array([118, 108, 84]) + rng.uniform(-50, 50, 3))
        draw.ellipse([x - size, y - size * 0.7, x + size, y + size * 0.7], fill=shade)
    texture = finish(np.asarray(picture, dtype=np.float64), rng, cell=60, strength=0.3)
    origin = np.array([-size_m[0] / 2, -size_m[1] / 2, 0.0])
    return Quad(origin, np.array([size_m[0], 0.0, 0.0]), np.array([0.0, size_m[1], 0.0]), texture)
