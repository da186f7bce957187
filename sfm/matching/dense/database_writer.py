"""New pair results become keypoints and matches of the database; keypoints are only ever added."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from retrieval import Pair
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Mast3rConfig

from .inference.masking import load_masks, without_masked
from .inference.pair_store import PairResult
from .inference.photos import EncodedPhotos
from .inference.windows import matched_px
from .tracks.keypoints import KeypointOptions, build_tracks
from .tracks.raw_matches import with_raw_matches
from .tracks.raw_tracks import raw_keypoints

_NO_INDICES = np.zeros((0, 2), np.uint32)


def write_tracks(
    database: FeatureDatabase,
    results: Mapping[Pair, PairResult],
    photos: EncodedPhotos,
    config: Mast3rConfig,
    threads: int,
    corners: Mapping[str, NDArray[np.float32]] | None = None,
) -> None:
    """Write keypoints and matches of pairs that the database doesn't hold yet, all or nothing.

    Args:
        results: pairs by name; those without matches are written as matched with nothing.
        corners: positions (n, 2), px, of a repeatable detector in each photo, to snap new keypoints to.
    """
    if not results:
        return
    masks = load_masks(photos.photos)
    pairs = {
        pair: without_masked(pair, result.matches, masks)
        for pair, result in results.items()
        if len(result.matches.confidence)
    }
    scale = matched_px(photos.maps, config)
    existing = database.keypoint_positions()
    if config.tracks != "canonical":
        tracked = raw_keypoints(
            pairs, scale, existing, conflicts="keep" if config.tracks == "naive" else "drop"
        )
    else:
        options = KeypointOptions(max_keypoints=config.max_keypoints, max_matches=config.max_matches)
        tracked = build_tracks(
            pairs,
            scale,
            existing,
            options,
            existing_matches=database.matches(),
            corners=corners,
            threads=threads,
        )
        tracked = with_raw_matches(tracked, pairs, scale, config.max_matches)
    empty = {pair: _NO_INDICES for pair in results}
    database.add_matches(tracked.keypoints, {**empty, **tracked.matches})
