"""Textured parallelograms, the only primitive of the scenes, and the solids that are made of them."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Texture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Quad:
    """The points `origin + u * edge_u + v * edge_v`, u and v in 0..1, world frame (z up, metres).

    `texture` is (rows, columns, 3) uint8; columns run along u, the first row lies at v = 1, a wall's top.
    """

    origin: Array
    edge_u: Array
    edge_v: Array
    texture: Texture

    @property
    def normal(self) -> Array:
        """Unit normal, pointing to the side from which u runs right and v up."""
        cross = np.cross(self.edge_u, self.edge_v)
        return np.asarray(cross / np.linalg.norm(cross), dtype=np.float64)

    @property
    def size_m(self) -> tuple[float, float]:
        """Lengths of the two edges."""
        return float(np.linalg.norm(self.edge_u)), float(np.linalg.norm(self.edge_v))


def random_for(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one named part: adding a part to a scene changes no other."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def wall(start: Array, end: Array, bottom: float, top: float, texture: Texture) -> Quad:
    """An upright rectangle; seen from its front, `start` (x, y) is on the left."""
    along = np.array([end[0] - start[0], end[1] - start[1], 0.0])
    return Quad(np.array([start[0], start[1], bottom]), along, np.array([0.0, 0.0, top - bottom]), texture)


def prism(
    centre: tuple[float, float],
    radius: float,
    sides: int,
    z: tuple[float, float],
    texture: Texture,
    *,
    top: Texture | None = None,
    turn_deg: float = 0.0,
) -> list[Quad]:
    """An upright prism; the texture is wound once round its sides. A top needs an even number of sides."""
    angle = np.radians(turn_deg) + 2 * np.pi * np.arange(sides + 1) / sides
    corner = np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1)
    cut = np.linspace(0, texture.shape[1], sides + 1).astype(int)
    quads = [
        wall(corner[i], corner[i + 1], z[0], z[1], np.ascontiguousarray(texture[:, cut[i] : cut[i + 1]]))
        for i in range(sides)
    ]
    if top is not None:
        quads += [_lid(corner[0], corner[sides // 4], corner[sides // 2], z[1], top)]
    return quads


def box(
    centre: tuple[float, float],
    size: tuple[float, float],
    z: tuple[float, float],
    side: Texture,
    *,
    top: Texture | None = None,
    turn_deg: float = 0.0,
) -> list[Quad]:
    """A box turned about the vertical, with a lid; the texture is wound once round its sides."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(size) / 2
    corner = half @ np.array([[c, s], [-s, c]]) + np.array(centre)
    around = np.array([0, size[0], size[0] + size[1], 2 * size[0] + size[1], 2 * (size[0] + size[1])])
    cut = np.round(around / around[-1] * side.shape[1]).astype(int)
    quads = [
        wall(corner[i], corner[(i + 1) % 4], z[0], z[1], np.ascontiguousarray(side[:, cut[i] : cut[i + 1]]))
        for i in range(4)
    ]
    return [*quads, _lid(corner[0], corner[1], corner[2], z[1], quads[0].texture if top is None else top)]


def _lid(a: Array, b: Array, c: Array, z: float, texture: Texture) -> Quad:
    """The horizontal parallelogram with the corners a, b, c in turn."""
    return Quad(np.array([*a, z]), np.array([*(b - a), 0.0]), np.array([*(c - b), 0.0]), texture)
