"""Track refinement: positions of a track's keypoints from all its links, without contradictory links.

A track has more links than it needs. Its positions fit all links best: weighted least squares over the
linearised correspondence fields. One keypoint stays in place and so defines the point of the scene. Links
that disagree in the end are cut, and the remaining parts become tracks of their own.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .affine_fits import areas, inverses
from .local_affine import Array, Mask
from .track_splitting import components, consistent_parts
from .track_table import Rows
from .transfer import Edges

Exact = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackRefinement:
    """Lengths in network px."""

    rounds: int = 15
    """Damped Jacobi iterations; positions start near their solution."""
    tolerance: float = 2.0
    """A link that is off by more is cut."""
    sigma_floor: float = 0.15
    """Errors of neighbouring matches are alike: no link is better than this."""
    soft: float = 1.0
    """Links that are off by this much count a quarter (squared Cauchy weights)."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Keypoints that don't move freely."""

    frozen: Mask
    """(n,) stay where they are."""
    snapped: Mask
    """(n,) were found by a repeatable detector: pulled back to where they are."""
    snapped_sigma: float = 0.1
    """How exact such a detector is, network px."""


def refine_tracks(
    xy: Array, edges: Edges, anchors: Anchors, options: TrackRefinement, pool: Executor
) -> tuple[Array, Mask]:
    """Move keypoints to the positions that fit their links, and cut links that contradict the others.

    Args:
        xy: (n, 2) positions at which the edges were measured, network px of each keypoint's photo.
        edges: links between keypoints.
        anchors: a track without a frozen keypoint keeps its oldest one (smallest row) in place.

    Returns:
        (n, 2) positions, and (E,) which edges are kept.
    """
    moved, kept = xy.copy(), np.zeros(len(edges), bool)

    def refine_block(block: Rows) -> tuple[Rows, Exact, Mask]:
        part = edges.select(block)
        rows, local = np.unique(np.stack((part.source, part.target)), return_inverse=True)
        part = replace(part, source=local[0], target=local[1])
        held = replace(anchors, frozen=anchors.frozen[rows], snapped=anchors.snapped[rows])
        return rows, *_refined(_System(xy[rows], part, held, options), xy[rows].astype(np.float64))

    blocks = _blocks(len(xy), edges)
    for block, (rows, positions, good) in zip(blocks, pool.map(refine_block, blocks), strict=True):
        moved[rows] = positions
        kept[block] = good
    return moved, kept


def _blocks(num_rows: int, edges: Edges) -> list[Rows]:
    """All edges in blocks of whole tracks, small enough for the processor's cache and for memory."""
    track = components(num_rows, edges.source, edges.target)[edges.source]
    order = np.argsort(track, kind="stable")
    starts = np.flatnonzero(np.diff(track[order], prepend=-1))
    block = starts // _BLOCK_EDGES
    return np.split(order, starts[np.flatnonzero(np.diff(block)) + 1]) if len(order) else []


_BLOCK_EDGES = 30_000


def _refined(system: _System, moved: Exact) -> tuple[Exact, Mask]:
    """Positions, and which links are kept."""
    for _ in range(_PASSES):
        kept = system.consistent(moved)
        moved = system.solve(moved, kept)
    return moved, kept & (system.misfit(moved) < 1)


_PASSES = 2
"""What looked like a contradiction may be none once positions have moved, and the other way round."""


class _System:
    """The links of all tracks, seen from both ends."""

    def __init__(self, xy: Array, edges: Edges, anchors: Anchors, options: TrackRefinement) -> None:
        self._xy = xy.astype(np.float64)
        self._edges, self._anchors, self._options = edges, anchors, options
        self._there: Exact = edges.jacobian.astype(np.float64)
        self._back = inverses(self._there)
        area = areas(self._there)
        self._magnification = np.maximum(1 / np.sqrt(area), 1)
        self._weight = 1 / (edges.sigma.astype(np.float64) ** 2 + options.sigma_floor**2)
        self._weight_back = self._weight * area

    def solve(self, xy: Exact, kept: Mask) -> Exact:
        """Damped Jacobi iterations from `xy` over the links `kept`."""
        fixed = self._fixed(kept)
        edges = self._edges
        for _ in range(self._options.rounds):
            forth, back = self._predictions(xy)
            off = np.linalg.norm(forth - xy[edges.target], axis=1) * self._magnification
            trust = kept / (1 + (off / self._options.soft) ** 2) ** 2
            pull = np.where(self._anchors.snapped, self._anchors.snapped_sigma**-2.0, 1e-9)
            total, wanted = pull.copy(), pull[:, None] * self._xy
            for end, predicted, weight in (
                (edges.target, forth, trust * self._weight),
                (edges.source, back, trust * self._weight_back),
            ):
                total += np.bincount(end, weight, len(xy))
                wanted += np.stack([np.bincount(end, weight * s, len(xy)) for s in predicted.T], 1)
            step = wanted / total[:, None] - xy
            step[fixed] = 0
            xy = xy + _DAMPING * step
        return xy

    def consistent(self, xy: Exact) -> Mask:
        """(E,) links that fit, and whose track the links that don't fit leave whole."""
        edges, misfit = self._edges, self.misfit(xy)
        part = consistent_parts(len(xy), edges.source, edges.target, np.clip(1 - misfit**2, -1, 1))
        return np.asarray((misfit < 1) & (part[edges.source] == part[edges.target]))

    def misfit(self, xy: Exact) -> Exact:
        """(E,) how far each link is off, in tolerances, where the surface is seen larger."""
        forth, _ = self._predictions(xy)
        off = np.linalg.norm(forth - xy[self._edges.target], axis=1) * self._magnification
        return np.asarray(off / self._options.tolerance)

    def _predictions(self, xy: Exact) -> tuple[Exact, Exact]:
        edges = self._edges
        step = xy[edges.source] - self._xy[edges.source]
        forth = edges.xy + _times(self._there, step)
        back = self._xy[edges.source] + _times(self._back, xy[edges.target] - edges.xy)
        return forth, back

    def _fixed(self, kept: Mask) -> Mask:
        """(n,) frozen keypoints, and the oldest keypoint of each track that has none."""
        frozen = self._anchors.frozen
        label = components(len(frozen), self._edges.source[kept], self._edges.target[kept])
        held = np.zeros(len(frozen), bool)
        held[label[frozen]] = True
        oldest = np.unique(label, return_index=True)[1]
        fixed = frozen.copy()
        fixed[oldest[~held[label[oldest]]]] = True
        return fixed


_DAMPING = 0.8


def _times(matrices: Exact, vectors: Exact) -> Exact:
    return np.asarray(matrices[..., 0] * vectors[:, :1] + matrices[..., 1] * vectors[:, 1:])
