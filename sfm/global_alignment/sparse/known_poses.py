"""Known poses in sparse global alignment: a start at them, and the way back to their world.

The optimisation works in the frame of one view with a known pose, in the network's unit: steps then mean the
same wherever the world has its origin, and whatever its unit is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfm.geometry.similarity import extent, fit_cameras

from .problem import AlignmentProblem
from .variables import Cameras

_ONE_PLACE = 1e-12
"""Spread of centres, as a share of their coordinates, up to which it is a rounding error."""


@dataclass(frozen=True, slots=True)
class KnownPoses:
    """The known poses of a problem."""

    world_from_view: Mapping[int, pycolmap.Rigid3d]
    """By view, at least one."""
    root: int
    """The one of them that has most correspondences."""

    @classmethod
    def of(cls, problem: AlignmentProblem) -> KnownPoses | None:
        """Those of a problem; None where it has none."""
        views = enumerate(problem.views)
        known = {number: pose for number, view in views if (pose := view.world_from_view) is not None}
        scores = problem.scores().sum(axis=1)
        return cls(known, max(known, key=lambda number: scores[number])) if known else None

    @property
    def gives_scale(self) -> bool:
        """Whether the known views stand apart."""
        centres = np.array([pose.translation for pose in self.world_from_view.values()])
        return extent(centres) > _ONE_PLACE * max(float(np.abs(centres).max()), 1e-300)

    def start(self, placed: Sequence[pycolmap.Sim3d]) -> list[pycolmap.Sim3d]:
        """World from views, with scales: known poses as they are, the others moved there by one similarity.

        Args:
            placed: each view in a frame of their own, of any scale.
        """
        moved = [self._similarity(placed) * one for one in placed]
        for view, pose in self.world_from_view.items():
            moved[view] = pycolmap.Sim3d(moved[view].scale, pose.rotation, pose.translation)
        return moved

    def _similarity(self, placed: Sequence[pycolmap.Sim3d]) -> pycolmap.Sim3d:
        """From the frame of placed views to the world; by the root alone where all stand at one place."""
        known = self.world_from_view
        source = np.array([placed[view].translation for view in known])
        target = np.array([pose.translation for pose in known.values()])
        here = np.array([placed[view].rotation.matrix().T for view in known])
        there = np.array([pose.rotation.matrix().T for pose in known.values()])
        fit = fit_cameras(source, target, here, there) if self.gives_scale else None
        if fit is not None:
            return fit.sim3
        own, pose = placed[self.root], known[self.root]
        scale = 1.0
        if self.gives_scale and extent(source) > 0:  # the start has them in the wrong order
            scale = float(extent(target) / extent(source) * own.scale)
        return pycolmap.Sim3d(scale, pose.rotation, pose.translation) * own.inverse()

    def in_world(self, cameras: Cameras, world_from_root: pycolmap.Sim3d) -> Cameras:
        """Cameras and depth of the optimisation in the world, as float64, known poses as they were given.

        Args:
            cameras: in the frame of the root.
            world_from_root: the root's pose and scale at the start.
        """
        focal, principal_point, rotation, centre, depth = (
            tensor.double()
            for tensor in (
                cameras.focal,
                cameras.principal_point,
                cameras.rotation,
                cameras.centre,
                cameras.depth,
            )
        )
        turn = _tensor(world_from_root.rotation.matrix(), rotation)
        scale = float(world_from_root.scale) / float(cameras.unit) if self.gives_scale else 1.0
        rotation = torch.matmul(turn, rotation)
        centre = scale * torch.matmul(centre, turn.T) + _tensor(world_from_root.translation, centre)
        for view, pose in self.world_from_view.items():
            rotation[view] = _tensor(pose.rotation.matrix(), rotation)
            centre[view] = _tensor(pose.translation, centre)
        return Cameras(focal, principal_point, rotation, centre, scale * depth, torch.ones_like(depth[0]))


def _tensor(values: NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.as_tensor(values.copy(), dtype=like.dtype, device=like.device)
