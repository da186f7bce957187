"""What sparse global alignment works on: views with a depth a block, and correspondences between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.geometry.similarity import fit_similarity

from .canonical import SUBSAMPLE_PX, CanonicalView

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class View:
    """One image: its size, the depth of its blocks, and its camera at the start."""

    size: tuple[int, int]
    """(W, H), px of the network's image."""
    core_depth: Float64
    """(h, w) at the centres of blocks, in the network's unit."""
    focal_px: float
    """Of the canonical pointmap, or known; the relative depth of pixels is that of this focal length."""
    principal_point: tuple[float, float]
    """px of the network's image, whose upper-left pixel has its centre at (0, 0)."""
    confidence: float = 1.0
    """Mean confidence of the canonical pointmap; the weight of the view in shared intrinsics."""
    known_intrinsics: bool = False
    """Whether focal length and principal point stay as they are."""
    world_from_view: pycolmap.Rigid3d | None = None
    """A known pose, which stays as it is; all known ones share a world, of any unit."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """Pixels of one image, each with the block that its depth follows."""

    pixels: Int64 | Float64
    """(M, 2), x and y, as a camera without distortion sees them."""
    blocks: Int64
    """(M,), row by row."""
    relative_depth: Float64
    """(M,), depth over that of the block's centre, at the focal length of the canonical pointmap."""

    @classmethod
    def of(cls, view: CanonicalView, pixels: Int64) -> Anchored:
        """Anchor pixels (M, 2); raises ValueError as `CanonicalView.anchors`."""
        return cls(pixels, *view.anchors(pixels))


@dataclass(frozen=True, slots=True)
class Predicted:
    """An image as view 2: its points in the camera frame of the other image of a pair, one a block."""

    points: Float64
    """(h * w, 3), at the upper-left pixel of each block."""
    confidence: Float64
    """(h * w,)."""


def placed(canonical: CanonicalView, predicted: Predicted) -> pycolmap.Sim3d | None:
    """The similarity from a view's camera frame to that of another, in which its points were predicted.

    A point's error grows with its depth, so that its weight is confidence over depth squared. None where the
    points do not determine it.
    """
    own = canonical.points[::SUBSAMPLE_PX, ::SUBSAMPLE_PX].reshape(-1, 3)
    known = (own[:, 2] > 0) & np.isfinite(predicted.points).all(axis=1)
    weights = np.maximum(predicted.confidence - 1, 0)[known] / own[known, 2] ** 2
    if not weights.sum() > 0:
        return None
    return fit_similarity(own[known], predicted.points[known], weights)


@dataclass(frozen=True, slots=True)
class AlignedPair:
    """Correspondences of two views, and what the network predicts of each view beside the other."""

    first: int
    second: int
    """Indices of views."""
    in_first: Anchored
    in_second: Anchored
    confidence: Float64
    """(M,)."""
    first_from_second: Predicted | None = None
    """Points of the first view in the frame of the second."""
    second_from_first: Predicted | None = None
    first_in_second: pycolmap.Sim3d | None = None
    """From the camera frame of the first view to that of the second, by the same predictions."""
    second_in_first: pycolmap.Sim3d | None = None

    def is_weak(self, threshold: float) -> bool:
        """Whether no correspondence is more confident than the threshold."""
        return not len(self.confidence) or float(self.confidence.max()) <= threshold


@dataclass(frozen=True, slots=True)
class AlignmentProblem:
    """Views and pairs of one connected graph."""

    views: tuple[View, ...]
    pairs: tuple[AlignedPair, ...]

    def scores(self) -> Float64:
        """(N, N) numbers of correspondences."""
        table = np.zeros((len(self.views), len(self.views)))
        for pair in self.pairs:
            table[pair.first, pair.second] = table[pair.second, pair.first] = len(pair.confidence)
        return table

    def sizes(self) -> Int64:
        """(N, 2) W and H, px."""
        return np.array([view.size for view in self.views], np.int64).reshape(-1, 2)
