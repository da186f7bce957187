"""Matches under a photo's mask are left out, as keypoints are with SIFT."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from retrieval import Pair
from sfm.ingest.decode import decode, open_photo
from sfm.mast3r.values import DenseMatches
from sfm.types import Photo


def load_masks(photos: Mapping[str, Photo]) -> dict[str, NDArray[np.bool_]]:
    """(H, W) bool by name, True where matches are wanted, for photos that have a mask (stored pixels)."""
    masks = {}
    for name, photo in photos.items():
        if photo.mask is not None:
            with open_photo(photo.mask) as image:
                decode(image)
                masks[name] = np.asarray(image.convert("L")) > 0
    return masks


def without_masked(pair: Pair, matches: DenseMatches, masks: Mapping[str, NDArray[np.bool_]]) -> DenseMatches:
    """The matches both of whose ends lie where the masks are not black."""
    keep = _open(masks.get(pair.a), matches.xy_a) & _open(masks.get(pair.b), matches.xy_b)
    return DenseMatches(matches.xy_a[keep], matches.xy_b[keep], matches.confidence[keep])


def _open(mask: NDArray[np.bool_] | None, xy: NDArray[np.float32]) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(len(xy), bool)
    columns = np.clip(xy[:, 0].astype(np.int64), 0, mask.shape[1] - 1)
    rows = np.clip(xy[:, 1].astype(np.int64), 0, mask.shape[0] - 1)
    return mask[rows, columns]
