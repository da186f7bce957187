"""Where dense global alignment starts: pointmaps put together along a spanning tree (DUSt3R §3.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray

from sfm.geometry.similarity import fit_similarity
from sfm.mast3r.network.pointmap_focal import estimate_focal

from .optimise import FOCAL_BREAK, MEAN_SCALE, Direction, RawVariables

Float64 = NDArray[np.float64]

_CONFIDENT = 3.0
"""Confidence of points above which a pose by PnP takes them."""
_MAX_ERROR_PX = 5.0
_LEAST_DEPTH = 1e-6


class UnconnectedError(Exception):
    """The directions do not connect all images, or leave the pose of one open."""


@dataclass(frozen=True, slots=True)
class PlacedImage:
    """One image where the pointmaps have it."""

    focal: float
    """px."""
    world_from_camera: pycolmap.Rigid3d
    points: Float64
    """(H * W, 3) in the world."""

    @property
    def depth(self) -> Float64:
        """(H * W,) > 0, in its camera frame."""
        seen = self.world_from_camera.inverse() * self.points
        return np.maximum(seen[:, 2], _LEAST_DEPTH)


def start_variables(
    directions: Sequence[Direction],
    sizes: Sequence[tuple[int, int]],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
    seed: int = 0,
) -> RawVariables:
    """Variables of all directions and images, put together from the pointmaps.

    Args:
        directions: each pair both ways.
        sizes: (W, H) of the images.
        seed: of PnP's random samples.

    Raises:
        UnconnectedError: no connected graph, or an image whose points show no pose.
    """
    images = placed_images(directions, sizes, seed=seed)
    pairs = [
        _similarity(one.first_points, one.first_confidence, images[one.first].points) for one in directions
    ]
    unit = MEAN_SCALE / float(np.exp(np.mean([np.log(pair.scale) for pair in pairs])))
    return RawVariables.of(
        [
            [*pair.rotation.quat, *_signed_log1p(pair.translation / pair.scale), np.log(pair.scale)]
            for pair in pairs
        ],
        [
            [
                *image.world_from_camera.rotation.quat,
                *_signed_log1p(unit * image.world_from_camera.translation),
            ]
            for image in images
        ],
        [np.log(unit * image.depth) for image in images],
        [FOCAL_BREAK * np.log(image.focal) for image in images],
        dtype=dtype,
        device=device,
    )


def placed_images(
    directions: Sequence[Direction], sizes: Sequence[tuple[int, int]], *, seed: int = 0
) -> list[PlacedImage]:
    """Images in the frame of the first image of the most confident direction.

    The strongest directions of a maximum spanning tree are joined one by one, each by the similarity that
    takes the pointmap of the image that is there already to where it is. An image that is the second of its
    direction gets its pose by PnP.

    Raises:
        UnconnectedError: as `start_variables`.
    """
    points: dict[int, Float64] = {}
    poses: dict[int, pycolmap.Rigid3d] = {}
    tree = _spanning_tree(directions, len(sizes))
    for number in tree:
        one = directions[number]
        first, second = one.first_points.reshape(-1, 3), one.second_points.reshape(-1, 3)
        if not points:
            placed = pycolmap.Sim3d()
        elif one.first in points:
            placed = _similarity(first, one.first_confidence, points[one.first])
        else:
            placed = _similarity(second, one.second_confidence, points[one.second])
        points.setdefault(one.first, placed * first.astype(np.float64))
        points.setdefault(one.second, placed * second.astype(np.float64))
        poses.setdefault(one.first, pycolmap.Rigid3d(placed.rotation, placed.translation))
    focals = _focals(directions)
    found = []
    for image, size in enumerate(sizes):
        if image not in poses:
            confidence = _confidences(directions, tree)[image]
            poses[image] = _by_pnp(points[image], confidence, size, focals[image], seed)
        found.append(PlacedImage(focals[image], poses[image], points[image]))
    return found


def _spanning_tree(directions: Sequence[Direction], count: int) -> list[int]:
    """Numbers of directions, each with one image that those before it have; the strongest first."""
    order = sorted(range(len(directions)), key=lambda number: -_strength(directions[number]))
    tree: list[int] = []
    reached: set[int] = set()
    while len(reached) < count:
        for number in order:
            ends = {directions[number].first, directions[number].second}
            if len(ends) > 1 and (not reached or len(ends & reached) == 1):
                tree.append(number)
                reached |= ends
                break
        else:
            raise UnconnectedError(f"{count - len(reached)} of {count} images are not connected")
    return tree


def _strength(one: Direction) -> float:
    return float(one.first_confidence.mean()) * float(one.second_confidence.mean())


def _similarity(
    source: NDArray[np.floating], confidence: NDArray[np.floating], target: Float64
) -> pycolmap.Sim3d:
    """From a pointmap to the same points elsewhere, weighted with confidence."""
    weights = np.asarray(confidence, np.float64).reshape(-1)
    fit = fit_similarity(np.asarray(source, np.float64).reshape(-1, 3), target, weights)
    if fit is None:
        raise UnconnectedError("a pointmap without extent")
    return fit


def _focals(directions: Sequence[Direction]) -> dict[int, float]:
    """Of each image, from its own pointmap in its strongest direction."""
    focals: dict[int, float] = {}
    for one in sorted(directions, key=_strength):
        focals[one.first] = estimate_focal(one.first_points, robust=False)
    return focals


def _confidences(directions: Sequence[Direction], tree: Sequence[int]) -> Mapping[int, Float64]:
    """Of the points of each image, as the tree placed it."""
    found: dict[int, Float64] = {}
    for one in (directions[number] for number in tree):
        found.setdefault(one.first, np.asarray(one.first_confidence, np.float64).reshape(-1))
        found.setdefault(one.second, np.asarray(one.second_confidence, np.float64).reshape(-1))
    return found


def _by_pnp(
    points: Float64, confidence: Float64, size: tuple[int, int], focal: float, seed: int
) -> pycolmap.Rigid3d:
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.column_stack((x.reshape(-1), y.reshape(-1))).astype(np.float64)
    rows = confidence > _CONFIDENT
    camera = pycolmap.Camera(
        model="SIMPLE_PINHOLE", width=width, height=height, params=[focal, width / 2, height / 2]
    )
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error, options.ransac.random_seed = _MAX_ERROR_PX, seed
    found = pycolmap.estimate_and_refine_absolute_pose(pixels[rows], points[rows], camera, options)
    if found is None:
        raise UnconnectedError("the points of an image show no pose of its camera")
    pose: pycolmap.Rigid3d = found["cam_from_world"]
    return pose.inverse()


def _signed_log1p(values: Float64) -> Float64:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))
