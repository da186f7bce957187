"""Cameras and a depth a pixel that agree with the pointmaps of pairs (DUSt3R §3.4, equation 5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..sparse.variables import rotation_matrix

Float32 = NDArray[np.float32]

FOCAL_BREAK = 20.0
"""Variables of focal lengths are so many times the logarithm: with one learning rate, a slower change."""
MEAN_SCALE = 0.5
"""Geometric mean of the scales of pairs, which the losses leave open."""
_BETAS = (0.9, 0.9)
_LAST_RATE = 1e-6


@dataclass(frozen=True, slots=True)
class Direction:
    """What one direction of the network gives of a pair, in the frame of its first image."""

    first: int
    second: int
    """Indices of images."""
    first_points: Float32
    """(H, W, 3)."""
    first_confidence: Float32
    """(H, W), > 1."""
    second_points: Float32
    """(H', W', 3)."""
    second_confidence: Float32


@dataclass(frozen=True, slots=True)
class RawVariables:
    """What is optimised, in its own parameters; E directions, N images."""

    pair_poses: Tensor
    """(E, 8): quaternion x y z w, translation as sign(v) * (exp(|v|) - 1), logarithm of the scale."""
    poses: Tensor
    """(N, 7), from camera to world: quaternion, translation likewise."""
    depths: tuple[Tensor, ...]
    """(H * W,) each, logarithms."""
    focals: Tensor
    """(N,) 20 times the logarithm, px."""

    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [self.pair_poses, self.poses, *self.depths, self.focals]

    @classmethod
    def of(
        cls,
        pair_poses: ArrayLike,
        poses: ArrayLike,
        depths: Sequence[ArrayLike],
        focals: ArrayLike,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> RawVariables:
        """Copies of numbers, as leaves."""

        def tensor(values: ArrayLike) -> Tensor:
            return torch.tensor(np.asarray(values), dtype=dtype, device=device)

        return cls(tensor(pair_poses), tensor(poses), tuple(map(tensor, depths)), tensor(focals).reshape(-1))


@dataclass(frozen=True, slots=True)
class DenseCameras:
    """Cameras and points at one point of the optimisation."""

    focal: Tensor
    """(N,) px; the principal point is the middle of the image."""
    rotation: Tensor
    """(N, 3, 3) from the camera to the world."""
    centre: Tensor
    """(N, 3) in the world."""
    depths: tuple[Tensor, ...]
    """(H * W,) each."""
    points: tuple[Tensor, ...]
    """(H * W, 3) each, in the world."""


class DenseAlignment:
    """The losses of some directions over all pixels of their images."""

    def __init__(
        self, directions: Sequence[Direction], sizes: Sequence[tuple[int, int]], variables: RawVariables
    ) -> None:
        """Take directions between images of `sizes` (W, H), and where their variables start."""
        like = variables.poses
        self.variables = variables
        self._rays = [_pixels(size, like) for size in sizes]
        self._sides = [
            [_stacked(directions, some, side, like) for some in _of_one_size(directions, side)]
            for side in (0, 1)
        ]

    def cameras(self) -> DenseCameras:
        """What the variables stand for."""
        v = self.variables
        focal = (v.focals / FOCAL_BREAK).exp()
        rotation, centre = rotation_matrix(v.poses[:, :4]), _signed_expm1(v.poses[:, 4:7])
        depths, points = [], []
        for view, rays in enumerate(self._rays):
            depth = v.depths[view].exp()
            across = rays / focal[view]
            seen = depth[:, None] * torch.cat([across, torch.ones_like(across[:, :1])], dim=1)
            depths.append(depth)
            points.append(seen @ rotation[view].T + centre[view])
        return DenseCameras(focal, rotation, centre, tuple(depths), tuple(points))

    def loss(self) -> Tensor:
        """Mean distance of points from pointmaps of directions, weighted by the logarithm of confidence."""
        points, pair = self.cameras().points, self.variables.pair_poses
        rotation, moved = rotation_matrix(pair[:, :4]), _signed_expm1(pair[:, 4:7])
        scale = (pair[:, 7] - pair[:, 7].mean() + math.log(MEAN_SCALE)).exp()
        total = points[0].new_zeros(())
        for side in self._sides:
            sums, count = points[0].new_zeros(()), 0
            for group in side:
                of = group.numbers
                placed = group.points @ rotation[of].transpose(1, 2) + moved[of, None]
                apart = (
                    torch.stack([points[image] for image in group.images]) - scale[of, None, None] * placed
                )
                sums = sums + (apart.norm(dim=2) * group.weight).sum()
                count += group.weight.numel()
            total = total + sums / count
        return total

    def run(
        self, steps: int = 300, *, rate: float = 0.01, on_step: Callable[[], None] = lambda: None
    ) -> float:
        """Steps of Adam whose rate falls as a cosine; returns the loss before the last one.

        Where the loss is not finite, the variables are those of the step before, and that loss is returned.
        """
        variables = [tensor.requires_grad_(True) for tensor in self.variables.tensors()]
        adam = torch.optim.Adam(variables, lr=rate, betas=_BETAS)
        last, kept = float("nan"), [tensor.detach().clone() for tensor in variables]
        for step in range(steps):
            fall = (1 + math.cos(math.pi * step / steps)) / 2
            adam.param_groups[0]["lr"] = _LAST_RATE + (rate - _LAST_RATE) * fall
            adam.zero_grad()
            loss = self.loss()
            last = float(loss.detach())
            if not math.isfinite(last):
                with torch.no_grad():
                    for tensor, before in zip(variables, kept, strict=True):
                        tensor.copy_(before)
                break
            kept = [tensor.detach().clone() for tensor in variables]
            torch.autograd.backward(loss)
            adam.step()
            on_step()
        for tensor in variables:
            tensor.requires_grad_(False)
        return last


@dataclass(frozen=True, slots=True)
class _Group:
    """Pointmaps of one size, G of them, each of another direction."""

    numbers: Tensor
    """(G,) of the directions."""
    images: tuple[int, ...]
    """Whose they are."""
    points: Tensor
    """(G, H * W, 3)."""
    weight: Tensor
    """(G, H * W)."""


def _side_of(one: Direction, side: int) -> tuple[int, Float32, Float32]:
    """Image, points and confidence."""
    if side == 0:
        return one.first, one.first_points, one.first_confidence
    return one.second, one.second_points, one.second_confidence


def _of_one_size(directions: Sequence[Direction], side: int) -> Iterable[list[int]]:
    """Numbers of the directions whose pointmaps of a side have one size."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, one in enumerate(directions):
        groups.setdefault(_side_of(one, side)[2].shape, []).append(number)
    return groups.values()


def _stacked(directions: Sequence[Direction], numbers: list[int], side: int, like: Tensor) -> _Group:
    images, points, confidence = zip(*(_side_of(directions[n], side) for n in numbers), strict=True)
    return _Group(
        torch.tensor(numbers, device=like.device),
        images,
        like.new_tensor(np.stack(points)).reshape(len(numbers), -1, 3),
        like.new_tensor(np.stack(confidence)).reshape(len(numbers), -1).log(),
    )


def _signed_expm1(values: Tensor) -> Tensor:
    return torch.sign(values) * torch.expm1(values.abs())


def _pixels(size: tuple[int, int], like: Tensor) -> Tensor:
    """(W * H, 2) from the principal point, row by row."""
    x, y = np.meshgrid(np.arange(size[0]) - size[0] / 2, np.arange(size[1]) - size[1] / 2)
    return like.new_tensor(np.column_stack((x.reshape(-1), y.reshape(-1))))
