"""Correspondences of two photos from their descriptor maps, in pixels of the network's images.

The network sees a pair of photos in two directions, and each gives descriptors of both. Fast reciprocal
matching (MASt3R §3.3) starts from a grid of pixels of either photo; what both directions find is merged. One
direction is a value of its own, because it tells most hopeless pairs apart before the other is paid for.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kernels.reciprocal import DescriptorPair, Metric

SUBSAMPLE_PX = 8
"""Distance between start pixels in the published pipeline."""


@dataclass(frozen=True, slots=True)
class Correspondences:
    """Pixels of photos a and b that show the same point; no pair twice, ordered by y, x in a, then in b."""

    xy_a: NDArray[np.int64]
    """(M, 2), x and y in the network's image of photo a."""
    xy_b: NDArray[np.int64]
    """(M, 2), in that of photo b."""
    confidence: NDArray[np.float32]
    """(M,), > 0; from the descriptor confidences of both pixels."""


@dataclass(frozen=True, slots=True)
class DescriptorMap:
    """Descriptors of one photo in one direction, as the network gives them."""

    descriptors: Tensor
    """(H, W, d), of unit length; pixels with NaN or infinity match nothing."""
    confidence: Tensor
    """(H, W), > 0."""

    def __post_init__(self) -> None:
        if self.descriptors.dim() != 3 or self.descriptors.shape[:2] != self.confidence.shape:
            raise ValueError(
                f"descriptors {tuple(self.descriptors.shape)} and confidence {tuple(self.confidence.shape)} "
                "are not of one map"
            )


@dataclass(frozen=True, slots=True)
class Direction:
    """Matches that one direction of the network gives, maybe with repeats, on the device of its maps."""

    pixels_a: Tensor
    """(K,) int64, x + width * y."""
    pixels_b: Tensor
    """(K,) int64."""
    confidence_a: Tensor
    """(K,) float32, at the pixels of photo a."""
    confidence_b: Tensor
    """(K,) float32."""
    widths: tuple[int, int]
    """Of both maps, px."""


def match_points(
    a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], *, subsample: int = SUBSAMPLE_PX
) -> Direction:
    """Reciprocal matches of one direction by the points of both photos, as DUSt3R's are found (§3.3).

    Args:
        a: points (H, W, 3) of photo a and their confidence (H, W).
        b: those of photo b, in the same frame.
        subsample: distance between start pixels, >= 1.

    Returns:
        Matches, with the lesser confidence of both pixels.
    """
    pair = DescriptorPair(a[0], b[0], metric="euclidean")
    found = _both_ways(pair, subsample)
    certain_a, certain_b = (c.flatten()[rows].float() for c, rows in zip((a[1], b[1]), found, strict=True))
    least = torch.minimum(certain_a, certain_b)
    return Direction(*found, least, least, (a[0].shape[1], b[0].shape[1]))


def match_direction(a: DescriptorMap, b: DescriptorMap, *, subsample: int = SUBSAMPLE_PX) -> Direction:
    """Reciprocal matches of one direction, from a grid of photo a, then from a grid of photo b.

    Args:
        a: photo a, whichever view it was in this direction.
        b: photo b.
        subsample: distance between start pixels, >= 1.

    Raises:
        ValueError: maps of different depth, or subsample < 1.
    """
    pixels_a, pixels_b = _both_ways(DescriptorPair(a.descriptors, b.descriptors), subsample)
    return Direction(
        pixels_a,
        pixels_b,
        a.confidence.flatten()[pixels_a].float(),
        b.confidence.flatten()[pixels_b].float(),
        (a.descriptors.shape[1], b.descriptors.shape[1]),
    )


def match_pixels(
    a: DescriptorMap, b: DescriptorMap, pixels: Tensor, *, pixel_tol: float, metric: Metric = "dot"
) -> Direction:
    """Matches of given pixels of one photo, each with its nearest in the other.

    Args:
        a: photo a, whichever view it was in this direction.
        b: photo b.
        pixels: (K, 2) integer, (x, y) in a.
        pixel_tol: the nearest of the nearest must lie closer than this to the start, px; 0: be the start.
        metric: that of the descriptors; euclidean where they are points.

    Raises:
        ValueError: maps of different depth, or pixels outside of a.
    """
    found = DescriptorPair(a.descriptors, b.descriptors, metric=metric).from_pixels(
        pixels, pixel_tol=pixel_tol
    )
    return Direction(
        found.first,
        found.second,
        a.confidence.flatten()[found.first].float(),
        b.confidence.flatten()[found.second].float(),
        (a.descriptors.shape[1], b.descriptors.shape[1]),
    )


def _both_ways(pair: DescriptorPair, subsample: int) -> tuple[Tensor, Tensor]:
    """Pixels of both maps, (K,) each, that walks from grids of either reach."""
    forward, backward = pair.from_grid(subsample), pair.swapped().from_grid(subsample)
    return torch.cat((forward.first, backward.second)), torch.cat((forward.second, backward.first))


def merge_directions(*directions: Direction) -> Correspondences:
    """Correspondences of one or both directions; confidence is the geometric mean of both photos'.

    Of pairs of pixels that occur more than once, the first occurrence gives the confidence.

    Raises:
        ValueError: no direction, or directions of maps of different widths.
    """
    if len({direction.widths for direction in directions}) != 1:
        raise ValueError(f"directions of one pair wanted, not widths {[d.widths for d in directions]}")
    rows_a: NDArray[np.int64] = torch.cat([d.pixels_a for d in directions]).cpu().numpy()
    rows_b: NDArray[np.int64] = torch.cat([d.pixels_b for d in directions]).cpu().numpy()
    combined = torch.cat([torch.sqrt(d.confidence_a * d.confidence_b) for d in directions])
    confidence: NDArray[np.float32] = combined.cpu().numpy()
    first = np.unique(np.column_stack((rows_a, rows_b)), axis=0, return_index=True)[1]
    width_a, width_b = directions[0].widths
    return Correspondences(_xy(rows_a[first], width_a), _xy(rows_b[first], width_b), confidence[first])


def _xy(rows: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """(M, 2) x and y of linear indices (M,)."""
    return np.column_stack((rows % width, rows // width))
