"""Sunlight with cast shadows, baked into the textures, so that the pictures look like a place."""

from __future__ import annotations

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
    sun = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    return [_lit(quad, quads, sun) for quad in quads]


def _lit(quad: Quad, blockers: Sequence[Quad], sun: Array) -> Quad:
    facing = max(float(quad.normal @ sun), 0.0)
    shape = tuple(int(np.clip(np.ceil(length * LIGHT_TEXELS_PER_M), 2, 256)) for length in quad.size_m[::-1])
    u, v = np.meshgrid((np.arange(shape[1]) + 0.5) / shape[1], 1 - (np.arange(shape[0]) + 0.5) / shape[0])
    points = quad.origin + u[..., None] * quad.edge_u + v[..., None] * quad.edge_v + 0.01 * quad.normal
    free = _sunny(points.reshape(-1, 3), blockers, sun).reshape(shape) if facing > 0 else np.zeros(shape)
    rows, columns = quad.texture.shape[:2]
    soft = np.asarray(
        Image.fromarray(free.astype(np.float32)).resize((columns, rows), Image.Resampling.BILINEAR)
    )
    light = AMBIENT * (0.85 + 0.15 * abs(quad.normal[2])) + soft[..., None] * (facing * SUN)
    return replace(quad, texture=np.clip(quad.texture * light, 0, 255).astype(np.uint8))


def _sunny(points: Array, blockers: Sequence[Quad], sun: Array) -> NDArray[np.bool_]:
    """Which points see the sun."""
    free = np.ones(len(points), dtype=bool)
    for quad in blockers:
        normal = np.cross(quad.edge_u, quad.edge_v)
        slope = float(normal @ sun)
        if abs(slope) < 1e-9:
            continue
        offset = points - quad.origin
        distance = -(offset @ normal) / slope
        squared = float(normal @ normal)
        hit = offset + distance[:, None] * sun
        u, v = hit @ np.cross(quad.edge_v, normal) / squared, hit @ np.cross(normal, quad.edge_u) / squared
        free &= ~((distance > 1e-3) & (u > 0) & (u < 1) & (v > 0) & (v < 1))
    return free
