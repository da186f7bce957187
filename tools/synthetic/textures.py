"""Procedural materials: noise in several octaves over colours, so that SIFT finds corners at every scale."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .quads import Array, Texture

Colour = Sequence[float] | Array


def fractal(
    rng: np.random.Generator, rows: int, columns: int, *, cell: float, octaves: int = 5, gain: float = 0.6
) -> Array:
    """Smooth noise of about -1..1; the coarsest features are `cell` texels wide, each octave half as wide."""
    total = np.zeros((rows, columns))
    weight = norm = 1.0
    for octave in range(octaves):
        width = max(cell / 2**octave, 1.0)
        grid = rng.uniform(-1, 1, (int(rows / width) + 2, int(columns / width) + 2)).astype(np.float32)
        total += weight * np.asarray(Image.fromarray(grid).resize((columns, rows), Image.Resampling.BICUBIC))
        norm += weight
        weight *= gain
    return np.asarray(total * 2.5 / norm, dtype=np.float64)


def finish(colour: Array, rng: np.random.Generator, *, cell: float = 64, strength: float = 0.06) -> Texture:
    """Weather a colour image (rows, columns, 3) with fractal noise."""
    rows, columns = colour.shape[:2]
    noise = fractal(rng, rows, columns, cell=cell, octaves=5, gain=0.6)
    return np.clip(colour * (1 + strength * noise[..., None]), 0, 255).astype(np.uint8)


def flat(rows: int, columns: int, colour: Colour) -> Array:
    """One colour."""
    return np.ones((rows, columns, 3)) * np.asarray(colour, dtype=np.float64)


def courses(
    rng: np.random.Generator,
    rows: int,
    columns: int,
    *,
    stone: tuple[float, float],
    colour: Colour,
    spread: float = 0.14,
    joint: float = 0.08,
) -> Array:
    """Bricks or cobbles in courses, each stone of its own shade; `stone` is (height, width) in texels."""
    r, c = np.mgrid[0:rows, 0:columns].astype(np.float64)
    course = np.floor(r / stone[0]).astype(int)
    shift = rng.uniform(0, 1, course.max() + 1)[course]
    across = c / stone[1] + shift
    column = np.floor(across).astype(int)
    shade = 1 + spread * rng.uniform(-1, 1, (course.max() + 1, column.max() + 1))[course, column]
    tint = 1 + 0.06 * rng.uniform(-1, 1, (course.max() + 1, column.max() + 1, 3))[course, column]
    edge = np.minimum(r / stone[0] % 1, 1 - r / stone[0] % 1) * stone[0]
    edge = np.minimum(edge, np.minimum(across % 1, 1 - across % 1) * stone[1])
    mortar = np.clip(edge / (joint * stone[0]), 0.45, 1)
    return np.asarray(np.asarray(colour) * shade[..., None] * tint * mortar[..., None], dtype=np.float64)


def planks(rng: np.random.Generator, rows: int, columns: int, colour: Colour, *, count: int = 6) -> Texture:
    """Upright boards with grain."""
    board = (np.arange(columns) * count // columns).astype(int)
    shade = 1 + 0.2 * rng.uniform(-1, 1, count)[board]
    gap = np.where((np.arange(columns) * count / columns) % 1 < 0.06, 0.45, 1.0)
    grain = fractal(rng, max(rows // 8, 2), columns, cell=12, octaves=3)
    grain = np.asarray(
        Image.fromarray(grain.astype(np.float32)).resize((columns, rows), Image.Resampling.BICUBIC)
    )
    return finish(np.asarray(colour) * (shade * gap * (1 + 0.18 * grain))[..., None], rng, cell=24)


def leaves(rng: np.random.Generator, rows: int, columns: int, colour: Colour) -> Texture:
    """Foliage: patches of light and dark."""
    noise = fractal(rng, rows, columns, cell=16, octaves=3, gain=0.9)
    return finish(np.asarray(colour) * (1 + 0.45 * noise)[..., None], rng, cell=8, strength=0.25)


def stripes(
    rng: np.random.Generator, rows: int, columns: int, a: Colour, b: Colour, *, count: int
) -> Texture:
    """The cloth of an awning."""
    band = (np.arange(columns) * count // columns) % 2
    return finish(
        np.where(band[None, :, None] == 0, np.asarray(a), np.asarray(b)) * np.ones((rows, 1, 1)), rng, cell=40
    )
