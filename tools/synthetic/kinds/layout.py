"""What a kind of scene consists of: a lit place and where its photographer goes; and things to put there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..camera import Pose, look_at
from ..layouts import Scene
from ..lighting import bake_sun
from ..quads import Array, Quad, Texture, box, prism
from .materials import label, material

Stop = Callable[[float, int], tuple[Sequence[float], Sequence[float]]]
"""Eye and target at a share of the way, in the first pass (0) or the second (1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A place, the way through it, and how far eyes and targets are off it by chance."""

    scene: Scene
    stop: Stop
    sway_m: float
    down: bool = False
    """Photographed from above: the picture's upper side is ahead."""


def lit(quads: Sequence[Quad], rng: np.random.Generator, *, scale: float = 1.0) -> Scene:
    """A scene under a sun by chance, made smaller after it was lit: light has so many texels to the metre."""
    azimuth, elevation = float(rng.uniform(190, 350)), float(rng.uniform(40, 65))
    shone = bake_sun(quads, azimuth_deg=azimuth, elevation_deg=elevation)
    small = [
        replace(q, origin=scale * q.origin, edge_u=scale * q.edge_u, edge_v=scale * q.edge_v) for q in shone
    ]
    haze = rng.uniform(170, 230, 3)
    return Scene(tuple(small), (1.0, 1.0), (haze, haze * 0.8))


def poses(layout: Layout, rng: np.random.Generator, count: int, passes: int) -> list[Pose]:
    """So many views in all, each pass the whole way, in the order in which they are taken."""
    taken = []
    for lane in range(passes):
        num = count // passes + (lane < count % passes)
        for share in (np.arange(num) + 0.5) / num:
            eye, target = (np.array(part, dtype=np.float64) for part in layout.stop(float(share), lane))
            eye += layout.sway_m * rng.uniform(-1, 1, 3)
            target += layout.sway_m * rng.uniform(-1, 1, 3)
            taken.append(look_at(eye, target))
    return taken


def floor(
    texture: Texture, size: tuple[float, float], z: float = 0.0, at: tuple[float, float] = (0, 0)
) -> Quad:
    """A level rectangle about a spot."""
    corner = np.array([at[0] - size[0] / 2, at[1] - size[1] / 2, z])
    return Quad(corner, np.array([size[0], 0.0, 0.0]), np.array([0.0, size[1], 0.0]), texture)


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """A box, a can or a stack of two: the same in each place where it is put."""

    size: tuple[float, float, float]
    sides: int
    side: Texture
    top: Texture
    hat: Texture | None

    def at(self, spot: tuple[float, float], z: float = 0.0, *, turn_deg: float = 0.0) -> list[Quad]:
        """Its surfaces when it stands there."""
        width, depth, height = self.size
        if self.sides == 4:
            quads = box(spot, (width, depth), (z, z + height), self.side, top=self.top, turn_deg=turn_deg)
        else:
            high = z, z + height
            quads = prism(spot, width / 2, self.sides, high, self.side, top=self.top, turn_deg=turn_deg)
        if self.hat is not None:
            low = z + height
            size = 0.6 * width, 0.6 * depth
            quads += box(spot, size, (low, low + 0.4 * height), self.hat, turn_deg=turn_deg + 25)
        return quads


def thing(
    rng: np.random.Generator, size: tuple[float, float, float], per_m: float, *, package: bool = False
) -> Thing:
    """A thing of about this size; `package`: without a hat, with another print on each side."""
    width, depth, height = (float(length * rng.uniform(0.85, 1.15)) for length in size)
    sides = int(rng.choice([4, 4, 8, 12]))
    around = 2 * (width + depth) if sides == 4 else np.pi * width
    if package:
        rows, columns = round(height * per_m), round(around * per_m / 4)
        side = np.concatenate([label(rng, rows, columns) for _ in range(4)], axis=1)
    else:
        side = material(rng, (around, height), per_m)
    top = material(rng, (width, depth), per_m)
    hat = None
    if not package and rng.random() < 0.3:
        hat = material(rng, (1.2 * (width + depth), 0.4 * height), per_m)
    return Thing((width, depth, height), sides, side, top, hat)


def spots(
    rng: np.random.Generator, count: int, half: Array, gap: float, taken: Sequence[tuple[float, float]] = ()
) -> list[tuple[float, float]]:
    """Up to so many places in a rectangle, at least so far from each other and from those taken."""
    found = list(taken)
    for _ in range(60 * count):
        spot = float(rng.uniform(-half[0], half[0])), float(rng.uniform(-half[1], half[1]))
        if len(found) < count + len(taken) and all(
            np.hypot(spot[0] - x, spot[1] - y) > gap for x, y in found
        ):
            found.append(spot)
    return found[len(taken) :]
