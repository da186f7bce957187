"""Tracks that grow match by match: keypoints joined, at most one of an image in a track.

The plain version keeps each track as a list of keypoints and a set of bits; compiled (`tracks_numba`), tracks
are rings of keypoints in one array. Both give every keypoint the same label.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .dispatch import compiles
from .values import Ids

_WORTH_COMPILING = 1 << 16
"""Keypoints from which on compiled code is faster, its start included."""


class Tracks(Protocol):
    """Keypoints, numbered from 0, and the tracks that they are in.

    label: (K,) int64, equal for the keypoints of one track: the number of one of them.
    joined: (K,) bool, whether a keypoint is in a track of two or more.
    """

    label: Ids
    joined: NDArray[np.bool_]

    def join(self, first: Ids, second: Ids) -> None:
        """Merge the tracks of the keypoints first[i] and second[i], i after i, (M,) int64 each.

        A merger that would put two keypoints of one image into a track is left out. The larger track keeps
        its label, that of `first` where both are as large.
        """


def new_tracks(image: Ids) -> Tracks:
    """Each keypoint a track of its own; `image` (K,) is the image of each, numbered from 0."""
    if compiles(len(image) >= _WORTH_COMPILING):
        from . import tracks_numba  # half a second, and more on its first use

        return tracks_numba.CompiledTracks(image)
    return PlainTracks(image)


class PlainTracks:
    """The definition; see `Tracks`."""

    def __init__(self, image: Ids) -> None:
        self.label = np.arange(len(image), dtype=np.int64)
        self.joined = np.zeros(len(image), dtype=np.bool_)
        self._image = image
        self._images: dict[int, int] = {}  # of each track of two or more, by label: the bits of its images
        self._members: dict[int, list[int]] = {}  # and its keypoints

    def join(self, first: Ids, second: Ids) -> None:
        """As `Tracks.join`: most matches lie within a track already, and only the others are gone through."""
        apart = self.label[first] != self.label[second]
        ends = (part[apart].tolist() for part in (first, second, self._image[first], self._image[second]))
        for i, j, image_i, image_j in zip(*ends, strict=True):
            keep, gone = int(self.label[i]), int(self.label[j])
            if keep == gone:
                continue
            images, others = self._images.get(keep, 1 << image_i), self._images.get(gone, 1 << image_j)
            if images & others:
                continue
            large, small = self._members.get(keep) or [i], self._members.get(gone) or [j]
            if len(large) < len(small):
                keep, gone, large, small = gone, keep, small, large
            self._images.pop(gone, None)
            self._members.pop(gone, None)
            self._images[keep] = images | others
            self._members[keep] = large + small
            self.label[small] = keep
            self.joined[[i, j]] = True
