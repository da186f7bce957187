"""Variables of sparse global alignment, and the cameras and points that they stand for (MASt3R-SfM §3.4).

Poses are relative along a kinematic tree. The translation of a pose is not that of the camera but that of the
point at its median depth on its axis: turning or zooming a camera then moves its image little.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .problem import AlignmentProblem, Anchored
from .tree import KinematicTree

_FOCAL_IN_DIAGONALS = (0.25, 10.0)
"""Shortest and longest focal length."""


@dataclass(frozen=True, slots=True)
class Cameras:
    """Cameras and depth at one point of the optimisation; N views, B blocks of all views."""

    focal: Tensor
    """(N,) px."""
    principal_point: Tensor
    """(N, 2) px."""
    rotation: Tensor
    """(N, 3, 3) from the camera to the world."""
    centre: Tensor
    """(N, 3) in the world."""
    depth: Tensor
    """(B,) at the centres of blocks."""
    unit: Tensor
    """() lengths here of a length of the variables: sizes count by the smallest one."""

    def detached(self) -> Cameras:
        """The same values without their history."""
        return Cameras(
            *(
                t.detach().clone()
                for t in (
                    self.focal,
                    self.principal_point,
                    self.rotation,
                    self.centre,
                    self.depth,
                    self.unit,
                )
            )
        )

    def is_finite(self) -> bool:
        """Whether all values are."""
        tensors = (self.focal, self.principal_point, self.rotation, self.centre, self.depth)
        return all(bool(torch.isfinite(t).all()) for t in tensors)

    def to_world(self, views: Tensor, points: Tensor) -> Tensor:
        """Points (M, 3) in the frames of views (M,), in the world."""
        return torch.einsum("mij,mj->mi", self.rotation[views], points) + self.centre[views]


@dataclass(frozen=True, slots=True)
class Pixels:
    """Anchored pixels of any views, as tensors."""

    views: Tensor
    """(M,) int64."""
    xy: Tensor
    """(M, 2) px."""
    blocks: Tensor
    """(M,) int64 among the blocks of all views."""
    offset: Tensor
    """(M,): relative depth - 1, times the focal length that it was made for; px."""


class Variables:
    """The variables of all views of a problem, as leaves of the optimisation."""

    def __init__(
        self,
        problem: AlignmentProblem,
        tree: KinematicTree,
        *,
        shared_intrinsics: bool = False,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> None:
        views, count = problem.views, len(problem.views)
        device = device or torch.device("cpu")
        self.dtype, self.device = dtype, device
        self.sizes = self.tensor(problem.sizes())
        self.base_focal = self.tensor([view.focal_px for view in views])
        blocks = [view.core_depth.size for view in views]
        self.first_block = np.concatenate([[0], np.cumsum(blocks)])
        self.block_views = torch.repeat_interleave(torch.tensor(blocks, device=device))
        cores = [self.tensor(view.core_depth.reshape(-1)) for view in views]
        self.median_depth = torch.stack([core.median() for core in cores])
        self.core = torch.cat([core / core.median() for core in cores])
        self.quaternion = self.tensor([[0.0, 0.0, 0.0, 1.0]]).repeat(count, 1)
        self.translation = self.tensor(np.zeros((count, 3)))
        self.log_size = self.tensor(np.zeros(count))
        centre = self.tensor([view.principal_point for view in views]) / self.sizes
        log_focal = self.base_focal.log()
        self._intrinsics_of = torch.arange(count, device=device)
        if shared_intrinsics:
            weights = self.tensor([view.confidence for view in views])
            weights = weights / weights.sum()
            centre = (weights[:, None] * centre).sum(dim=0, keepdim=True)
            log_focal = (weights * self.base_focal).sum(dim=0, keepdim=True).log()
            self._intrinsics_of = torch.zeros_like(self._intrinsics_of)
        self.principal_point, self.log_focal = centre, log_focal
        self._levels = _levels(tree, device)
        self._free_poses = self.tensor([index != tree.root for index in range(count)])
        self._held: tuple[Tensor, Tensor] | None = None
        self._free_intrinsics = self.tensor([not view.known_intrinsics for view in views])
        if shared_intrinsics:
            self._free_intrinsics = self._free_intrinsics.amin(dim=0, keepdim=True)

    def tensor(self, values: ArrayLike) -> Tensor:
        """Numbers as floats, where the variables are."""
        return torch.tensor(np.asarray(values), dtype=self.dtype, device=self.device)

    def start_from(
        self, tree: KinematicTree, world_from_view: Sequence[pycolmap.Sim3d], held: Collection[int] = ()
    ) -> None:
        """Set poses and sizes by similarities from the frames of views to one frame.

        Poses of views in `held`, the root among them if there are any, stay: what is below them in the tree
        follows them, and they follow nothing.
        """
        middle = self.median_depth.double().cpu().numpy()
        root = world_from_view[tree.root].inverse()
        with torch.no_grad():
            for view, placed in enumerate(world_from_view):
                self.log_size[view] = float(np.log((root * placed).scale))
            for parent, child in tree.edges:
                if child in held:
                    continue
                relative = world_from_view[parent].inverse() * world_from_view[child]
                ahead = relative * np.array([0.0, 0.0, middle[child]])
                moved = (root * world_from_view[parent]).scale * (ahead - (0.0, 0.0, middle[parent]))
                self.quaternion[child] = self.quaternion.new_tensor(relative.rotation.quat)
                self.translation[child] = self.translation.new_tensor(moved)
            if held:
                self._hold_poses(tree, {view: root * world_from_view[view] for view in sorted(held)})

    def _hold_poses(self, tree: KinematicTree, root_from_view: Mapping[int, pycolmap.Sim3d]) -> None:
        middle = self.median_depth.double().cpu().numpy()
        for view, placed in root_from_view.items():
            self.quaternion[view] = self.quaternion.new_tensor(placed.rotation.quat)
            self.translation[view] = self.translation.new_tensor(placed * np.array([0, 0, middle[view]]))
        held = torch.tensor(list(root_from_view), device=self.device)
        centres = self.tensor([placed.translation for placed in root_from_view.values()])
        self._held = held, centres
        self._free_poses[held] = 0
        self._levels = _levels(tree, self.device, root_from_view)

    def poses_and_sizes(self) -> list[Tensor]:
        """What the coarse stage moves."""
        return [self.quaternion, self.translation, self.log_size]

    def intrinsics(self) -> list[Tensor]:
        """Focal lengths and principal points."""
        return [self.principal_point, self.log_focal]

    def hold(self) -> None:
        """Remove gradients of what stays: the pose of the root, known poses and known intrinsics."""
        for tensor, mask in (
            (self.quaternion, self._free_poses),
            (self.translation, self._free_poses),
            (self.principal_point, self._free_intrinsics),
            (self.log_focal, self._free_intrinsics),
        ):
            if tensor.grad is not None:
                tensor.grad *= mask.reshape(-1, *[1] * (tensor.dim() - 1))

    def normalise(self) -> None:
        """Make quaternions unit vectors again."""
        with torch.no_grad():
            self.quaternion /= self.quaternion.norm(dim=1, keepdim=True)

    def cameras(self) -> Cameras:
        """What the variables stand for."""
        short, long = _FOCAL_IN_DIAGONALS
        diagonal = self.sizes.norm(dim=1)
        focal = self.log_focal[self._intrinsics_of].exp()
        focal = torch.minimum(torch.maximum(focal, short * diagonal), long * diagonal)
        part = self.principal_point[self._intrinsics_of]
        rotation, translation = self._composed()
        size = self.log_size.exp()
        unit = 1 / size.min()
        middle = size * self.median_depth * focal / self.base_focal
        across = middle[:, None] * self.sizes / focal[:, None] * (0.5 - part)
        to_middle = torch.cat([across, middle[:, None]], dim=1)
        centre = translation - torch.einsum("nij,nj->ni", rotation, to_middle)
        if self._held is not None:
            centre = centre.index_copy(0, *self._held)
        centre = unit * centre
        of = self.block_views
        shift, spread = (each.index_select(0, of) for each in (middle, self.median_depth * size))
        depth = unit * (shift + (self.core - 1) * spread)
        return Cameras(focal, part * self.sizes, rotation, centre, depth, unit)

    def pixels(self, views: NDArray[np.int64], anchored: Anchored) -> Pixels:
        """Tensors of anchored pixels, each of the view with the same index in `views` (M,)."""
        of = torch.as_tensor(views, device=self.device)
        offset = self.tensor(anchored.relative_depth - 1)
        return Pixels(
            of,
            self.tensor(anchored.pixels),
            torch.as_tensor(anchored.blocks + self.first_block[views], device=self.device),
            offset * self.base_focal[of],
        )

    def _composed(self) -> tuple[Tensor, Tensor]:
        """Poses (N, 3, 3) and (N, 3) in the world, level by level."""
        relative = rotation_matrix(self.quaternion)
        rotation, translation = relative, self.translation
        for parents, children in self._levels:
            turned = rotation[parents] @ relative[children]
            moved = torch.einsum("nij,nj->ni", rotation[parents], self.translation[children])
            rotation = rotation.index_copy(0, children, turned)
            translation = translation.index_copy(0, children, moved + translation[parents])
        return rotation, translation


def _levels(tree: KinematicTree, device: torch.device, held: Container[int] = ()) -> list[tuple[Tensor, ...]]:
    """Parents and children of each level of a tree, without children that are held."""
    free = [[edge for edge in level if edge[1] not in held] for level in tree.levels()]
    return [
        tuple(torch.tensor(side, device=device) for side in zip(*level, strict=True))
        for level in free
        if level
    ]


def pixel_depth(cameras: Cameras, pixels: Pixels) -> Tensor:
    """(M,) depth of anchored pixels in the frames of their views."""
    return cameras.depth[pixels.blocks] * (1 + pixels.offset / cameras.focal[pixels.views])


def world_points(cameras: Cameras, pixels: Pixels) -> Tensor:
    """(M, 3) points of anchored pixels in the world."""
    of = pixels.views
    focal = cameras.focal[of]
    depth = pixel_depth(cameras, pixels)
    ray = (pixels.xy - cameras.principal_point[of]) / focal[:, None]
    return cameras.to_world(of, depth[:, None] * torch.cat([ray, torch.ones_like(ray[:, :1])], dim=1))


def rotation_matrix(quaternion: Tensor) -> Tensor:
    """(N, 3, 3) of quaternions (N, 4), x y z w, of any length."""
    x, y, z, w = (quaternion / quaternion.norm(dim=1, keepdim=True)).unbind(dim=1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
