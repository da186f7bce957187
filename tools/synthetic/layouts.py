"""The places: a town square with its furniture, a street that runs round a block, and a promenade."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .furnishing import furnish
from .furniture import barrel, crates, planter, poster_column
from .ground import cobbles, fields
from .houses import house_row, twin_front
from .lighting import bake_sun
from .quads import Array, Quad, random_for
from .raycast import Renderer
from .words import PLANTS, POSTERS, SIGNS, spelled

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
    quads = [cobbles(seed, (2 * x + 4, 2 * y + 4))]
    rows = (
        ("north", (-x, y), (x, y)),
        ("east", (x, y), (x, -y)),
        ("south", (x, -y), (-x, -y)),
        ("west", (-x, -y), (-x, y)),
    )
    signs = iter(random_for(seed, "signs").permutation(spelled(SIGNS, seed)))
    twin = twin_front(seed) if look_alikes else None
    for name, start, end in rows:
        slot = {"north": 1, "east": 2}.get(name)
        twins = {slot: twin} if slot is not None and twin is not None else {}
        names = [next(signs) for _ in range(4)]
        quads += house_row(seed, name, np.array(start), np.array(end), names, twins=twins)
    quads += furnish(seed)
    return Scene(tuple(bake_sun(quads, azimuth_deg=225, elevation_deg=52)), HALF_SIZE_M)


@lru_cache(maxsize=2)
def street(seed: int = 0, *, length_m: float = 40.0, width_m: float = 30.0, lane_m: float = 7.0) -> Scene:
    """A street round a rectangular block: a walk round it closes a loop that no single view can see across.

    `length_m` and `width_m` are those of the street's middle line.
    """
    rng = random_for(seed, "street")
    quads = [cobbles(seed, (length_m + 2 * lane_m, width_m + 2 * lane_m))]
    outer = np.array([length_m + lane_m, width_m + lane_m]) / 2
    inner = np.array([length_m - lane_m, width_m - lane_m]) / 2
    for ring, (half, order) in {"outer": (outer, 1), "inner": (inner, -1)}.items():
        corner = (half * np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]]))[::order]
        for side in range(4):
            start, end = corner[side], corner[(side + 1) % 4]
            count = max(2, round(float(np.linalg.norm(end - start)) / 6.5))
            signs = list(rng.choice(spelled(SIGNS, seed), count))
            quads += house_row(seed, f"{ring} {side}", start, end, signs)
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
    quads = [cobbles(seed, (length_m, 20.0))]
    quads += house_row(seed, "promenade", *ends, signs[:count], heights_m=(7.0, 8.5))
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


FLIGHT_SIZE_M = (480.0, 280.0)
"""Of the fields that a flight goes over; there are more around them."""


@lru_cache(maxsize=1)
def farmland(seed: int = 0) -> Scene:
    """Flat fields to be photographed from above: nothing in them has a height."""
    size = FLIGHT_SIZE_M[0] + 160.0, FLIGHT_SIZE_M[1] + 160.0
    return Scene((fields(seed, size),), (FLIGHT_SIZE_M[0] / 2, FLIGHT_SIZE_M[1] / 2))


@lru_cache(maxsize=2)
def whitewashed(scene: Scene) -> Scene:
    """The same shapes in plain plaster under a sky of the same colour: depth, but hardly any texture."""
    sun = np.array([0.5, -0.5, 0.7])
    quads = [
        replace(quad, texture=np.full((8, 8, 3), round(200 + 4 * float(quad.normal @ sun)), np.uint8))
        for quad in scene.quads
    ]
    return Scene(tuple(quads), scene.half_size_m, (np.full(3, 200.0), np.full(3, 200.0)))
