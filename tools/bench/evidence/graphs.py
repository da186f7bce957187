"""View graphs with labelled pairs: exhaustive and thin, with and without capture order and descriptors."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from photo_sets.pair_truth import Label, pair_labels

from retrieval import Pair
from sfm.mapping.pair_consistency.background import measured_background
from sfm.mapping.pair_consistency.pair_features import Values, capture_order, local_features, pairs_by_image
from sfm.mapping.pair_consistency.pair_rotations import Rotation, read_rotations
from sfm.mapping.scene.pair_matches import PairMatches

Variant = Literal["plain", "shuffled", "no_background"]
VARIANTS: tuple[Variant, ...] = ("plain", "shuffled", "no_background")
PAIRS_A_PHOTO = (None, 8, 4)
"""None: exhaustive."""
_LUCK = 0.7  # scale of the Gumbel noise on the logarithm of the matches


@dataclass(frozen=True, slots=True, eq=False)
class LabelledGraph:
    """One view graph of a collection, its features, and which of its pairs are true."""

    kind: str
    name: str
    pairs_a_photo: int | None
    variant: Variant
    matches: PairMatches
    rotations: Mapping[Pair, Rotation]
    is_true: Mapping[Pair, bool]
    """Of the pairs whose truth is known and not mixed."""
    features: dict[str, Values] = field(default_factory=dict)

    @property
    def pairs(self) -> list[Pair]:
        """Those with a label."""
        return list(self.is_true)

    @property
    def truth(self) -> NDArray[np.bool_]:
        """Of `pairs`."""
        return np.array(list(self.is_true.values()), dtype=bool)

    def matrix(self, names: list[str]) -> NDArray[np.float64]:
        """Features of `pairs`, (N, F)."""
        columns = [[self.features[name][pair] for pair in self.is_true] for name in names]
        return np.array(columns, dtype=np.float64).reshape(len(names), -1).T


def labelled_graphs(kind: str, folder: Path, database: Path) -> Iterator[LabelledGraph]:
    """The graphs of a collection: exhaustive and thin ones, each in all variants."""
    whole = PairMatches.read(database)
    name = folder.name
    labels = pair_labels(name, folder, whole)
    is_true = {pair: label is Label.TRUE for pair, label in labels.items() if label is not Label.MIXED}
    rotations = read_rotations(database, whole)
    for count in PAIRS_A_PHOTO:
        matches = whole if count is None else thinned(whole, count)
        if count is not None and len(matches.inliers) == len(whole.inliers):
            continue
        features = dict(local_features(matches, measured_background(database, matches)))
        known = {pair: is_true[pair] for pair in matches.inliers if pair in is_true}
        turns = {pair: rotations[pair] for pair in matches.inliers if pair in rotations}
        for variant in VARIANTS if known else ():
            changed = dict(features) | _variant_features(variant, matches)
            yield LabelledGraph(kind, name, count, variant, matches, turns, known, changed)


def thinned(matches: PairMatches, pairs_a_photo: int, *, seed: int = 1) -> PairMatches:
    """The graph with about so many pairs chosen by each photo, by their matches with some luck."""
    rng = np.random.default_rng(seed)
    kept: set[Pair] = set()
    for name in sorted(matches.keypoints):
        pairs = [pair for pair in matches.inliers if name in pair]
        worth = [np.log(len(matches.inliers[pair])) + _LUCK * rng.gumbel() for pair in pairs]
        kept |= {pairs[i] for i in np.argsort(-np.array(worth))[:pairs_a_photo]}
    return replace(matches, inliers={pair: rows for pair, rows in matches.inliers.items() if pair in kept})


def _variant_features(variant: Variant, matches: PairMatches) -> dict[str, Values]:
    """The features that a variant changes."""
    if variant == "no_background":
        none = dict.fromkeys(matches.inliers, 0.0)
        return {"has_background": none, "background": none}
    if variant == "plain":
        return {}
    names = sorted(matches.keypoints)
    other = dict(zip(names, random.Random(1).sample(names, len(names)), strict=True))
    renamed = {pair: Pair.of(other[pair.a], other[pair.b]) for pair in matches.inliers}
    of_image = pairs_by_image({renamed[pair]: len(rows) for pair, rows in matches.inliers.items()})
    order = capture_order(names, of_image)
    return {"capture_order": {pair: order[renamed[pair]] for pair in matches.inliers}}
