"""Options and results of track building."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval import Pair

from .local_affine import FieldOptions

Table = NDArray[np.float32]
"""(K, 2) keypoints of a photo, photo px."""
Indices = NDArray[np.uint32]
"""(M, 2) rows in the tables of a pair's first and second photo."""


@dataclass(frozen=True, slots=True)
class KeypointOptions:
    """How dense matches become keypoints; lengths in network px."""

    nms_radius: float = 3.0
    """Least distance between the canonical keypoints of a photo along either axis."""
    merge_radius: float = 1.0
    """A keypoint carried over that lands this near to another one is the same; none is appended nearer."""
    max_keypoints: int = 8192
    """New keypoints of a photo, at most. Half of them may be its own, the rest come from its partners."""
    max_matches: int = 4096
    """Of a pair, at most; the most confident are kept."""
    min_confidence: float = 0.0
    """Dense matches below are left out."""
    max_hops: int = 2
    """Pairs that a keypoint is transferred along one after the other; errors of the transfers add up."""
    refine: bool = True
    """Refine the positions of a track among all its pairs, and cut links that contradict them."""
    edge_tolerance: float = 2.0
    """How far two keypoints of a track may be from a pair's field and still be matched."""
    snap_radius: float = 1.0
    """How far a new keypoint is moved to reach a corner, where corners are given."""
    field: FieldOptions = field(default_factory=FieldOptions)
    """The correspondence fields of the pairs."""


@dataclass(frozen=True, slots=True)
class TrackKeypoints:
    """Keypoint tables and index matches, as the COLMAP database takes them."""

    keypoints: dict[str, Table]
    """Of each photo, photo px; the rows that existed first, bit for bit."""
    matches: dict[Pair, Indices]
    """Of each pair; may be empty. No row occurs twice in a column."""
    confidence: dict[Pair, NDArray[np.float32]]
    """(M,) of each match: mean confidence of the dense matches around it."""
    refused: dict[Pair, int]
    """Dense matches of each pair that were left out: not finite, negative, or not confident enough."""
