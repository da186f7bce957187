"""One direction of decoded pairs: descriptors, matches and depth of its rows, each computed on demand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sfm.config.schema import Mast3rConfig
from sfm.mast3r.network.correspondences import (
    DescriptorMap,
    Direction,
    match_direction,
    match_points,
    merge_directions,
)
from sfm.mast3r.network.pointmap_focal import estimate_focal
from sfm.mast3r.network.predictor import DecodedPairs
from sfm.mast3r.values import DenseMatches, ViewDepth

from .photo_map import PhotoMap
from .refinement import refine_by_descriptors

_MIN_POINT_CONFIDENCE = 3.0
"""Of both points of a match, as published for DUSt3R."""
DEPTH_STRIDE = 4
"""Network pixels between stored depths."""


class DecodedDirection:
    """One decoded direction of a batch, with descriptors and matches of its rows.

    `first_is` is the view that the first photo of each pair is.
    """

    def __init__(
        self, decoded: DecodedPairs, rows: Sequence[int], config: Mast3rConfig, *, first_is: int
    ) -> None:
        self._decoded = decoded
        self._index = {row: index for index, row in enumerate(rows)}
        self._maps_a, self._maps_b = (matched_maps(decoded, view) for view in (first_is, 3 - first_is))
        finite = [torch.isfinite(m).flatten(1).all(dim=1) for m in (*self._maps_a, *self._maps_b)]
        self._finite = torch.stack(finite).all(dim=0).tolist()
        self._directions: dict[int, Direction] = {}
        self.config = config

    def is_finite(self, row: int) -> bool:
        """False where damaged weights or too little precision show."""
        return bool(self._finite[self._index[row]])

    def is_promising(self, row: int) -> bool:
        """Whether the other direction of the row is worth its price."""
        if not self.is_finite(row):
            return False
        if not self.config.one_direction_first:
            return True
        return self.num_confident(row) >= self.config.min_first_matches

    def num_confident(self, row: int) -> int:
        """Matches of this direction alone that are confident enough."""
        found = merge_directions(self.direction(row))
        return int((found.confidence >= self.min_confidence).sum())

    @property
    def min_confidence(self) -> float:
        """Of matches that are kept."""
        return least_confidence(self.config.min_confidence, has_descriptors=self.has_descriptors)

    def direction(self, row: int) -> Direction:
        """Reciprocal matches of the row's two photos."""
        if row not in self._directions:
            index = self._index[row]
            a, b = ((values[index], c[index]) for values, c in (self._maps_a, self._maps_b))
            self._directions[row] = matched(self._decoded, a, b, self.config.subsample_px)
        return self._directions[row]

    @property
    def has_descriptors(self) -> bool:
        """Whether matches are by descriptors."""
        return self._decoded.has_descriptors

    def refined(self, row: int, xy_a: NDArray[np.float32], xy_b: NDArray[np.float32]) -> NDArray[np.float32]:
        """Positions (M, 2) in the second photo, between pixels, of matches of a row; network px."""
        index, device = self._index[row], self._maps_a[0].device
        a, b = (torch.from_numpy(xy).to(device) for xy in (xy_a, xy_b))
        moved = refine_by_descriptors(self._maps_a[0][index], self._maps_b[0][index], a, b)
        return _numpy(moved)

    def depths(self, rows: Sequence[int]) -> dict[int, ViewDepth]:
        """Depth of view 1, where it is finite."""
        if not rows:
            return {}
        points, confidence = self._decoded.points(1, [self._index[row] for row in rows])
        return {
            row: view_depth(_numpy(p), _numpy(c)) for row, p, c in zip(rows, points, confidence, strict=True)
        }


def matched_maps(decoded: DecodedPairs, view: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What pixels of a view are matched by, (B, H, W, d), and its confidence (B, H, W)."""
    return decoded.descriptors(view) if decoded.has_descriptors else decoded.points(view)


def matched(
    decoded: DecodedPairs,
    a: tuple[torch.Tensor, torch.Tensor],
    b: tuple[torch.Tensor, torch.Tensor],
    subsample: int,
) -> Direction:
    """Reciprocal matches of two maps (H, W, d) with confidences (H, W), as `matched_maps` gives them."""
    if decoded.has_descriptors:
        return match_direction(DescriptorMap(*a), DescriptorMap(*b), subsample=subsample)
    return match_points(a, b, subsample=subsample)


def least_confidence(configured: float, *, has_descriptors: bool) -> float:
    """Of matches that are kept; where these are by points, confidences are those of points."""
    return configured if has_descriptors else max(configured, _MIN_POINT_CONFIDENCE)


def matches_of_both(
    forward: DecodedDirection, backward: DecodedDirection, row: int, maps: tuple[PhotoMap, PhotoMap]
) -> DenseMatches:
    """Confident matches of a row of the batch from both directions; view 1 of `forward` is the first
    photo."""
    found = merge_directions(forward.direction(row), backward.direction(row))
    keep = found.confidence >= forward.min_confidence
    xy_a, xy_b = (xy[keep].astype(np.float32) for xy in (found.xy_a, found.xy_b))
    if forward.config.refine_matches and forward.has_descriptors:
        xy_b = forward.refined(row, xy_a, xy_b)
    return DenseMatches(maps[0].to_photo(xy_a), maps[1].to_photo(xy_b), found.confidence[keep])


def view_depth(points: NDArray[np.floating], confidence: NDArray[np.floating]) -> ViewDepth:
    """Depth of a photo from its points (H, W, 3) in its own frame and their confidence (H, W)."""
    depth = np.where(np.isfinite(points).all(axis=2) & (points[..., 2] > 0), points[..., 2], np.nan)
    certain = np.nan_to_num(confidence, nan=1.0, posinf=6e4)
    step = slice(None, None, DEPTH_STRIDE)
    return ViewDepth(
        np.asarray(depth[step, step], np.float32),
        np.asarray(certain[step, step], np.float32),
        DEPTH_STRIDE,
        float(estimate_focal(points)),
    )


def _numpy(tensor: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
