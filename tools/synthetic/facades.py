"""House fronts: plaster or brick, windows with something behind each, doors, shop signs, ivy, posters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .quads import Array, Texture
from .textures import Colour, courses, finish, flat, fractal

TEXELS_PER_M = 80
_WALLS = (
    (226, 190, 130), (206, 120, 92), (150, 178, 168), (214, 206, 186), (192, 150, 160),
    (140, 158, 190), (222, 168, 96), (176, 190, 140), (200, 96, 80), (236, 220, 170),
)  # fmt: skip
_TRIMS = ((44, 84, 72), (110, 40, 38), (38, 62, 104), (90, 66, 44), (30, 30, 34), (150, 110, 40))


@dataclass(frozen=True, slots=True)
class Front:
    """What a facade is made of."""

    width_m: float
    height_m: float
    wall: Colour
    trim: Colour
    sign: str
    brick: bool
    windows: int
    ivy: float = 0.0


def random_front(rng: np.random.Generator, width_m: float, height_m: float, sign: str) -> Front:
    """A front of the given size; colours, material and windows by chance."""
    wall, trim = _WALLS[rng.integers(len(_WALLS))], _TRIMS[rng.integers(len(_TRIMS))]
    brick = bool(rng.random() < 0.4)
    windows = max(2, round(width_m / rng.uniform(1.5, 2.1)))
    return Front(
        width_m, height_m, wall, trim, sign, brick, windows, float(rng.choice([0.0, 0.0, 0.25, 0.4]))
    )


def paint(front: Front, rng: np.random.Generator) -> Texture:
    """The facade as a texture of `TEXELS_PER_M`."""
    rows, columns = round(front.height_m * TEXELS_PER_M), round(front.width_m * TEXELS_PER_M)
    if front.brick:
        base = courses(rng, rows, columns, stone=(16, 36), colour=front.wall, spread=0.09, joint=0.1)
    else:
        base = flat(rows, columns, front.wall) * (1 + 0.1 * fractal(rng, rows, columns, cell=90)[..., None])
    picture = Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))
    _details(ImageDraw.Draw(picture), front, rng, rows, columns)
    return finish(_grow_ivy(np.asarray(picture, dtype=np.float64), front.ivy, rng), rng)


def board(
    rng: np.random.Generator, rows: int, columns: int, text: str, paper: Colour, ink: Colour
) -> Texture:
    """A painted board or poster with a line of text and random blots."""
    picture = Image.fromarray(flat(rows, columns, paper).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(10):
        x, y, r = rng.uniform(0, columns), rng.uniform(rows * 0.35, rows), rng.uniform(0.04, 0.16) * rows
        shape = [x - r, y - r, x + r, y + r]
        colour = tuple(int(c) for c in rng.uniform(20, 240, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(shape, fill=colour)
    write(draw, (columns / 2, rows * 0.2), text, columns * 0.9, rows * 0.3, ink)
    return finish(np.asarray(picture, dtype=np.float64), rng)


def write(
    draw: ImageDraw.ImageDraw,
    centre: tuple[float, float],
    text: str,
    max_width: float,
    max_height: float,
    ink: Colour,
) -> None:
    """Centred text, as large as fits."""
    size = max_height
    font = ImageFont.load_default(size)
    length = font.getlength(text)
    if length > max_width:
        font = ImageFont.load_default(size * max_width / length)
    draw.text(centre, text, fill=_rgb(ink), font=font, anchor="mm")


def _details(
    draw: ImageDraw.ImageDraw, front: Front, rng: np.random.Generator, rows: int, columns: int
) -> None:
    ground_floor = rows - round(2.9 * TEXELS_PER_M)
    storeys = max(1, round(ground_floor / (2.5 * TEXELS_PER_M)))
    pitch = columns / front.windows
    for storey in range(storeys):
        top = (storey + 0.22) * ground_floor / storeys
        tall = min(0.6 * ground_floor / storeys, 1.6 * TEXELS_PER_M)
        for i in range(front.windows):
            _window(draw, rng, ((i + 0.5) * pitch, top), min(0.5 * pitch, TEXELS_PER_M), tall, front.trim)
    _shop(draw, front, rng, ground_floor, rows, columns)
    draw.rectangle([0, 0, columns, 0.16 * TEXELS_PER_M], fill=_rgb(front.trim))
    for x in np.arange(0.1, columns / TEXELS_PER_M, 0.6):  # the brackets of the cornice
        draw.rectangle(
            [x * TEXELS_PER_M, 10, (x + 0.2) * TEXELS_PER_M, 28], fill=_rgb(_scaled(front.trim, 1.5))
        )


def _window(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    top: tuple[float, float],
    wide: float,
    tall: float,
    trim: Colour,
) -> None:
    x, y = top
    left, right, low = x - wide / 2, x + wide / 2, y + tall
    draw.rectangle(
        [left - 6, y - 6, right + 6, low + 6], fill=_rgb(_scaled((235, 230, 220), rng.uniform(0.85, 1)))
    )
    draw.rectangle([left, y, right, low], fill=_rgb(rng.uniform(0.6, 1.4) * np.array([48, 62, 78])))
    curtain = tuple(rng.uniform(120, 235, 3))
    drop = rng.uniform(0.1, 0.9)
    if rng.random() < 0.6:
        draw.polygon(
            [(left, y), (x, y), (left + 4, y + drop * tall), (left, y + drop * tall)], fill=_rgb(curtain)
        )
        draw.polygon(
            [(right, y), (x, y), (right - 4, y + drop * tall), (right, y + drop * tall)], fill=_rgb(curtain)
        )
    elif rng.random() < 0.6:
        draw.rectangle([left, y, right, y + drop * tall], fill=_rgb(curtain))
    draw.line([x, y, x, low], fill=_rgb(trim), width=4)
    draw.line([left, y + tall / 3, right, y + tall / 3], fill=_rgb(trim), width=4)
    if rng.random() < 0.5:
        for side in (left - 8 - wide * 0.4, right + 8):
            draw.rectangle([side, y - 3, side + wide * 0.4, low + 3], fill=_rgb(trim))
            for slat in np.arange(y + 6, low, 15):
                draw.line(
                    [side + 3, slat, side + wide * 0.4 - 3, slat], fill=_rgb(_scaled(trim, 1.7)), width=2
                )
    if rng.random() < 0.6:  # a flower box
        draw.rectangle([left - 4, low + 2, right + 4, low + 16], fill=(110, 66, 40))
        for _ in range(9):
            fx, fy, r = rng.uniform(left, right), low + rng.uniform(-10, 4), rng.uniform(3, 8)
            colour = rng.choice(
                [(210, 40, 60), (240, 200, 60), (230, 120, 180), (70, 130, 60), (90, 150, 70)]
            )
            draw.ellipse([fx - r, fy - r, fx + r, fy + r], fill=_rgb(colour))


def _shop(
    draw: ImageDraw.ImageDraw, front: Front, rng: np.random.Generator, top: int, rows: int, columns: int
) -> None:
    """The ground floor: a sign, a door on one side and a shop window with goods."""
    m = TEXELS_PER_M
    draw.rectangle([0.2 * m, top, columns - 0.2 * m, top + 0.55 * m], fill=_rgb(front.trim))
    write(draw, (columns / 2, top + 0.27 * m), front.sign, columns - 0.8 * m, 0.46 * m, (244, 232, 190))
    door = rng.uniform(0.15, 0.85) * (columns - 1.4 * m) + 0.2 * m
    draw.rectangle([door, rows - 2.1 * m, door + m, rows], fill=_rgb(_scaled(front.trim, 1.3)))
    draw.rectangle([door + 12, rows - 1.95 * m, door + m - 12, rows - 1.1 * m], fill=_rgb((70, 84, 92)))
    draw.ellipse([door + 0.8 * m, rows - 1.05 * m, door + 0.9 * m, rows - 0.95 * m], fill=(220, 190, 90))
    for left, right in ((0.3 * m, door - 0.25 * m), (door + 1.25 * m, columns - 0.3 * m)):
        if right - left > 0.6 * m:
            _goods(draw, rng, [left, rows - 2.1 * m, right, rows - 0.55 * m], front.trim)


def _goods(draw: ImageDraw.ImageDraw, rng: np.random.Generator, frame: Sequence[float], trim: Colour) -> None:
    left, top, right, low = frame
    draw.rectangle([left - 5, top - 5, right + 5, low + 5], fill=_rgb(trim))
    draw.rectangle([left, top, right, low], fill=_rgb(rng.uniform(0.7, 1.2) * np.array([66, 58, 50])))
    for shelf in np.linspace(top, low, 4)[1:]:
        draw.line([left, shelf, right, shelf], fill=(150, 120, 80), width=3)
        x = left + rng.uniform(2, 10)
        while x < right - 16:
            wide, tall = rng.uniform(14, 38), rng.uniform(0.35, 0.85) * (low - top) / 3
            draw.rectangle(
                [x, shelf - tall, min(x + wide, right - 2), shelf - 2], fill=_rgb(rng.uniform(40, 240, 3))
            )
            x += wide + rng.uniform(2, 16)


def _grow_ivy(colour: Array, amount: float, rng: np.random.Generator) -> Array:
    """Leaves where coarse noise is high, more of them low on the wall."""
    if amount == 0:
        return colour
    rows, columns = colour.shape[:2]
    where = (
        fractal(rng, rows, columns, cell=120, octaves=5)
        + np.linspace(-0.6, 0.5, rows)[:, None]
        + 2 * amount
        - 1
    )
    leaf = (
        np.array([58, 98, 44])
        * (1 + 0.5 * fractal(rng, rows, columns, cell=10, octaves=3, gain=0.9))[..., None]
    )
    return np.where(where[..., None] > 0.35, leaf, colour)


def _scaled(colour: Colour, factor: float) -> Array:
    return np.clip(np.asarray(colour, dtype=np.float64) * factor, 0, 255)


def _rgb(colour: Colour) -> tuple[int, int, int]:
    r, g, b = (int(np.clip(c, 0, 255)) for c in colour)
    return r, g, b
