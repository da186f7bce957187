"""Losses of sparse global alignment (MASt3R-SfM equations 4 to 7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .problem import AlignedPair, AlignmentProblem, Anchored
from .variables import Cameras, Pixels, Variables, world_points

_POINT_GAMMA, _PIXEL_GAMMA, _FALLBACK_GAMMA = 1.5, 0.5, 1.1
_FALLBACK_WEIGHT = 0.01
_LEAST_DEPTH = 1e-3
_PIXEL_RANGE = (-1000.0, 2000.0)
"""Of projections, px."""
_SIMILAR = 1.5
"""Times as many correspondences as the fewest of a batch that a pair of it has."""


@dataclass(frozen=True, slots=True)
class _Fallback:
    """Points of one view, once as its depth has them, once as predicted in the frame of another."""

    pixels: Pixels
    """K of them."""
    frame: Tensor
    """(K,) the other view."""
    points: Tensor
    """(K, 3) in that view's frame."""
    confidence: Tensor
    """(K,)."""


class Losses:
    """Both stages' losses of a problem."""

    def __init__(self, problem: AlignmentProblem, variables: Variables, *, threshold: float) -> None:
        weak = np.array([pair.is_weak(threshold) for pair in problem.pairs], bool)
        strong = [pair for pair, is_weak in zip(problem.pairs, weak, strict=True) if not is_weak]
        self._batches = [_batch(variables, some) for some in _of_similar_length(strong)]
        self._total = sum(float(pair.confidence.sum()) for pair in strong)
        self._zero = variables.tensor(0.0)
        self._fallback = _fallback(problem, variables, weak) if weak.any() else None

    def coarse(self, cameras: Cameras) -> Tensor:
        """Distances between matched points in the world."""
        loss = self._zero
        for batch in self._batches:
            apart = _in_world(cameras, batch.first) - _in_world(cameras, batch.second)
            loss = loss + (batch.confidence * robust(_norm(apart), _POINT_GAMMA)).sum()
        return self._mean(loss) + self._predicted(cameras)

    def fine(self, cameras: Cameras) -> Tensor:
        """Distances in both images between a pixel and the projection of its matched point."""
        loss = self._zero
        for batch in self._batches:
            for side, other in ((batch.first, batch.second), (batch.second, batch.first)):
                error = _reprojection(cameras, side, _in_world(cameras, other))
                loss = loss + (batch.confidence * robust(error, _PIXEL_GAMMA)).sum() / 2
        return self._mean(loss) + self._predicted(cameras)

    def _mean(self, weighted: Tensor) -> Tensor:
        return weighted / self._total if self._total else weighted

    def _predicted(self, cameras: Cameras) -> Tensor | float:
        weak = self._fallback
        if weak is None:
            return 0.0
        own = world_points(cameras, weak.pixels)
        apart = _norm(own - cameras.to_world(weak.frame, weak.points))
        loss = (weak.confidence * robust(apart, _FALLBACK_GAMMA)).sum() / weak.confidence.sum()
        return _FALLBACK_WEIGHT * loss


@dataclass(frozen=True, slots=True)
class _Side:
    """Anchored pixels of one view of each of P pairs, filled up to K."""

    views: Tensor
    """(P,)."""
    xy: Tensor
    """(P, K, 2) px."""
    blocks: Tensor
    """(P, K) among the blocks of all views."""
    offset: Tensor
    """(P, K), as `Pixels.offset`."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """P pairs with about as many correspondences."""

    first: _Side
    second: _Side
    confidence: Tensor
    """(P, K), 0 where a pair has fewer."""


def _of_similar_length(pairs: Sequence[AlignedPair]) -> Iterator[list[AlignedPair]]:
    """Pairs by their number of correspondences, so that filling them up wastes little."""
    some: list[AlignedPair] = []
    for pair in sorted(pairs, key=lambda pair: len(pair.confidence)):
        if some and len(pair.confidence) > _SIMILAR * len(some[0].confidence):
            yield some
            some = []
        some.append(pair)
    if some:
        yield some


def _batch(variables: Variables, pairs: Sequence[AlignedPair]) -> _Batch:
    width = max(len(pair.confidence) for pair in pairs)
    confidence = np.stack([np.pad(pair.confidence, (0, width - len(pair.confidence))) for pair in pairs])
    return _Batch(
        _side(variables, [(pair.first, pair.in_first) for pair in pairs], width),
        _side(variables, [(pair.second, pair.in_second) for pair in pairs], width),
        variables.tensor(confidence),
    )


def _side(variables: Variables, sides: Sequence[tuple[int, Anchored]], width: int) -> _Side:
    """Each pair's last row is repeated."""
    rows = [np.minimum(np.arange(width), len(one.blocks) - 1) for _, one in sides]
    anchored = _concatenated(
        [
            Anchored(one.pixels[take], one.blocks[take], one.relative_depth[take])
            for (_, one), take in zip(sides, rows, strict=True)
        ]
    )
    views = np.array([view for view, _ in sides], np.int64)
    pixels = variables.pixels(views.repeat(width), anchored)
    shape = len(sides), width
    return _Side(
        torch.as_tensor(views, device=variables.device),
        pixels.xy.reshape(*shape, 2),
        pixels.blocks.reshape(shape),
        pixels.offset.reshape(shape),
    )


def _in_world(cameras: Cameras, side: _Side) -> Tensor:
    """(P, K, 3) points in the world; one product a pair, whose gradient needs no scattering."""
    of = side.views
    focal = cameras.focal[of, None]
    # The gradient of index_select is several times quicker than that of an index.
    depth = cameras.depth.index_select(0, side.blocks.reshape(-1)).reshape(side.offset.shape)
    depth = depth * (1 + side.offset / focal)
    ray = (side.xy - cameras.principal_point[of, None]) / focal[..., None]
    seen = depth[..., None] * torch.cat([ray, torch.ones_like(ray[..., :1])], dim=2)
    return seen @ cameras.rotation[of].transpose(1, 2) + cameras.centre[of, None]


def _reprojection(cameras: Cameras, side: _Side, points: Tensor) -> Tensor:
    """(P, K) distances, px, of projected world points (P, K, 3) from pixels."""
    of = side.views
    seen = (points - cameras.centre[of, None]) @ cameras.rotation[of]
    depth = seen[..., 2:].clip(min=_LEAST_DEPTH)
    projected = cameras.focal[of, None, None] * seen[..., :2] / depth + cameras.principal_point[of, None]
    return _norm(side.xy - projected.clip(*_PIXEL_RANGE))


def robust(distance: Tensor, gamma: float) -> Tensor:
    """(d + o)^gamma - o^gamma, with o such that the slope at zero is one."""
    offset = (1 / gamma) ** (1 / (gamma - 1))
    cost: Tensor = (distance + offset) ** gamma - offset**gamma
    return cost


def _norm(vectors: Tensor) -> Tensor:
    """Lengths (...) of (..., d), with the gradient zero at zero."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return lengths


def _concatenated(sides: Sequence[Anchored]) -> Anchored:
    return Anchored(
        np.concatenate([one.pixels for one in sides]),
        np.concatenate([one.blocks for one in sides]),
        np.concatenate([one.relative_depth for one in sides]),
    )


def _fallback(problem: AlignmentProblem, variables: Variables, weak: NDArray[np.bool_]) -> _Fallback | None:
    """For each direction of a weak pair, all anchored pixels of a view, those of its other pairs, too."""
    sides: dict[int, list[Anchored]] = {}
    for pair in problem.pairs:
        sides.setdefault(pair.first, []).append(pair.in_first)
        sides.setdefault(pair.second, []).append(pair.in_second)
    anchored = {view: _concatenated(some) for view, some in sides.items()}
    directions = [
        (view, other, predicted)
        for pair in (problem.pairs[number] for number in np.flatnonzero(weak).tolist())
        for view, other, predicted in (
            (pair.first, pair.second, pair.first_from_second),
            (pair.second, pair.first, pair.second_from_first),
        )
        if predicted is not None
    ]
    if not directions:
        return None
    views, others, predictions = zip(*directions, strict=True)
    counts = [len(anchored[view].blocks) for view in views]
    blocks = [anchored[view].blocks for view in views]
    taken = list(zip(predictions, blocks, strict=True))
    return _Fallback(
        variables.pixels(np.repeat(views, counts), _concatenated([anchored[view] for view in views])),
        torch.as_tensor(np.repeat(others, counts), device=variables.device),
        variables.tensor(np.concatenate([one.points[rows] for one, rows in taken])),
        variables.tensor(np.concatenate([one.confidence[rows] for one, rows in taken])),
    )
