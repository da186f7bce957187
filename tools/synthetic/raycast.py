"""A small ray caster: quads, nearest hit, mip-mapped bilinear texture, z-depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .camera import Float32, Lens, Pose
from .quads import Array, Quad, Texture

NEAR_M = 0.05
SOFTNESS = 1.0
"""0.5 takes the reduction nearest to the footprint; more is softer, as a lens is: fewer keypoints."""


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """Nearest hit of each ray: quad index (-1 for sky), texture coordinates, z-depth, cosine of incidence."""

    quad: NDArray[np.int32]
    u: Float32
    v: Float32
    depth: Float32
    slant: Float32


class Renderer:
    """Renders one set of quads; textures with all their reductions are packed once into one flat array."""

    def __init__(self, quads: Sequence[Quad], *, sky: tuple[Array, Array]) -> None:
        """Sky: RGB at the horizon and at the zenith."""
        self._quads = tuple(quads)
        self._sky = sky
        self._pack()

    def colour(self, camera: Lens, pose: Pose, *, supersample: int = 2) -> NDArray[np.float32]:
        """The picture, (height, width, 3) float32 in 0..255, averaged over `supersample`² rays a pixel."""
        x, y = _rays(camera, supersample)
        hits = self._cast(x, y, pose)
        seen = hits.quad >= 0
        picture = np.empty((*x.shape, 3), np.float32)
        picture[~seen] = self._sky_colour(x[~seen], y[~seen], pose)
        angle = camera.stretch(x[seen], y[seen]) / np.float32(camera.focal_px * supersample)
        picture[seen] = self._sample(hits, seen, angle)
        shape = (camera.height, supersample, camera.width, supersample, 3)
        return np.asarray(picture.reshape(shape).mean(axis=(1, 3)), dtype=np.float32)

    def depth(self, camera: Lens, pose: Pose) -> NDArray[np.float32]:
        """z-depth at the pixel centres, (height, width) float32, metres; 0 where there is only sky."""
        x, y = _rays(camera, 1)
        hits = self._cast(x, y, pose)
        return np.where(hits.quad >= 0, hits.depth, np.float32(0))

    def _cast(self, x: Float32, y: Float32, pose: Pose) -> _Hits:
        columns = x.min(axis=0), x.max(axis=0)
        rows = y.min(axis=1), y.max(axis=1)
        hits = _Hits(
            quad=np.full(x.shape, -1, np.int32),
            u=np.zeros_like(x),
            v=np.zeros_like(x),
            depth=np.full_like(x, np.inf),
            slant=np.ones_like(x),
        )
        for index, quad in enumerate(self._quads):
            origin = pose.rotation @ quad.origin + pose.translation
            edges = pose.rotation @ quad.edge_u, pose.rotation @ quad.edge_v
            bounds = _bounds(origin, *edges)
            if bounds is not None:
                window = (_covered(*rows, *bounds[1]), _covered(*columns, *bounds[0]))
                _intersect(hits, index, (origin, *edges), x[window], y[window], window)
        return hits

    def _pack(self) -> None:
        """Lay out every texture and its halvings one after another; quads may share a texture."""
        pixels: list[Texture] = []
        table: list[tuple[int, int, int]] = []  # first texel, width and height of each level
        place: dict[int, tuple[int, int]] = {}  # of a texture: its first level and their number
        texels = 0
        for quad in self._quads:
            if id(quad.texture) in place:
                continue
            levels = _halvings(quad.texture)
            place[id(quad.texture)] = len(table), len(levels)
            for level in levels:
                table.append((texels, level.shape[1], level.shape[0]))
                pixels.append(level.reshape(-1, 3))
                texels += len(pixels[-1])
        self._pixels = np.concatenate(pixels)
        self._start, self._width, self._height = np.array(table, np.int32).T
        self._first_level, self._num_levels = np.array(
            [place[id(q.texture)] for q in self._quads], np.int32
        ).T
        density = [quad.texture.shape[0] / quad.size_m[1] for quad in self._quads]
        self._texels_per_m = np.array(density, np.float32)

    def _sample(self, hits: _Hits, seen: NDArray[np.bool_], pixel_angle: Float32) -> Float32:
        """Bilinear colour at the hits, from the reduction whose texels are about as large as the pixels."""
        quad = hits.quad[seen]
        footprint = hits.depth[seen] * pixel_angle / np.sqrt(np.maximum(hits.slant[seen], 0.02))
        wanted = np.floor(np.log2(np.maximum(footprint * self._texels_per_m[quad], 1e-6)) + SOFTNESS).astype(
            np.int32
        )
        level = self._first_level[quad] + np.clip(wanted, 0, self._num_levels[quad] - 1)
        width, height, start = self._width[level], self._height[level], self._start[level]
        column = np.clip(hits.u[seen] * width - 0.5, 0, width - 1).astype(np.float32)
        row = np.clip((1 - hits.v[seen]) * height - 0.5, 0, height - 1).astype(np.float32)
        c0, r0 = column.astype(np.int32), row.astype(np.int32)
        c1, r1 = np.minimum(c0 + 1, width - 1), np.minimum(r0 + 1, height - 1)
        fc, fr = (column - c0)[:, None], (row - r0)[:, None]
        top = self._pixels[start + r0 * width + c0] * (1 - fc) + self._pixels[start + r0 * width + c1] * fc
        low = self._pixels[start + r1 * width + c0] * (1 - fc) + self._pixels[start + r1 * width + c1] * fc
        return np.asarray(top * (1 - fr) + low * fr, dtype=np.float32)

    def _sky_colour(self, x: Float32, y: Float32, pose: Pose) -> Float32:
        """A smooth gradient: it gives no keypoints that would claim to be infinitely far."""
        up = pose.rotation[0, 2] * x + pose.rotation[1, 2] * y + pose.rotation[2, 2]
        height = np.clip(up / np.sqrt(x * x + y * y + 1), 0, 1)[..., None]
        return np.asarray(self._sky[0] * (1 - height) + self._sky[1] * height, dtype=np.float32)


@lru_cache(maxsize=4)
def _rays(camera: Lens, supersample: int) -> tuple[Float32, Float32]:
    """The camera's rays; most photos of a scene have one camera."""
    x, y = camera.rays(supersample)
    return x.astype(np.float32), y.astype(np.float32)


def _intersect(
    hits: _Hits,
    index: int,
    corner: tuple[Array, Array, Array],
    x: Float32,
    y: Float32,
    window: tuple[slice, slice],
) -> None:
    """Enter one quad, given in the camera's frame, where it is nearer than what is there."""
    if x.size == 0:
        return
    origin, edge_u, edge_v = corner
    normal = np.cross(edge_u, edge_v)
    squared = float(normal @ normal)
    dual_u, dual_v = np.cross(edge_v, normal) / squared, np.cross(normal, edge_u) / squared
    facing = _dot(normal, x, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.float32(normal @ origin) / facing
        u = depth * _dot(dual_u, x, y) - np.float32(origin @ dual_u)
        v = depth * _dot(dual_v, x, y) - np.float32(origin @ dual_v)
        inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1) & (depth > NEAR_M) & (depth < hits.depth[window])
    hits.quad[window][inside] = index
    hits.depth[window][inside] = depth[inside]
    hits.u[window][inside] = u[inside]
    hits.v[window][inside] = v[inside]
    hits.slant[window][inside] = np.abs(facing[inside]) / np.float32(np.sqrt(squared))


def _dot(vector: Array, x: Float32, y: Float32) -> Float32:
    a, b, c = vector.astype(np.float32)
    return np.asarray(a * x + b * y + c, dtype=np.float32)


def _bounds(
    origin: Array, edge_u: Array, edge_v: Array
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Range of x and of y, normalised, of what lies in front of the camera; None if nothing does."""
    ring = [origin, origin + edge_u, origin + edge_u + edge_v, origin + edge_v]
    kept: list[Array] = []
    for a, b in zip(ring, ring[1:] + ring[:1], strict=True):
        if a[2] > NEAR_M:
            kept.append(a)
        if (a[2] > NEAR_M) != (b[2] > NEAR_M):
            kept.append(a + (b - a) * (NEAR_M - a[2]) / (b[2] - a[2]))
    if not kept:
        return None
    flat = np.array([point[:2] / point[2] for point in kept])
    return (float(flat[:, 0].min()), float(flat[:, 0].max())), (
        float(flat[:, 1].min()),
        float(flat[:, 1].max()),
    )


def _covered(low: Float32, high: Float32, start: float, stop: float) -> slice:
    """Lines of pixels (each spanning `low`..`high`) that can meet `start`..`stop`."""
    return slice(int(np.searchsorted(high, start)), int(np.searchsorted(low, stop, side="right")))


def _halvings(texture: Texture) -> list[Texture]:
    """The texture and its successive reductions by two, down to a few texels."""
    levels = [texture]
    while min(levels[-1].shape[:2]) >= 8:
        last = levels[-1]
        rows, columns = last.shape[0] // 2, last.shape[1] // 2
        blocks = last[: rows * 2, : columns * 2].reshape(rows, 2, columns, 2, 3)
        levels.append(np.ascontiguousarray(blocks.mean(axis=(1, 3)).round().astype(np.uint8)))
    return levels
