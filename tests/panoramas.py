"""Spherical panoramas of a room with patterned walls, drawn ray by ray, with their poses."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

Array = npt.NDArray[np.float64]

HALF = np.array([2.0, 1.3, 2.5])
"""Of the room's size, metres; y down."""
_TEXELS = 500


def camera(width: int) -> pycolmap.Camera:
    """The camera of a panorama twice as wide as high."""
    return pycolmap.Camera(
        camera_id=1, model="EQUIRECTANGULAR", width=width, height=width // 2, params=[width, width // 2]
    )


def draw_panoramas(folder: Path, *, count: int, width: int, seed: int = 0) -> dict[str, pycolmap.Rigid3d]:
    """`count` JPEGs in `folder`; `cam_from_world` of each, by name."""
    rng = np.random.default_rng(seed)
    walls = [_wall(rng) for _ in range(6)]
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(width // 2) + 0.5)
    rays = np.asarray(camera(width).cam_ray_from_img(np.column_stack((column.ravel(), row.ravel()))))
    folder.mkdir(parents=True)
    poses = {}
    for number in range(count):
        around = 2 * np.pi * number / count
        centre = np.array([0.9 * np.cos(around), rng.uniform(-0.2, 0.2), 1.1 * np.sin(around)])
        turn = Rotation.from_euler("yxz", [rng.uniform(0, 360), *rng.uniform(-5, 5, 2)], degrees=True)
        world_rays = turn.inv().apply(rays)
        grey = _seen(walls, centre, world_rays).reshape(width // 2, width)
        picture = np.clip(grey + rng.normal(0, 1, grey.shape), 0, 255).astype(np.uint8)
        name = f"pano_{number}.jpg"
        Image.fromarray(picture).convert("RGB").save(folder / name, quality=95)
        poses[name] = pycolmap.Rigid3d(pycolmap.Rotation3d(turn.as_matrix()), -turn.apply(centre))
    return poses


def _wall(rng: np.random.Generator) -> Array:
    noise = sum(
        scale * gaussian_filter(rng.normal(size=(_TEXELS, _TEXELS)), scale, mode="wrap")
        for scale in (2, 8, 32)
    )
    return np.asarray(128 + 45 * noise / np.std(noise), np.float64)


def _seen(walls: list[Array], centre: Array, rays: Array) -> Array:
    """Grey values along rays (N, 3) from a point in the room, (N,)."""
    with np.errstate(divide="ignore"):
        distance = (np.sign(rays) * HALF - centre) / rays
    axis = np.argmin(np.where(np.isfinite(distance), distance, np.inf), axis=1)
    every = np.arange(len(rays))
    hit = centre + rays * distance[every, axis][:, None]
    wall = 2 * axis + (rays[every, axis] > 0)
    grey = np.zeros(len(rays))
    for number, texture in enumerate(walls):
        own = wall == number
        others = [i for i in range(3) if i != number // 2]
        where = (hit[own][:, others] / HALF[others] + 1) / 2 * (_TEXELS - 1)
        grey[own] = map_coordinates(texture, where.T, order=1, mode="nearest")
    return grey
