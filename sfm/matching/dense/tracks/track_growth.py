"""The growth of keypoints and tracks over the scene graph, photo by photo."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval import Pair
from sfm.mast3r.values import DenseMatches

from .keypoint_values import Indices, KeypointOptions, Table, TrackKeypoints
from .local_affine import AffineField, Array, Mask, fit_affine_field
from .reindexing import Reindexing, most_confident
from .snapping import snap_keypoints
from .track_positions import Anchors, TrackRefinement, refine_tracks
from .track_splitting import components
from .track_table import Rows, TrackTable
from .transfer import Edges, Target, TransferOptions, transfer
from .voting import canonical_keypoints

_RIM = 0.25
"""Network px beyond the outermost matches of a photo where a refined keypoint is still believed."""
_MAX_PX = 1e5
"""No photo is larger; positions beyond are nonsense."""


@dataclass(slots=True)
class _PairState:
    """A pair on its way from dense matches over their field to links."""

    pair: Pair
    ends: tuple[int, int]
    dense: DenseMatches
    strength: float
    fitted: AffineField | None = None
    num_visits: int = 0
    links: list[Edges] = field(default_factory=list)

    def field_from(self, photo: int) -> AffineField:
        assert self.fitted is not None
        return self.fitted if photo == self.ends[0] else self.fitted.swapped()

    def other(self, photo: int) -> int:
        return self.ends[1] if photo == self.ends[0] else self.ends[0]


class TrackBuilder:
    """Photos are numbered by ascending name; all positions inside are network px."""

    def __init__(
        self,
        names: Sequence[str],
        photo_px: Mapping[str, float],
        options: KeypointOptions,
        corners: Mapping[str, Table],
    ) -> None:
        self._names = names
        self._number = {name: i for i, name in enumerate(names)}
        self._px = np.array([photo_px[name] for name in names])
        self._options = options
        nothing = np.zeros((0, 2), np.float32)
        self._corners = [self._network(corners.get(n, nothing), i) for i, n in enumerate(names)]
        self._table = TrackTable(len(names))
        self._pairs: list[list[_PairState]] = [[] for _ in names]
        self._states: list[_PairState] = []
        self._bounds = np.empty((len(names), 2, 2), np.float32)
        self._bounds[:, 0], self._bounds[:, 1] = np.inf, -np.inf
        self._refused: dict[Pair, int] = {}

    def take_existing(self, existing: Mapping[str, Table], matches: Mapping[Pair, Indices]) -> None:
        """Keypoints of earlier rounds, and the tracks that their matches make of them."""
        for name in sorted(existing):
            number = self._number[name]
            self._table.add_tracks(number, self._network(existing[name], number), frozen=True)
        links = [np.zeros((0, 2), np.int64)]
        for pair in sorted(matches):
            if pair.a in existing and pair.b in existing:
                ends = [self._table.of_photo(self._number[name]) for name in pair]
                links.append(np.stack([ends[i][matches[pair][:, i]] for i in range(2)], 1))
        self._join_existing(np.concatenate(links))

    def _join_existing(self, links: Rows) -> None:
        label = components(len(self._table), links[:, 0], links[:, 1])
        # A track with two keypoints in a photo is unusable; its keypoints stay on their own.
        keys = np.sort(label * len(self._names) + self._table.photo)
        wrong = np.unique(keys[1:][keys[1:] == keys[:-1]] // len(self._names))
        rows = np.flatnonzero(~np.isin(label, wrong))
        self._table.set_tracks(rows, label[rows])

    def take_pairs(self, pairs: Mapping[Pair, DenseMatches]) -> None:
        """The pairs of this round."""
        for pair in sorted(pairs):
            dense = pairs[pair]
            ends = (self._number[pair.a], self._number[pair.b])
            usable = self._usable(dense)
            self._refused[pair] = len(usable) - int(usable.sum())
            state = _PairState(pair, ends, dense, float(dense.confidence[usable].sum(dtype=np.float64)))
            self._states.append(state)
            for number, xy in zip(ends, (dense.xy_a, dense.xy_b), strict=True):
                self._pairs[number].append(state)
                place = self._network(xy[usable], number)
                if len(place):
                    low, high = self._bounds[number]
                    self._bounds[number] = np.minimum(low, place.min(0)), np.maximum(high, place.max(0))

    def order(self) -> Iterator[int]:
        """Photos, strongest first, then always the one with the strongest links to those before."""
        strength = [sum(state.strength for state in states) for states in self._pairs]
        attached = [0.0] * len(self._names)
        done: set[int] = set()
        heap = [(0.0, -strength[i], i) for i in range(len(self._names)) if self._pairs[i]]
        heapq.heapify(heap)
        while heap:
            known, _, photo = heapq.heappop(heap)
            if photo in done or -known < attached[photo]:
                continue
            done.add(photo)
            yield photo
            for state in self._pairs[photo]:
                other = state.other(photo)
                attached[other] += state.strength
                if other not in done:
                    heapq.heappush(heap, (-attached[other], -strength[other], other))

    def process(self, photo: int, pool: Executor) -> None:
        """Give a photo its canonical keypoints and transfer all that it has to its partners."""
        states = sorted(self._pairs[photo], key=lambda state: (-state.strength, state.pair))
        new = [state for state in states if state.fitted is None]
        for state, fitted in zip(new, pool.map(self._fit, new), strict=True):
            state.fitted = fitted
        self._seed(photo, states)
        for state in states:
            self._transfer(photo, state)
            state.num_visits += 1
            if state.num_visits == 2:
                state.fitted = None

    def _fit(self, state: _PairState) -> AffineField:
        usable = self._usable(state.dense)
        a = self._network(state.dense.xy_a[usable], state.ends[0])
        b = self._network(state.dense.xy_b[usable], state.ends[1])
        confidence = state.dense.confidence[usable].astype(np.float32)
        return fit_affine_field(a, b, confidence, self._options.field)

    def _seed(self, photo: int, states: Sequence[_PairState]) -> None:
        votes, weights = [], []
        for state in states:
            matches = state.field_from(photo)
            if len(matches):
                votes.append(matches.source)
                weights.append(np.clip(matches.confidence / np.median(matches.confidence), 0.1, 10))
        if not votes:
            return
        held = self._table.of_photo(photo)
        positions = np.concatenate(votes)
        inside = np.all(positions >= 0, axis=1)
        seeds = canonical_keypoints(
            positions[inside],
            np.concatenate(weights)[inside],
            self._table.xy[held],
            radius=self._options.nms_radius,
            limit=self._options.max_keypoints // 2 - self._num_new(photo),
        )
        seeds, snapped = snap_keypoints(seeds, self._corners[photo], self._options.snap_radius)
        rows = self._table.add_tracks(photo, seeds)
        self._table.mark_snapped(rows[snapped])

    def _transfer(self, photo: int, state: _PairState) -> None:
        other = state.other(photo)
        rows = self._table.of_photo(photo)
        if state.links:
            linked = np.zeros(len(self._table), bool)
            for edges in state.links:
                linked[edges.target] = True
            rows = rows[~linked[rows]]
        rows = rows[self._table.hops[rows] < self._options.max_hops]
        room = max(0, self._options.max_keypoints - self._num_new(other))
        target = Target(other, self._bounds[other], self._corners[other], room)
        options = TransferOptions(
            self._options.merge_radius, self._options.edge_tolerance, self._options.snap_radius
        )
        state.links.append(transfer(self._table, rows, state.field_from(photo), target, options))

    def finish(self, existing: Mapping[str, Table], pool: Executor) -> TrackKeypoints:
        """Settle the tracks and number what has a match."""
        edges = Edges.joined([part for state in self._states for part in state.links])
        bounds = np.cumsum([0, *(sum(map(len, state.links)) for state in self._states)])
        for state in self._states:
            state.links.clear()
        rounds = TrackRefinement().rounds if self._options.refine else 0
        refinement = TrackRefinement(rounds=rounds, tolerance=self._options.edge_tolerance)
        anchors = Anchors(self._table.frozen, self._table.snapped)
        xy, kept = refine_tracks(self._table.xy, edges, anchors, refinement, pool)
        low, high = self._bounds[self._table.photo].swapaxes(0, 1)
        inside = np.all((xy >= low - _RIM) & (xy <= high + _RIM), axis=1)
        sound = np.all(np.isfinite(xy) & (xy >= 0), axis=1) & (inside | self._table.frozen)
        kept &= sound[edges.source] & sound[edges.target]
        reindexing = Reindexing(self._table, xy * self._px[self._table.photo, None])
        for state, start, stop in zip(self._states, bounds[:-1], bounds[1:], strict=True):
            chosen = most_confident(edges.confidence[start:stop], kept[start:stop], self._options.max_matches)
            reindexing.add(state.pair, state.ends, edges.select(start + chosen))
        return reindexing.result(self._names, existing, self._refused)

    def _usable(self, dense: DenseMatches) -> Mask:
        xy = np.hstack((dense.xy_a, dense.xy_b))
        good = np.all(np.isfinite(xy) & (xy >= 0) & (xy <= _MAX_PX), axis=1)
        good &= np.isfinite(dense.confidence) & (dense.confidence > 0)
        return np.asarray(good & (dense.confidence >= self._options.min_confidence))

    def _network(self, xy: NDArray[np.floating], photo: int) -> Array:
        return np.asarray(np.asarray(xy, np.float64) / self._px[photo], np.float32)

    def _num_new(self, photo: int) -> int:
        rows = self._table.of_photo(photo)
        return len(rows) - int(self._table.frozen[rows].sum())
