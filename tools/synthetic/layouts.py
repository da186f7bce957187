"""The places: a town square with its furniture, a street that runs round a block, and a promenade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from .facades import TEXELS_PER_M, paint, random_front, write
from .furnishing import furnish
from .furniture import balcony, barrel, crates, planter, poster_column, shop_awning
from .lighting import bake_sun
from .quads import Array, Quad, Texture, random_for, wall
from .raycast import Renderer
from .textures import courses, finish
from .words import CHALK, PLANTS, POSTERS, SIGNS, spelled

HALF_SIZE_M = (12.0, 9.0)
"""Half the length of the square along x and y."""
_HAZE = (np.array([214.0, 222.0, 230.0]), np.array([112.0, 158.0, 214.0]))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A lit place ready to be photographed."""

    quads: tuple[Quad, ...]
    half_size_m: tuple[float, float]
    """Half extents of the walkable rectangle round the origin."""
    sky: tuple[Array, Array] = _HAZE
    """RGB at the horizon and at the zenith."""

    def renderer(self) -> Renderer:
        """A renderer of this scene."""
        return Renderer(self.quads, sky=self.sky)


@lru_cache(maxsize=2)
def square(seed: int = 0, *, look_alikes: bool = True) -> Scene:
    """A town square of 24 x 18 m closed by houses, with a fountain, a statue, a market, trees.

    With `look_alikes` two of the houses, one in the north row and one in the east row, have the very same
    front; only their neighbours and what stands before them tell them apart. Other seeds give other squares.
    """
    x, y = HALF_SIZE_M
    quads = [_ground(seed, (2 * x + 4, 2 * y + 4))]
    rows = (
        ("north", (-x, y), (x, y)),
        ("east", (x, y), (x, -y)),
        ("south", (x, -y), (-x, -y)),
        ("west", (-x, -y), (-x, y)),
    )
    signs = iter(random_for(seed, "signs").permutation(spelled(SIGNS, seed)))
    twin = _twin(seed) if look_alikes else None
    for name, start, end in rows:
        slot = {"north": 1, "east": 2}.get(name) if twin is not None else None
        quads += _row(seed, name, np.array(start), np.array(end), [next(signs) for _ in range(4)], slot, twin)
    quads += furnish(seed)
    return Scene(tuple(bake_sun(quads, azimuth_deg=225, elevation_deg=52)), HALF_SIZE_M)


@lru_cache(maxsize=2)
def street(seed: int = 0, *, length_m: float = 40.0, width_m: float = 30.0, lane_m: float = 7.0) -> Scene:
    """A street round a rectangular block: a walk round it closes a loop that no single view can see across.

    `length_m` and `width_m` are those of the street's middle line.
    """
    rng = random_for(seed, "street")
    quads = [_ground(seed, (length_m + 2 * lane_m, width_m + 2 * lane_m))]
    outer = np.array([length_m + lane_m, width_m + lane_m]) / 2
    inner = np.array([length_m - lane_m, width_m - lane_m]) / 2
    for ring, (half, order) in {"outer": (outer, 1), "inner": (inner, -1)}.items():
        corner = (half * np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]]))[::order]
        for side in range(4):
            start, end = corner[side], corner[(side + 1) % 4]
            count = max(2, round(float(np.linalg.norm(end - start)) / 6.5))
            quads += _row(
                seed, f"{ring} {side}", start, end, list(rng.choice(spelled(SIGNS, seed), count)), None, None
            )
    return Scene(tuple(bake_sun(quads, azimuth_deg=225, elevation_deg=60)), (length_m / 2, width_m / 2))


@lru_cache(maxsize=2)
def promenade(seed: int = 0, *, length_m: float = 80.0) -> Scene:
    """A straight row of tall houses along the x axis, seen from negative y, with small things before it.

    Nothing is to be seen beyond the fronts, so that how much a photo shows is known from where it was taken.
    """
    rng = random_for(seed, "promenade")
    half = length_m / 2
    count = max(2, round(length_m / 6.0))
    signs = [str(sign) for _ in range(0, count, len(SIGNS)) for sign in rng.permutation(spelled(SIGNS, seed))]
    ends = np.array([-half, 0.0]), np.array([half, 0.0])
    quads = [_ground(seed, (length_m, 20.0))]
    quads += _row(seed, "promenade", *ends, signs[:count], None, None, heights_m=(7.0, 8.5))
    posters, plants = spelled(POSTERS, seed), spelled(PLANTS, seed)
    for x in np.arange(-half + 1.0, half - 1.0, 1.9):
        spot = float(x + rng.uniform(-0.5, 0.5)), float(rng.uniform(-2.6, -1.0))
        kind = rng.integers(10)
        if kind < 3:
            quads += barrel(rng, spot)
        elif kind < 6:
            quads += crates(rng, spot)
        elif kind < 9:
            quads += planter(rng, spot, plants, turn_deg=float(rng.uniform(-30, 30)))
        else:
            quads += poster_column(rng, spot, [str(word) for word in rng.permutation(posters)])
    return Scene(tuple(bake_sun(quads, azimuth_deg=235, elevation_deg=50)), (half, 10.0))


@lru_cache(maxsize=2)
def whitewashed(scene: Scene) -> Scene:
    """The same shapes in plain plaster under a sky of the same colour: depth, but hardly any texture."""
    sun = np.array([0.5, -0.5, 0.7])
    quads = [
        replace(quad, texture=np.full((8, 8, 3), round(200 + 4 * float(quad.normal @ sun)), np.uint8))
        for quad in scene.quads
    ]
    return Scene(tuple(quads), scene.half_size_m, (np.full(3, 200.0), np.full(3, 200.0)))


def _row(
    seed: int,
    name: str,
    start: Array,
    end: Array,
    signs: Sequence[str],
    twin_slot: int | None,
    twin: Texture | None,
    *,
    heights_m: tuple[float, float] = (5.2, 8.2),
) -> list[Quad]:
    """Houses side by side; the front that the square sees has `start` on its left."""
    rng = random_for(seed, name)
    shares = rng.uniform(0.8, 1.25, len(signs))
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length
    widths = shares / shares.sum() * length
    if twin is not None and twin_slot is not None:
        widths = _with_width(widths, twin_slot, twin.shape[1] / TEXELS_PER_M)
    edge = np.concatenate([[0.0], np.cumsum(widths)])
    quads: list[Quad] = []
    for i, sign in enumerate(signs):
        texture = twin if twin is not None and i == twin_slot else None
        if texture is None:
            texture = paint(random_front(rng, widths[i], float(rng.uniform(*heights_m)), sign), rng)
        quads += _house(rng, start + along * edge[i], start + along * edge[i + 1], texture)
    return quads


def _house(rng: np.random.Generator, left: Array, right: Array, texture: Texture) -> list[Quad]:
    """A front, side walls that show above lower neighbours, and a tiled roof leaning back."""
    height = texture.shape[0] / TEXELS_PER_M
    along = (right - left) / np.linalg.norm(right - left)
    back = np.array([-along[1], along[0]])
    bare = finish(courses(rng, 320, 160, stone=(10, 24), colour=(170, 120, 100)), rng)
    tiles = finish(
        courses(
            rng,
            200,
            round(float(np.linalg.norm(right - left)) * 60),
            stone=(34, 32),
            colour=(168, 88, 66),
            spread=0.12,
        ),
        rng,
    )
    roof = Quad(
        np.array([*left, height]),
        np.array([*(right - left), 0.0]),
        np.array([*(back * 3.0), 2.2]),
        tiles,
    )
    relief = shop_awning(rng, left, right) if rng.random() < 0.6 else balcony(rng, left, right)
    sides = [wall(left + back * 3, left, 0, height, bare), wall(right, right + back * 3, 0, height, bare)]
    return [wall(left, right, 0.0, height, texture), roof, *sides, *relief]


def _with_width(widths: Array, slot: int, width: float) -> Array:
    """The same total, one of the widths given."""
    rest = np.delete(widths, slot)
    return np.insert(rest * (widths.sum() - width) / rest.sum(), slot, width)


def _twin(seed: int) -> Texture:
    rng = random_for(seed, "twin")
    return paint(random_front(rng, 5.5, 7.0, spelled(("TWIN'S CORNER",), seed)[0]), rng)


def _ground(seed: int, size_m: tuple[float, float]) -> Quad:
    """Cobbles with chalk drawings, so that no two places of the ground look the same."""
    rng = random_for(seed, "ground")
    rows, columns = round(size_m[1] * TEXELS_PER_M), round(size_m[0] * TEXELS_PER_M)
    stones = courses(rng, rows, columns, stone=(36, 54), colour=(176, 166, 152), spread=0.13, joint=0.07)
    picture = Image.fromarray(np.clip(stones, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(round(size_m[0] * size_m[1] / 14)):
        _chalk(draw, rng, (rng.uniform(0, columns), rng.uniform(0, rows)), spelled(CHALK, seed))
    texture = finish(np.asarray(picture, dtype=np.float64), rng, cell=300, strength=0.14)
    origin = np.array([-size_m[0] / 2, -size_m[1] / 2, 0.0])
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
