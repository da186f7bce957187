"""What stands where in the square; the path that the photographer walks stays free."""

from .facades import board
from .furniture import (
    Spot,
    barrel,
    bunting,
    crates,
    fountain,
    market_stall,
    planter,
    poster_column,
    statue,
    tree,
)
from .quads import Quad, prism, random_for
from .textures import finish, flat
from .words import PLANTS, POSTERS, STATUE, spelled

_CRATES = ((2.0, 2.4), (10.4, -7.6), (-10.6, -5.0))
_COLUMNS = ((8.6, 7.4), (-2.0, -7.6), (-0.6, 3.0))
_TREES = ((-10.4, 7.2), (10.6, -0.8), (4.5, -7.7), (-6.5, -7.6))
_PLANTERS = (
    (-1.8, -2.6, 15), (1.5, -2.9, -40), (-4.6, -1.2, 80), (-11.2, 0.5, 90), (1.5, 8.2, 0),
    (11.2, 3.0, 90), (8.0, -8.2, 0),
)  # fmt: skip
_BARRELS = (
    (-5.0, 1.9), (2.6, -1.9), (-1.9, 2.2), (4.6, 8.0), (-10.9, 3.4), (11.0, -4.6), (1.2, -8.0), (0.6, 3.4),
)  # fmt: skip
_LINES = (((-11.5, 4.0), (3.0, 8.6)), ((11.5, 4.0), (-2.0, -8.6)), ((-11.5, -5.0), (11.5, -3.5)))


def furnish(seed: int) -> list[Quad]:
    """The furniture of one square. Odd seeds have it mirrored: squares must not share an arrangement."""
    rng = random_for(seed, "furniture")
    side = 1 if seed % 2 == 0 else -1

    def at(x: float, y: float) -> Spot:
        return side * x, y

    posters, plants, names = (spelled(words, seed) for words in (POSTERS, PLANTS, STATUE))
    quads = [*fountain(rng, at(0.0, 0.0)), *statue(rng, at(-3.2, 1.2), names)]
    quads += market_stall(rng, at(3.8, 0.2), turn_deg=side * 65) + market_stall(
        rng, at(-7.0, 7.6), turn_deg=side * 5
    )
    for spot in _CRATES:
        quads += crates(rng, at(*spot))
    for spot in _COLUMNS:
        quads += poster_column(rng, at(*spot), posters)
    for spot in _TREES:
        quads += tree(rng, at(*spot))
    for x, y, turn_deg in _PLANTERS:
        quads += planter(rng, at(x, y), plants, turn_deg=side * turn_deg)
    for spot in _BARRELS:
        quads += barrel(rng, at(*spot))
    for start, end in _LINES:
        quads += bunting(rng, at(*start), at(*end), height_m=4.6, count=26)
    (way,) = spelled(("THIS WAY  *  THAT WAY  *",), seed)
    plinth = board(rng, 120, 480, way, (214, 206, 186), (60, 40, 30))
    stone = finish(flat(96, 96, (150, 150, 150)), rng)
    return [*quads, *prism(at(10.4, 5.0), 0.55, 6, (0.0, 1.4), plinth, top=stone)]
