"""Sunlight with cast shadows, baked into the textures, so that the pictures look like a place."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .quads import Array, Quad

LIGHT_TEXELS_PER_M = 6.0
AMBIENT = np.array([0.60, 0.63, 0.70])
SUN = np.array([0.66, 0.60, 0.48])


def bake_sun(quads: Sequence[Quad], *, azimuth_deg: float, elevation_deg: float) -> list[Quad]:
    """The same quads lit by a sun in the given direction (azimuth from +x towards +y)."""
    azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
    level = np.cos(elevation)
    sun = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
    towards = [quad for quad in quads if quad.normal @ sun > 0]
    grids = [_light_grid(quad) for quad in towards]
    free = _sunny(np.concatenate([grid.reshape(-1, 3) for grid in grids]), quads, sun)
    parts = np.split(free, np.cumsum([grid.size // 3 for grid in grids])[:-1])
    sunny = {id(q): part.reshape(g.shape[:2]) for q, g, part in zip(towards, grids, parts, strict=True)}
    return [_lit(quad, sunny.get(id(quad), np.zeros((2, 2), dtype=bool)), sun) for quad in quads]


def _light_grid(quad: Quad) -> Array:
    """Points (rows, columns, 3) just above the quad, a few to the metre, the first row at the top."""
    rows, columns = (int(np.clip(np.ceil(m * LIGHT_TEXELS_PER_M), 2, 256)) for m in quad.size_m[::-1])
    u, v = np.meshgrid((np.arange(columns) + 0.5) / columns, 1 - (np.arange(rows) + 0.5) / rows)
    points = quad.origin + u[..., None] * quad.edge_u + v[..., None] * quad.edge_v + 0.01 * quad.normal
    return np.asarray(points, dtype=np.float64)


def _lit(quad: Quad, sunny: NDArray[np.bool_], sun: Array) -> Quad:
    rows, columns = quad.texture.shape[:2]
    picture = Image.fromarray(sunny.astype(np.float32))
    soft = np.asarray(picture.resize((columns, rows), Image.Resampling.BILINEAR))
    facing = max(float(quad.normal @ sun), 0.0)
    light = AMBIENT * (0.85 + 0.15 * abs(quad.normal[2])) + soft[..., None] * (facing * SUN)
    return replace(quad, texture=np.clip(quad.texture * light, 0, 255).astype(np.uint8))


def _sunny(points: Array, blockers: Sequence[Quad], sun: Array) -> NDArray[np.bool_]:
    """Which points (N, 3) see the sun."""
    across = np.cross(
        sun, [0.0, 0.0, 1.0]
    )  # shadows keep this coordinate: sorted by it, few points are near each
    order = np.argsort(points @ across, kind="stable")
    points, position = points[order], (points @ across)[order]
    free = np.ones(len(points), dtype=bool)
    for quad in blockers:
        normal = np.cross(quad.edge_u, quad.edge_v)
        slope = float(normal @ sun)
        if abs(slope) < 1e-9:
            continue
        corners = (
            quad.origin @ across + np.array([0, quad.edge_u @ across])[:, None] + [0, quad.edge_v @ across]
        )
        near = slice(*np.searchsorted(position, [corners.min(), corners.max()]))
        free[near] &= ~_blocked(points[near], quad, normal, sun, slope)
    result = np.empty_like(free)
    result[order] = free
    return result


def _blocked(points: Array, quad: Quad, normal: Array, sun: Array, slope: float) -> NDArray[np.bool_]:
    offset = points - quad.origin
    distance = -(offset @ normal) / slope
    squared = float(normal @ normal)
    hit = offset + distance[:, None] * sun
    u, v = hit @ np.cross(quad.edge_v, normal) / squared, hit @ np.cross(normal, quad.edge_u) / squared
    return (distance > 1e-3) & (u > 0) & (u < 1) & (v > 0) & (v < 1)
