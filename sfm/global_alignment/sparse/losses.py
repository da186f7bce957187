"""Losses of sparse global alignment (MASt3R-SfM equations 4 to 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .problem import AlignmentProblem, Anchored
from .variables import Cameras, Pixels, Variables, world_points

_POINT_GAMMA, _PIXEL_GAMMA, _FALLBACK_GAMMA = 1.5, 0.5, 1.1
_FALLBACK_WEIGHT = 0.01
_LEAST_DEPTH = 1e-3
_PIXEL_RANGE = (-1000.0, 2000.0)
"""Of projections, px."""


@dataclass(frozen=True, slots=True)
class _Fallback:
    """Points of one view, once as its depth has them, once as predicted in the frame of another."""

    rows: Tensor
    """(K,) rows of the anchored pixels of all pairs, both sides."""
    frame: Tensor
    """(K,) the other view."""
    points: Tensor
    """(K, 3) in that view's frame."""
    confidence: Tensor
    """(K,)."""


class Losses:
    """Both stages' losses of a problem, over flat tensors of all correspondences."""

    def __init__(self, problem: AlignmentProblem, variables: Variables, *, threshold: float) -> None:
        pairs = problem.pairs
        counts = [len(pair.confidence) for pair in pairs]
        self._first = _side(variables, [(p.first, p.in_first) for p in pairs])
        self._second = _side(variables, [(p.second, p.in_second) for p in pairs])
        confidence = np.concatenate([p.confidence for p in pairs]) if pairs else np.zeros(0)
        weak = np.array([pair.is_weak(threshold) for pair in pairs], bool)
        strong = torch.as_tensor(~np.repeat(weak, counts), device=variables.device)
        self._strong = strong.nonzero().squeeze(1)
        self._confidence = variables.tensor(confidence)[self._strong]
        self._fallback = _fallback(problem, variables, weak) if weak.any() else None

    def coarse(self, cameras: Cameras) -> Tensor:
        """Distances between matched points in the world."""
        first, second = (world_points(cameras, side) for side in (self._first, self._second))
        apart = _norm(first[self._strong] - second[self._strong])
        loss = self._mean(robust(apart, _POINT_GAMMA))
        return loss + self._predicted(cameras, first, second)

    def fine(self, cameras: Cameras) -> Tensor:
        """Distances in both images between a pixel and the projection of its matched point."""
        first, second = (world_points(cameras, side) for side in (self._first, self._second))
        there = _reprojection(cameras, self._first, second, self._strong)
        back = _reprojection(cameras, self._second, first, self._strong)
        loss = (self._mean(robust(there, _PIXEL_GAMMA)) + self._mean(robust(back, _PIXEL_GAMMA))) / 2
        return loss + self._predicted(cameras, first, second)

    def _mean(self, values: Tensor) -> Tensor:
        if not len(values):
            return values.sum()
        return (self._confidence * values).sum() / self._confidence.sum()

    def _predicted(self, cameras: Cameras, first: Tensor, second: Tensor) -> Tensor | float:
        weak = self._fallback
        if weak is None:
            return 0.0
        own = torch.cat([first, second])[weak.rows]
        apart = _norm(own - cameras.to_world(weak.frame, weak.points))
        loss = (weak.confidence * robust(apart, _FALLBACK_GAMMA)).sum() / weak.confidence.sum()
        return _FALLBACK_WEIGHT * loss


def robust(distance: Tensor, gamma: float) -> Tensor:
    """(d + o)^gamma - o^gamma, with o such that the slope at zero is one."""
    offset = (1 / gamma) ** (1 / (gamma - 1))
    cost: Tensor = (distance + offset) ** gamma - offset**gamma
    return cost


def _norm(vectors: Tensor) -> Tensor:
    """Lengths (M,) of (M, d), with the gradient zero at zero."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    return lengths


def _reprojection(cameras: Cameras, pixels: Pixels, points: Tensor, rows: Tensor) -> Tensor:
    """(K,) distances, px, of projected world points from pixels, of the given rows."""
    of = pixels.views[rows]
    seen = cameras.to_camera(of, points[rows])
    depth = seen[:, 2:].clip(min=_LEAST_DEPTH)
    projected = cameras.focal[of, None] * seen[:, :2] / depth + cameras.principal_point[of]
    return _norm(pixels.xy[rows] - projected.clip(*_PIXEL_RANGE))


def _side(variables: Variables, sides: list[tuple[int, Anchored]]) -> Pixels:
    anchored = [one for _, one in sides]
    if not anchored:
        empty = np.zeros(0, np.int64)
        return variables.pixels(empty, Anchored(np.zeros((0, 2), np.int64), empty, np.zeros(0)))
    views = np.repeat([view for view, _ in sides], [len(one.blocks) for one in anchored])
    return variables.pixels(
        views,
        Anchored(
            np.concatenate([one.pixels for one in anchored]),
            np.concatenate([one.blocks for one in anchored]),
            np.concatenate([one.relative_depth for one in anchored]),
        ),
    )


def _fallback(problem: AlignmentProblem, variables: Variables, weak: NDArray[np.bool_]) -> _Fallback | None:
    """For each direction of a weak pair, all anchored pixels of a view, those of its other pairs, too."""
    pairs = problem.pairs
    starts = np.concatenate([[0], np.cumsum([len(pair.confidence) for pair in pairs])])
    total = int(starts[-1])
    rows_of: dict[int, list[NDArray[np.int64]]] = {}
    blocks_of: dict[int, list[NDArray[np.int64]]] = {}
    for number, pair in enumerate(pairs):
        rows = np.arange(starts[number], starts[number + 1])
        for view, side, moved in ((pair.first, pair.in_first, 0), (pair.second, pair.in_second, total)):
            rows_of.setdefault(view, []).append(rows + moved)
            blocks_of.setdefault(view, []).append(side.blocks)
    parts = []
    for pair in (pairs[number] for number in np.flatnonzero(weak).tolist()):
        for view, other, predicted in (
            (pair.first, pair.second, pair.first_from_second),
            (pair.second, pair.first, pair.second_from_first),
        ):
            if predicted is not None:
                blocks = np.concatenate(blocks_of[view])
                parts.append(
                    (
                        np.concatenate(rows_of[view]),
                        np.full(len(blocks), other),
                        predicted.points[blocks],
                        predicted.confidence[blocks],
                    )
                )
    if not parts:
        return None
    rows, frame, points, confidence = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _Fallback(
        torch.as_tensor(rows, device=variables.device),
        torch.as_tensor(frame, device=variables.device),
        variables.tensor(points),
        variables.tensor(confidence),
    )
