"""Pairs with a guide: matched near their epipolar lines and verified, where that finds them to be right."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path

import pycolmap

from retrieval import Pair
from sfm.colmap.database import FeatureDatabase
from sfm.matching.guide import Guides, GuideView
from sfm.matching.verification import verify_pairs
from sfm.workspace.progress import Progress, SilentProgress

from .guided import Features, GuidedMatches, guided_matches

_CHUNK = 32
"""Pairs whose features are held at a time: up to some 150 MB."""
_MATCHES_PER_INLIER = 1.3
"""Verification keeps four fifths of guided matches at least, so it does not refuse what is found here."""


def match_guided(
    pairs: Sequence[Pair],
    guides: Guides,
    database: FeatureDatabase,
    *,
    scratch_dir: Path,
    geometry: pycolmap.TwoViewGeometryOptions,
    threads: int,
    progress: Progress,
) -> set[Pair]:
    """Match and verify pairs of known relative pose; returns the pairs that are in the database now.

    The other pairs need unguided matching: too few matches stand out from chance. Their photos may still show
    the same, if the model that they are in is bent. RANSAC is seeded for each pair.
    """
    min_matches = ceil(_MATCHES_PER_INLIER * geometry.min_num_inliers)
    done: set[Pair] = set()
    with progress.task("guided", len(pairs), unit="pairs") as task, ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(pairs), _CHUNK):
            chunk = pairs[start : start + _CHUNK]
            found = _search(chunk, guides, database, pool)
            right = {
                pair: result.matches for pair, result in found.items() if result.significant(min_matches)
            }
            database.add_matches({}, right)
            verify_pairs(
                sorted(right), database, scratch_dir=scratch_dir, options=geometry, progress=SilentProgress()
            )
            done |= right.keys()
            task.advance(len(chunk))
    return done


def _search(
    pairs: Sequence[Pair], guides: Guides, database: FeatureDatabase, pool: ThreadPoolExecutor
) -> dict[Pair, GuidedMatches]:
    def load(place: tuple[str, GuideView]) -> Features:
        name, view = place
        keypoints, descriptors = database.features(name)
        return Features.of(keypoints[:, :2], descriptors, view)

    def search(pair: Pair) -> GuidedMatches:
        guide = guides[pair]
        return guided_matches(features[pair.a, guide.a], features[pair.b, guide.b], guide)

    ends = [((pair.a, guides[pair].a), (pair.b, guides[pair].b)) for pair in pairs]
    places = list(dict.fromkeys(place for both in ends for place in both))
    features = dict(zip(places, pool.map(load, places), strict=True))
    return dict(zip(pairs, pool.map(search, pairs), strict=True))
