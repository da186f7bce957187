"""A textured surface of each photo: two triangles for each square of four neighbouring pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sfm.exports.view_maps import Grid, Mask, ViewMap


@dataclass(frozen=True, slots=True)
class Surface:
    """What one photo sees of the scene."""

    name: str
    """Of the photo."""
    corners: NDArray[np.float32]
    """(V, 3) in the unit of the export."""
    where: NDArray[np.float32]
    """(V, 2) in the texture, from its upper left corner, as shares of its width and height."""
    triangles: NDArray[np.int64]
    """(T, 3) corners, counter-clockwise as the photo sees them."""
    texture: NDArray[np.uint8]
    """(H, W, 3)."""


@dataclass(slots=True)
class Surfaces:
    """Surfaces of photos, made as their depth comes by."""

    colours: Callable[[str], NDArray[np.uint8]]
    """(H, W, 3) of the pixels of a photo's depth."""
    step: int = 1
    """Pixels between corners."""
    found: list[Surface] = field(default_factory=list)
    """Of photos with at least one triangle."""

    @classmethod
    def limited(
        cls, colours: Callable[[str], NDArray[np.uint8]], num_pixels: int, max_corners: int
    ) -> Surfaces:
        """With as many pixels between corners as keep these below a number."""
        return cls(colours, max(1, math.ceil(math.sqrt(num_pixels / max_corners))))

    def add(self, name: str, view: ViewMap, smooth: Mask, kept: Mask) -> None:
        """Make a photo's surface: squares of four smooth pixels (H, W), of which one at least is kept (H, W).

        Where the depths of photos differ by no more than their errors, only the most confident photo keeps
        its pixel, and that changes from pixel to pixel. Squares that reach one pixel farther close the gaps
        between what each keeps.
        """
        if self.step > 1:
            part = slice(None, None, self.step)
            view, kept = _thinned(view, self.step), kept[part, part]
            # What was smooth from pixel to pixel need not be so over several.
            smooth = smooth[part, part] & ~view.edges()
        triangles = _triangles(smooth, kept)
        if not len(triangles):
            return
        used = np.zeros(kept.size, np.bool_)
        used[triangles.reshape(-1)] = True
        number = np.cumsum(used) - 1
        corners = view.world_points(used.reshape(kept.shape))
        texture = self.colours(name)
        self.found.append(
            Surface(
                name,
                corners.astype(np.float32),
                _in_texture(used, kept.shape, self.step, texture.shape),
                number[triangles],
                texture,
            )
        )


def _triangles(smooth: Mask, kept: Mask) -> NDArray[np.int64]:
    """(T, 3) pixels by row, of all squares of four smooth pixels that are not all left out."""
    if min(kept.shape) < 2:
        return np.empty((0, 3), np.int64)
    whole, some = (sliding_window_view(mask, (2, 2)) for mask in (smooth, kept))
    rows, columns = np.nonzero(whole.all(axis=(2, 3)) & some.any(axis=(2, 3)))
    width = kept.shape[1]
    upper_left = rows * width + columns
    lower_left = upper_left + width
    upper, lower = (
        np.column_stack(corners)
        for corners in (
            (upper_left, lower_left, upper_left + 1),
            (upper_left + 1, lower_left, lower_left + 1),
        )
    )
    return np.concatenate((upper, lower)).astype(np.int64)


def _in_texture(
    used: Mask, shape: tuple[int, ...], step: int, texture: tuple[int, ...]
) -> NDArray[np.float32]:
    rows, columns = np.unravel_index(np.flatnonzero(used), shape)
    height, width = texture[:2]
    u, v = (columns * step + 0.5) / width, (rows * step + 0.5) / height
    return np.column_stack((u, v)).astype(np.float32)


def _thinned(view: ViewMap, step: int) -> ViewMap:
    """Every `step`-th pixel of a view, starting with the first."""
    grid, shift = view.grid, (1 - step) / 2
    part = slice(None, None, step)
    depth, confidence = view.depth[part, part], view.confidence[part, part]
    (sx, sy), (ox, oy) = grid.scale, grid.offset
    thin = Grid((sx * step, sy * step), (ox + shift * sx, oy + shift * sy), (depth.shape[1], depth.shape[0]))
    return replace(view, grid=thin, depth=depth, confidence=confidence)
