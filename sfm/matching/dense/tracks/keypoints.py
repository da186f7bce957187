"""Track building: keypoints that all pairs of a photo share, from dense matches.

Dense matches fall on different pixels in each pair, so that merging them as they are gives short tracks. Here
a photo gets canonical keypoints where the matches of all its pairs pile up. Each pair's correspondence field
transfers them to the partner, at the exact position that the field predicts. Photo by photo, along the
strongest pairs first, tracks grow through the whole scene graph. In the end the positions of each track are
refined among all its pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from retrieval import Pair
from sfm.mast3r.values import DenseMatches

from .keypoint_values import Indices, KeypointOptions, Table, TrackKeypoints
from .track_growth import TrackBuilder

__all__ = ["KeypointOptions", "TrackKeypoints", "build_tracks"]


def build_tracks(
    pairs: Mapping[Pair, DenseMatches],
    photo_px: Mapping[str, float],
    existing: Mapping[str, Table],
    options: KeypointOptions,
    *,
    existing_matches: Mapping[Pair, Indices] | None = None,
    corners: Mapping[str, Table] | None = None,
    threads: int = 2,
) -> TrackKeypoints:
    """Keypoints and index matches for dense matches; the result doesn't depend on the order of any mapping.

    Args:
        pairs: dense matches, photo px (COLMAP's convention). Those that aren't finite or negative are
            refused.
        photo_px: photo px per network px of each photo.
        existing: keypoints of earlier rounds: they keep their rows and stay where they are.
        existing_matches: index matches of earlier rounds, so that their tracks are known.
        corners: (C, 2) positions of a repeatable detector's corners, photo px: new keypoints near them are
            moved onto them with their observations in other photos.
        threads: for the correspondence fields and the positions; the result doesn't depend on it.

    Returns:
        Tables for every photo of `pairs` and `existing`, and the matches of every pair of `pairs`. New
        keypoints without a match are left out.

    Raises:
        ValueError: a photo has no `photo_px` or one that isn't positive, or arrays don't fit each other.
    """
    names = sorted({name for pair in pairs for name in pair} | set(existing))
    _check_photos(names, photo_px, existing)
    _check_pairs(pairs)
    builder = TrackBuilder(names, photo_px, options, corners or {})
    builder.take_existing(existing, existing_matches or {})
    builder.take_pairs(pairs)
    with ThreadPoolExecutor(threads) as pool:
        for photo in builder.order():
            builder.process(photo, pool)
        return builder.finish(existing, pool)


def _check_photos(names: Iterable[str], photo_px: Mapping[str, float], existing: Mapping[str, Table]) -> None:
    for name in names:
        px = photo_px.get(name, float("nan"))
        if not (np.isfinite(px) and px > 0):
            raise ValueError(f"{name}: photo_px must be positive, not {px}")
        table = existing.get(name, np.zeros((0, 2), np.float32))
        if table.ndim != 2 or table.shape[1] != 2 or not np.isfinite(table).all():
            raise ValueError(f"{name}: existing keypoints must be finite (K, 2), not {table.shape}")


def _check_pairs(pairs: Mapping[Pair, DenseMatches]) -> None:
    for pair, dense in pairs.items():
        num = len(dense.confidence)
        shapes = (dense.xy_a.shape, dense.xy_b.shape, dense.confidence.shape)
        if shapes != ((num, 2), (num, 2), (num,)):
            raise ValueError(f"{pair.a}, {pair.b}: matches of shapes {shapes} don't fit each other")
        if pair.a >= pair.b:
            raise ValueError(f"{pair.a}, {pair.b}: the names of a pair must ascend")
