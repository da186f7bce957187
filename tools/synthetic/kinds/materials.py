"""Surfaces of several families, so that no model of matches can be fitted to one kind of texture."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..facades import write
from ..quads import Array, Texture
from ..textures import courses, finish, flat, fractal, planks

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&%#?+*"
Family = Callable[[np.random.Generator, int, int], Array]


def material(
    rng: np.random.Generator,
    size_m: tuple[float, float],
    per_m: float,
    families: Sequence[Family] | None = None,
) -> Texture:
    """A surface of (width, height) with so many texels to the metre, of a family by chance."""
    rows, columns = (max(12, round(length * per_m)) for length in size_m[::-1])
    chosen = families or FAMILIES
    colour = chosen[int(rng.integers(len(chosen)))](rng, rows, columns)
    return finish(np.clip(colour, 0, 255), rng, cell=24, strength=0.16)


def clouds(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Two colours mixed by rough noise."""
    low, high = _colours(rng, 2)
    share = np.clip(0.5 + 0.7 * fractal(rng, rows, columns, cell=40, octaves=6, gain=0.85), 0, 1)
    return np.asarray(low + share[..., None] * (high - low), dtype=np.float64)


def cells(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Stones of a crazy paving: the nearest of jittered centres, with dark joints."""
    size = float(rng.uniform(14, 34))
    shape = int(rows / size) + 3, int(columns / size) + 3
    centre = rng.uniform(0, 1, (*shape, 2))
    shade = _colours(rng, 1)[0] * rng.uniform(0.5, 1.4, (*shape, 1)) * rng.uniform(0.85, 1.15, (*shape, 3))
    r, c = (np.mgrid[0:rows, 0:columns] / size + 1).astype(np.float32)
    best, second = np.full((2, rows, columns), np.inf, dtype=np.float32)
    colour = np.zeros((rows, columns, 3))
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            i, j = r.astype(int) + down, c.astype(int) + right
            away = np.hypot(r - i - centre[i, j, 0], c - j - centre[i, j, 1])
            nearer = away < best
            second = np.where(nearer, best, np.minimum(second, away))
            best = np.where(nearer, away, best)
            colour[nearer] = shade[i[nearer], j[nearer]]
    return np.asarray(colour * np.clip((second - best) * 8, 0.4, 1)[..., None], dtype=np.float64)


def plaid(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Bands of uneven widths in both directions, woven."""
    base = _colours(rng, 5)
    return np.asarray((base[_bands(rng, rows)][:, None] + base[_bands(rng, columns)][None]) / 2)


def checks(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Squares, each of its own colour."""
    size = int(rng.integers(8, 22))
    colours = rng.uniform(30, 240, (rows // size + 1, columns // size + 1, 3))
    return np.asarray(colours.repeat(size, axis=0).repeat(size, axis=1)[:rows, :columns])


def marks(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Paper full of letters and words of many sizes."""
    picture = Image.fromarray(flat(rows, columns, rng.uniform(150, 245, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(min(round(rows * columns / 700), 2500)):
        word = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 6))))
        at = float(rng.uniform(0, columns)), float(rng.uniform(0, rows))
        write(draw, at, word, columns, float(rng.uniform(12, 40)), rng.uniform(0, 160, 3))
    return np.asarray(picture, dtype=np.float64)


def bricks(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Courses of bricks or tiles."""
    height = float(rng.uniform(10, 22))
    stone = height, height * float(rng.uniform(1.2, 2.6))
    return courses(rng, rows, columns, stone=stone, colour=_colours(rng, 1)[0], spread=0.3, joint=0.12)


def wood(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Boards with grain and knots."""
    colour = np.array([150, 108, 66]) * rng.uniform(0.7, 1.4) * rng.uniform(0.9, 1.1, 3)
    boards = planks(rng, rows, columns, colour, count=max(2, columns // int(rng.integers(40, 90))))
    return _strewn(rng, boards, round(rows * columns / 1500), (2, 7), (40, 110))


def speckle(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Terrazzo: discs of many sizes and colours."""
    ground = flat(rows, columns, _colours(rng, 1)[0]).astype(np.uint8)
    return _strewn(rng, ground, min(round(rows * columns / 160), 9000), (2, 14), (20, 240))


def shards(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Triangles over triangles."""
    picture = Image.fromarray(flat(rows, columns, _colours(rng, 1)[0]).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(min(round(rows * columns / 300), 6000)):
        centre = rng.uniform(0, [columns, rows])
        corners = centre + rng.normal(0, rng.uniform(5, 26), (3, 2))
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=_rgb(rng.uniform(25, 240, 3)))
    return np.asarray(picture, dtype=np.float64)


FAMILIES: tuple[Family, ...] = (clouds, cells, plaid, checks, marks, bricks, wood, speckle, shards)
PAPER: tuple[Family, ...] = (marks, shards, checks, speckle)
EARTH: tuple[Family, ...] = (clouds, cells, speckle)


def label(rng: np.random.Generator, rows: int, columns: int) -> Texture:
    """A print as on packages: a pattern, a picture in a frame and two lines of text."""
    picture = Image.fromarray(
        np.clip(PAPER[int(rng.integers(4))](rng, rows, columns), 0, 255).astype(np.uint8)
    )
    draw = ImageDraw.Draw(picture)
    draw.rectangle(
        [0.1 * columns, 0.1 * rows, 0.9 * columns, 0.4 * rows], fill=_rgb(rng.uniform(130, 250, 3))
    )
    for height in (0.19, 0.32):
        word = "".join(rng.choice(list(_LETTERS[:26]), int(rng.integers(4, 8))))
        write(draw, (columns / 2, height * rows), word, 0.75 * columns, 0.14 * rows, rng.uniform(0, 120, 3))
    for _ in range(12):
        x, y = rng.uniform(0.1, 0.9) * columns, rng.uniform(0.45, 0.95) * rows
        r = float(rng.uniform(0.03, 0.13) * min(rows, columns))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape([x - r, y - r, x + r, y + r], fill=_rgb(rng.uniform(20, 245, 3)), outline=(20, 20, 20))
    return finish(np.asarray(picture, dtype=np.float64), rng, cell=20, strength=0.08)


def tiled(rng: np.random.Generator, tile: Texture, rows: int, columns: int, *, weather: float) -> Texture:
    """The tile repeated, weathered everywhere differently, so weakly or strongly."""
    times = -(-rows // tile.shape[0]), -(-columns // tile.shape[1]), 1
    return finish(np.tile(tile, times)[:rows, :columns].astype(np.float64), rng, cell=40, strength=weather)


def pasted(texture: Texture, patch: Texture, row: int, column: int) -> Texture:
    """A copy of the texture with the patch on it."""
    result = texture.copy()
    rows, columns = result[row : row + patch.shape[0], column : column + patch.shape[1]].shape[:2]
    result[row : row + rows, column : column + columns] = patch[:rows, :columns]
    return result


def _strewn(
    rng: np.random.Generator,
    ground: Texture,
    count: int,
    size: tuple[float, float],
    grey: tuple[float, float],
) -> Array:
    picture = Image.fromarray(ground)
    draw = ImageDraw.Draw(picture)
    for _ in range(count):
        x, y, r = rng.uniform(0, ground.shape[1]), rng.uniform(0, ground.shape[0]), rng.uniform(*size)
        draw.ellipse([x - r, y - 0.8 * r, x + r, y + 0.8 * r], fill=_rgb(rng.uniform(*grey, 3)))
    return np.asarray(picture, dtype=np.float64)


def _bands(rng: np.random.Generator, length: int) -> Array:
    """A band's number, 0 to 4, for each texel."""
    widths = rng.integers(4, 30, length // 4 + 1)
    return np.repeat(rng.integers(0, 5, len(widths)), widths)[:length]


def _colours(rng: np.random.Generator, count: int) -> Array:
    """Colours by chance, half-way to grey."""
    bright = rng.uniform(50, 230, (count, 3))
    return np.asarray((bright + bright.mean(axis=1, keepdims=True)) / 2, dtype=np.float64)


def _rgb(colour: Array) -> tuple[int, int, int]:
    r, g, b = (int(value) for value in colour)
    return r, g, b
