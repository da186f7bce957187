"""Dense matches that no field reaches, beside the canonical keypoints: thin things, depth edges, lone spots.

Without enough neighbours on one surface there is no field to transfer a keypoint. Such matches may still be
right: in a wide-baseline pair or a small photo they are most of all. They keep the network's whole pixels,
and verification rejects the wrong ones. Only pairs with few canonical matches get them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from retrieval import Pair
from sfm.mast3r.values import DenseMatches

from .keypoint_values import Indices, TrackKeypoints
from .raw_tracks import raw_keypoints

_ENOUGH = 150
"""Canonical matches of a pair that need no others beside them."""

_RADIUS = 4.0
"""Network px: half of the matcher's grid. A match this near to a canonical one of its pair repeats it."""


def with_raw_matches(
    tracked: TrackKeypoints,
    pairs: Mapping[Pair, DenseMatches],
    photo_px: Mapping[str, float],
    max_matches: int,
) -> TrackKeypoints:
    """Canonical keypoints and matches, and in poor pairs the dense matches that lie apart from them.

    Canonical keypoints (`tracked`) keep rows and positions, and their matches come first.
    """
    poor = {pair: dense for pair, dense in pairs.items() if len(tracked.matches[pair]) < _ENOUGH}
    apart = {pair: _apart(tracked, pair, dense, photo_px) for pair, dense in poor.items()}
    added = raw_keypoints(apart, photo_px, tracked.keypoints)
    matches, confidence = dict(tracked.matches), dict(tracked.confidence)
    for pair in poor:
        fresh = _unused(tracked.matches[pair], added.matches[pair], added.confidence[pair])
        fresh = fresh[: max(max_matches - len(tracked.matches[pair]), 0)]
        matches[pair] = np.concatenate((tracked.matches[pair], added.matches[pair][fresh]))
        confidence[pair] = np.concatenate((tracked.confidence[pair], added.confidence[pair][fresh]))
    return _without_unmatched(
        TrackKeypoints(added.keypoints, matches, confidence, tracked.refused), tracked.keypoints
    )


def _apart(
    tracked: TrackKeypoints, pair: Pair, dense: DenseMatches, photo_px: Mapping[str, float]
) -> DenseMatches:
    """The dense matches that are near no canonical match of the pair in either photo."""
    usable = np.asarray(np.isfinite(np.hstack((dense.xy_a, dense.xy_b))).all(axis=1), np.bool_)
    matches = tracked.matches[pair]
    for side, (name, xy) in enumerate(zip(pair, (dense.xy_a, dense.xy_b), strict=True)):
        if len(matches):
            radius = _RADIUS * photo_px[name]
            tree = KDTree(tracked.keypoints[name][matches[:, side]])
            distance, _ = tree.query(np.where(usable[:, None], xy, -1e6), distance_upper_bound=radius)
            usable = np.asarray(usable & ~np.isfinite(distance), np.bool_)
    return DenseMatches(dense.xy_a[usable], dense.xy_b[usable], dense.confidence[usable])


def _unused(canonical: Indices, added: Indices, confidence: NDArray[np.float32]) -> NDArray[np.intp]:
    """Rows of `added`, most confident first, that use no keypoint of the pair a second time."""
    order = np.argsort(-confidence, kind="stable")
    for side in (0, 1):
        order = order[~np.isin(added[order, side], canonical[:, side])]
        order = order[np.sort(np.unique(added[order, side], return_index=True)[1])]
    return order


def _without_unmatched(tracked: TrackKeypoints, kept: Mapping[str, NDArray[np.float32]]) -> TrackKeypoints:
    """Without the added keypoints that no match uses; rows up to those of `kept` stay."""
    used = {name: np.arange(len(xy)) < len(kept.get(name, ())) for name, xy in tracked.keypoints.items()}
    for pair, rows in tracked.matches.items():
        for side, name in enumerate(pair):
            used[name][rows[:, side]] = True
    row = {name: (np.cumsum(mask) - 1).astype(np.uint32) for name, mask in used.items()}
    matches = {
        pair: np.stack([row[name][rows[:, side]] for side, name in enumerate(pair)], axis=1)
        for pair, rows in tracked.matches.items()
    }
    keypoints = {name: xy[used[name]] for name, xy in tracked.keypoints.items()}
    return TrackKeypoints(keypoints, matches, tracked.confidence, tracked.refused)
