"""Depth maps as exports write them: turned to the stored photo, in the unit of the model, 0 where unknown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.mast3r.values import ViewDepth
from sfm.matching.dense.depth.depth_maps import DepthMaps
from sfm.matching.dense.inference.photo_map import PhotoMap

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

_STEEPEST = 20.0
"""Change of depth over the width of a pixel beyond which neighbours belong to different surfaces, as at an
angle below 3 degrees."""
_LEAST_JUMP = 0.03
"""Relative change of depth below which nothing is an edge, however narrow the view."""
_STRIP = 1 << 19
"""Pixels that are resampled at a time, which bounds memory."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a map's pixels lie in the stored photo: x_photo = scale * x + offset, pixel centres at 0.5."""

    scale: tuple[float, float]
    """Photo pixels per pixel of the map, x and y."""
    offset: tuple[float, float]
    """Position of the map's upper left corner, px of the photo."""
    size: tuple[int, int]
    """(W, H) of the map, px."""

    @classmethod
    def of_network(cls, photo_map: PhotoMap) -> Grid:
        """The network's image, turned as the photo is stored."""
        height, width = photo_map.size
        corners = photo_map.to_photo(np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])).astype(np.float64)
        low, high = corners.min(axis=0), corners.max(axis=0)
        size = (width, height) if photo_map.orientation < 5 else (height, width)
        scale = (high - low) / size
        return cls((float(scale[0]), float(scale[1])), (float(low[0]), float(low[1])), size)

    @classmethod
    def of_photo(cls, camera: pycolmap.Camera) -> Grid:
        """Every pixel of a photo."""
        return cls((1.0, 1.0), (0.0, 0.0), (camera.width, camera.height))

    def centres(self) -> Float64:
        """Photo positions (H * W, 2) of the map's pixels, row by row."""
        x, y = np.meshgrid(np.arange(self.size[0]) + 0.5, np.arange(self.size[1]) + 0.5)
        return np.stack((x, y), axis=-1).reshape(-1, 2) * self.scale + self.offset

    def pixels(self, where: Float64) -> tuple[NDArray[np.int64], Mask]:
        """Index (N,) of the pixel that holds each photo position (N, 2), and whether there is one."""
        (sx, sy), (ox, oy), (width, height) = self.scale, self.offset, self.size
        column, row = np.floor((where[:, 0] - ox) / sx), np.floor((where[:, 1] - oy) / sy)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return np.where(inside, row * width + column, 0).astype(np.int64), inside


@dataclass(frozen=True, slots=True)
class ViewMap:
    """Depth of one photo on a grid of it."""

    image: pycolmap.Image
    camera: pycolmap.Camera
    """Of the model; the photo's."""
    grid: Grid
    depth: Float32
    """(H, W) along the optical axis; 0 where unknown or masked out."""
    confidence: Float32
    """(H, W), > 1; 1 where unknown."""
    is_aligned: bool = False
    """Whether depth is that of an alignment: as published, its confidence has to exceed a threshold."""

    def usable(self, min_confidence: float) -> Mask:
        """(H, W): depth is known and confident enough."""
        exceeds = self.confidence > min_confidence
        return (self.depth > 0) & (
            exceeds if self.is_aligned else exceeds | (self.confidence == min_confidence)
        )

    def world_points(self, where: Mask) -> Float64:
        """World points (N, 3) of the pixels that `where` (H, W) selects, row by row; NaN without a ray."""
        rays = _rays(self.camera, self.grid.centres()[where.ravel()])
        pose = self.image.cam_from_world()
        local = rays * self.depth[where][:, None].astype(np.float64)
        return np.asarray((local - pose.translation) @ pose.rotation.matrix(), np.float64)

    def edges(self) -> Mask:
        """(H, W): pixels next to a jump in depth, which the network blurs to points between the surfaces."""
        focal = self.camera.mean_focal_length() / ((self.grid.scale[0] + self.grid.scale[1]) / 2)
        jump = np.log1p(max(_STEEPEST / focal, _LEAST_JUMP))
        logs = np.log(np.where(self.depth > 0, self.depth, np.nan))
        edges = np.zeros(self.depth.shape, np.bool_)
        for axis in (0, 1):
            near, far = (np.moveaxis(edges, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
            apart = np.moveaxis(np.abs(np.diff(logs, axis=axis)) > jump, axis, 0)
            near |= apart
            far |= apart
        return edges

    def widest_ray(self) -> Float64:
        """Largest |x / z| and |y / z| within the map, (2,)."""
        border = np.ones(self.depth.shape, np.bool_)
        border[1:-1, 1:-1] = False
        rays = np.abs(_rays(self.camera, self.grid.centres()[border.ravel()])[:, :2])
        return np.asarray(np.nan_to_num(np.fmax.reduce(rays), nan=np.inf), np.float64)


def turned_to_stored(upright: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """Rows and columns (the first two axes) of an upright photo as EXIF `orientation` stores them."""
    rows_first = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1]}
    if orientation in rows_first:
        return np.ascontiguousarray(rows_first[orientation])
    swapped = upright.swapaxes(0, 1)
    turned = {5: swapped, 6: swapped[::-1], 7: swapped[::-1, ::-1], 8: swapped[:, ::-1]}
    return np.ascontiguousarray(turned[orientation])


def network_view(
    view: ViewDepth, photo_map: PhotoMap, image: pycolmap.Image, camera: pycolmap.Camera
) -> ViewMap:
    """The network's own pixels, turned to the stored photo."""
    depth = np.nan_to_num(turned_to_stored(view.depth, photo_map.orientation), nan=0.0)
    confidence = turned_to_stored(view.confidence, photo_map.orientation)
    return ViewMap(image, camera, Grid.of_network(photo_map), depth, confidence)


def resampled_view(
    view: ViewDepth,
    photo_map: PhotoMap,
    image: pycolmap.Image,
    camera: pycolmap.Camera,
    target: pycolmap.Camera | None = None,
) -> ViewMap:
    """Depth and confidence for every pixel of the photo, or of its undistorted version.

    Interpolated on surfaces; at their edges the nearest pixel's. 0 and 1 where the network's crop ends.

    Args:
        view: (H, W) of the network's image; `photo_map` gives the photo's pixels of it.
        target: camera of the undistorted photo; None for the photo itself.
    """
    depth_maps = DepthMaps({image.name: view}, {image.name: photo_map}, metric=False)
    network = Grid.of_network(photo_map)
    grid = Grid.of_photo(target or camera)
    depth, confidence = np.zeros(grid.size[::-1], np.float32), np.ones(grid.size[::-1], np.float32)
    for start, positions in _strips(grid):
        here = slice(start, start + len(positions))
        where = positions if target is None else _projected(camera, _rays(target, positions))
        found = depth_maps.at(image.name, where)
        assert found is not None
        known = network.pixels(where)[1] & np.isfinite(found[0])
        depth.ravel()[here] = np.where(known, found[0], 0.0)
        confidence.ravel()[here] = np.where(known, found[1], 1.0)
    return ViewMap(image, target or camera, grid, depth, confidence)


def _rays(camera: pycolmap.Camera, positions: Float64) -> Float64:
    """(N, 3) of depth 1, NaN where distortion cannot be undone."""
    flat = np.asarray(camera.cam_from_img(positions), np.float64)
    return np.column_stack((flat, np.ones(len(flat))))


def _projected(camera: pycolmap.Camera, rays: Float64) -> Float64:
    """Photo positions (N, 2) of rays (N, 3); outside the photo where there is none."""
    return np.nan_to_num(np.asarray(camera.img_from_cam(rays), np.float64), nan=-1.0)


def _strips(grid: Grid) -> Iterator[tuple[int, Float64]]:
    width, height = grid.size
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        part = Grid(
            grid.scale,
            (grid.offset[0], grid.offset[1] + top * grid.scale[1]),
            (width, min(rows, height - top)),
        )
        yield top * width, part.centres()
