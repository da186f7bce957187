"""What kernels take and give: arrays and their meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint64] | NDArray[np.float32]
"""(M, w) uint64: bits packed, padded with zeros; or (M, d) float32: residuals of length one."""

Best: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float64]]
"""(Q, k) int32 images, best first, -1 where there are no more, and their scores, 0 there."""


@dataclass(frozen=True, slots=True)
class Postings:
    """An inverted file: the codes of each word, and whose they are.

    offsets: (K + 1,) int64, word i owns rows [offsets[i], offsets[i + 1]).
    images: (P,) int32 in [0, N), ascending and without repeats within a word; checked where they are used,
        since they may lie in a file that has not been read.
    codes: (P, w) uint64, fastest in Fortran order, or (P, d) float32 in C order.
    inverse_norms: (N,) float64, one over the square root of the number of words of each image; 0 for none.
    num_bits: divisor of the Hamming distance; unused for float codes.
    """

    offsets: NDArray[np.int64]
    images: NDArray[np.int32]
    codes: Codes
    inverse_norms: NDArray[np.float64]
    num_bits: int


@dataclass(frozen=True, slots=True)
class Queries:
    """Aggregated codes of many images, image by image.

    offsets: (Q + 1,) int64, query i owns rows [offsets[i], offsets[i + 1]).
    words: (M,) int32 in [0, K), ascending and without repeats within a query.
    codes: (M, w) uint64 or (M, d) float32, as in the postings; more of them where there are rows.
    rows: (M,) int32, which row of the codes belongs to each word; None: the one in its place. An inverted
        file's own images are asked for without a copy of their codes.
    """

    offsets: NDArray[np.int64]
    words: NDArray[np.int32]
    codes: Codes
    rows: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def codes_of(self, start: int, stop: int) -> Codes:
        """Codes of queries [start, stop) in C order, one row for each word."""
        part = slice(int(self.offsets[start]), int(self.offsets[stop]))
        codes = self.codes[part if self.rows is None else self.rows[part]]
        return cast(Codes, np.ascontiguousarray(codes))


@dataclass(frozen=True, slots=True)
class Weighting:
    """What a meeting of two codes of similarity s counts: s^alpha, and nothing below the threshold.

    Raises:
        ValueError: a threshold outside [0, 1].
    """

    alpha: float = 3.0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"asmk: the threshold must be within [0, 1], not {self.threshold}")

    def of(self, similarities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Weights of these similarities; NaN stays NaN."""
        counted = np.where(similarities < self.threshold, 0, similarities)
        return np.asarray(counted.astype(np.float64) ** self.alpha)


def weights_by_distance(postings: Postings, weighting: Weighting) -> NDArray[np.float64]:
    """What a meeting counts for each Hamming distance 0 .. all bits; empty for float codes."""
    if postings.codes.dtype != np.uint64:
        return np.empty(0)
    distances = np.arange(64 * postings.codes.shape[1] + 1)
    return weighting.of(1 - 2 * distances / postings.num_bits)


Array = NDArray[np.float64]

NO_DISTANCE = np.iinfo(np.int32).max
"""Stands for the distance to a neighbour that does not exist."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each of n keypoints its nearest allowed partner.

    index: (n,) int64, the first of equally near ones, -1 where no partner is allowed.
    distance: (n,) int32, squared distance to it, `NO_DISTANCE` where there is none.
    second: (n,) int32, squared distance to the next nearest, `NO_DISTANCE` where there is none.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.int32]
    second: NDArray[np.int32]

    @classmethod
    def none(cls, count: int) -> Neighbours:
        """No partner for any keypoint."""
        return cls(
            np.full(count, -1, np.int64),
            np.full(count, NO_DISTANCE, np.int32),
            np.full(count, NO_DISTANCE, np.int32),
        )


@dataclass(frozen=True, slots=True)
class Probed:
    """Descriptors in the cells of an inverted file (IVF; Jégou et al., PAMI 2011).

    descriptors: (n, d) uint8.
    probes: (n, m) uint8, the cells that are nearest to each descriptor, nearest first: it lies in the first.
    """

    descriptors: NDArray[np.uint8]
    probes: NDArray[np.uint8]


Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """The evidence of one photo against its matches with another one. All coordinates in px."""

    points: Points
    """(T, 2) keypoints without a match."""
    matched: Points
    """(M, 2) those with one, M > 0 ..."""
    partners: Points
    """... and where the other photo has them, (M, 2)."""
    seen: Points
    """(S, 2) keypoints of the other photo that count as something seen."""
    size: tuple[int, int]
    """Width and height of the other photo."""
    diagonal: float
    """Of the photo."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes a missing match; distances are shares of the diagonal of the photo they are in."""

    num_neighbours: int
    """Matches that predict a place, at most."""
    clear: float
    """Nearer than this to a match, in either photo, nothing is asked."""
    reach: float
    """Farther than this from all matches no place is predicted."""
    margin: float
    """A place nearer than this to the edge may as well be outside."""
    elsewhere: float
    """Within this of the place something must be seen ..."""
    num_elsewhere: int
    """... so many times."""


Grey = NDArray[np.uint8]
"""(H, W) grey values of an image."""

PATCH_RADIUS = 5
"""Of a patch that is compared, px: it has 11 x 11 samples."""
MAX_SHIFT = 3
"""Of a patch along each axis, px: poses and points are not exact."""
MIN_DEVIATION = 3.0
"""Smallest standard deviation of the grey values of a patch that is compared."""
MIN_PRODUCT = 1e-6
"""Of the lengths of two patches, which a correlation is divided by."""

MIN_GRADIENT = 1e-12
"""At both epipoles there is none, and any point agrees."""

Reals = NDArray[np.float64]

Ids = NDArray[np.int64]
