"""Raw tracks, for comparison with canonical keypoints: dense matches merged as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from retrieval import Pair
from sfm.mast3r.values import DenseMatches

from .keypoint_values import Indices, Table, TrackKeypoints
from .track_splitting import components

Rows = NDArray[np.int64]
_NO_POINTS = np.zeros((0, 2), np.float32)


def raw_keypoints(
    pairs: Mapping[Pair, DenseMatches],
    photo_px: Mapping[str, float],
    existing: Mapping[str, Table] | None = None,
    *,
    min_confidence: float = 0.0,
    conflicts: Literal["keep", "drop"] = "keep",
) -> TrackKeypoints:
    """Keypoints are the whole network pixels that matches lie on; tracks are what their matches connect.

    A new keypoint lies at the mean of the matches on its pixel. Whole pixels stay where they are.

    Args:
        pairs: dense matches, photo px; those that aren't finite or negative are refused.
        photo_px: photo px per network px of each photo.
        existing: keypoints of earlier rounds, which keep their rows and positions.
        conflicts: what becomes of tracks (by union-find) with two keypoints in one photo: "keep" leaves them
            to the mapper, "drop" removes their matches.
    """
    existing = existing or {}
    names = sorted({name for pair in pairs for name in pair} | set(existing))
    places: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    starts: dict[Pair, list[int]] = {}
    confidence, refused = {}, {}
    for pair in sorted(pairs):
        dense = pairs[pair]
        good = _usable(dense, min_confidence)
        refused[pair] = len(good) - int(good.sum())
        confidence[pair] = dense.confidence[good].astype(np.float32)
        starts[pair] = [sum(map(len, places[name])) for name in pair]
        for name, xy in zip(pair, (dense.xy_a, dense.xy_b), strict=True):
            places[name].append(xy[good].astype(np.float64))
    nowhere = np.zeros((0, 2), np.float64)
    tables: dict[str, Table] = {}
    rows: dict[str, Rows] = {}
    for name in names:
        found = np.concatenate([nowhere, *places[name]])
        tables[name], rows[name] = _on_pixels(found, existing.get(name, _NO_POINTS), photo_px[name])
    matches: dict[Pair, Indices] = {}
    for pair in starts:
        count = len(confidence[pair])
        ends = [rows[name][start : start + count] for name, start in zip(pair, starts[pair], strict=True)]
        matches[pair], confidence[pair] = _distinct(np.stack(ends, 1), confidence[pair])
    tracked = TrackKeypoints(tables, matches, confidence, refused)
    return _without_conflicts(tracked, names) if conflicts == "drop" else tracked


def _usable(dense: DenseMatches, min_confidence: float) -> NDArray[np.bool_]:
    xy = np.hstack((dense.xy_a, dense.xy_b))
    good = np.all(np.isfinite(xy) & (xy >= 0), axis=1) & np.isfinite(dense.confidence)
    return np.asarray(good & (dense.confidence >= min_confidence))


def _on_pixels(xy: NDArray[np.float64], old: Table, px: float) -> tuple[Table, Rows]:
    """The old keypoints and one for each further network pixel, and the row of each position's pixel."""
    cells = np.floor(np.concatenate((old.astype(np.float64), xy)) / px).astype(np.int64)
    _, first, member = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    row = np.full(len(first), -1)
    known = first < len(old)
    row[known] = first[known]
    row[~known] = len(old) + np.arange(np.count_nonzero(~known))
    member = member[len(old) :]
    count = np.maximum(np.bincount(member, minlength=len(first)), 1)
    mean = np.stack([np.bincount(member, xy[:, i], len(first)) / count for i in range(2)], 1)
    return np.concatenate((old, mean[~known].astype(np.float32))), row[member]


def _distinct(ends: Rows, confidence: NDArray[np.float32]) -> tuple[Indices, NDArray[np.float32]]:
    """Each match once, with its best confidence."""
    order = np.argsort(-confidence, kind="stable")
    first = order[np.unique(ends[order], axis=0, return_index=True)[1]]
    return ends[first].astype(np.uint32), confidence[first]


def _without_conflicts(tracked: TrackKeypoints, names: Sequence[str]) -> TrackKeypoints:
    """Without the matches of tracks that have two keypoints in one photo."""
    sizes = [len(tracked.keypoints[name]) for name in names]
    offset = dict(zip(names, np.cumsum([0, *sizes]), strict=False))
    links = {
        pair: ends.astype(np.int64) + np.array([offset[pair.a], offset[pair.b]])
        for pair, ends in tracked.matches.items()
    }
    edges = np.concatenate([np.zeros((0, 2), np.int64), *links.values()])
    label = components(sum(sizes), edges[:, 0], edges[:, 1])
    keys = np.sort(label * len(names) + np.repeat(np.arange(len(names)), sizes))
    wrong = np.zeros(sum(sizes), bool)
    wrong[keys[1:][keys[1:] == keys[:-1]] // max(len(names), 1)] = True
    kept = {pair: ~wrong[label[ends[:, 0]]] for pair, ends in links.items()}
    return TrackKeypoints(
        tracked.keypoints,
        {pair: ends[kept[pair]] for pair, ends in tracked.matches.items()},
        {pair: values[kept[pair]] for pair, values in tracked.confidence.items()},
        tracked.refused,
    )
