"""Whether models rest on pairs of photos that are known to be look-alikes."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pycolmap
from photo_sets.pair_truth import LABELS, Label, read_labels

from retrieval import Pair
from sfm.colmap.model_poses import find_models
from sfm.errors import InputError
from sfm.mapping.scene.pair_matches import PairMatches

_USED = 15  # matches of a pair that became observations of one point
_USED_SHARE = 0.25
"""Of its matches. Two photos of different boxes in `dup_cereal` may see the same bit of the tablecloth: 31 of
the 510 matches of one pair and 21 of 170 of another are true; a model that keeps the boxes apart has them."""


def known_false_pairs(name: str, database: Path) -> frozenset[Pair]:
    """Pairs that show nothing in common: of a street grid beside its database, of photos by their labels."""
    made, listed = database.with_name("false_pairs.json"), LABELS / f"{name}.txt"
    if made.is_file():
        return frozenset(Pair.of(*pair) for pair in json.loads(made.read_text(encoding="utf-8")))
    labels = read_labels(listed) if listed.is_file() else {}
    return frozenset(pair for pair, label in labels.items() if label is Label.FALSE)


def used_pairs(models: Path, database: Path, pairs: Collection[Pair]) -> int:
    """How many of these pairs a model took: 15 matches, a quarter of all, observe one point each."""
    if not pairs:
        return 0
    inliers = PairMatches.read(database).inliers
    used: set[Pair] = set()
    try:
        folders = find_models(models)
    except InputError:
        return 0
    for folder in folders:
        points = _points(pycolmap.Reconstruction(folder))
        for pair in (pair for pair in pairs if pair.a in points and pair.b in points and pair in inliers):
            a, b = points[pair.a][inliers[pair][:, 0]], points[pair.b][inliers[pair][:, 1]]
            if np.count_nonzero((a == b) & (a >= 0)) >= max(_USED, _USED_SHARE * len(a)):
                used.add(pair)
    return len(used)


def _points(model: pycolmap.Reconstruction) -> dict[str, np.ndarray]:
    """The point that each keypoint of a registered photo observes, -1 for none."""
    return {
        image.name: np.array([p.point3D_id if p.has_point3D() else -1 for p in image.points2D], np.int64)
        for image in (model.image(i) for i in model.reg_image_ids())
    }
