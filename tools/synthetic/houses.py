"""Houses side by side, each with a front of its own or with one that it shares with others."""

from collections.abc import Mapping, Sequence

import numpy as np

from .facades import TEXELS_PER_M, paint, random_front
from .furniture import balcony, shop_awning
from .quads import Array, Quad, Texture, random_for, wall
from .textures import courses, finish
from .words import spelled


def twin_front(seed: int, number: int = 0) -> Texture:
    """A front for several houses; each number is another one, with words of its own."""
    rng = random_for(seed, f"twin {number}" if number else "twin")
    return paint(random_front(rng, 5.5, 7.0, spelled(("TWIN'S CORNER",), seed + number)[0]), rng)


def house_row(
    seed: int,
    name: str,
    start: Array,
    end: Array,
    signs: Sequence[str],
    *,
    twins: Mapping[int, Texture] | None = None,
    heights_m: tuple[float, float] = (5.2, 8.2),
    relief: bool = True,
) -> list[Quad]:
    """One house for each sign; whoever sees the fronts has `start` on the left.

    `twins` gives the houses of these numbers a front that is painted already, as wide as it is. `relief`:
    with awnings and balconies.
    """
    twins = twins or {}
    rng = random_for(seed, name)
    shares = rng.uniform(0.8, 1.25, len(signs))
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length
    widths = shares / shares.sum() * length
    given = {slot: texture.shape[1] / TEXELS_PER_M for slot, texture in twins.items()}
    widths = _with_widths(widths, given)
    edge = np.concatenate([[0.0], np.cumsum(widths)])
    quads: list[Quad] = []
    for i, sign in enumerate(signs):
        front = twins.get(i)
        if front is None:
            front = paint(random_front(rng, widths[i], float(rng.uniform(*heights_m)), sign), rng)
        left, right = start + along * edge[i], start + along * edge[i + 1]
        quads += _house(rng, left, right, front)
        if relief:
            quads += shop_awning(rng, left, right) if rng.random() < 0.6 else balcony(rng, left, right)
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
    sides = [wall(left + back * 3, left, 0, height, bare), wall(right, right + back * 3, 0, height, bare)]
    return [wall(left, right, 0.0, height, texture), roof, *sides]


def _with_widths(widths: Array, given: Mapping[int, float]) -> Array:
    """The same sum, some widths as given, the others in proportion; without others those given give way."""
    if not given:
        return widths
    others = [i for i in range(len(widths)) if i not in given]
    result = widths.copy()
    result[list(given)] = list(given.values())
    if not others:
        return result * (widths.sum() / result.sum())
    result[others] = widths[others] * (widths.sum() - sum(given.values())) / widths[others].sum()
    return result
