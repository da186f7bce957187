"""Tracks compiled by numba: each one a ring of keypoints; imported where it runs."""

from typing import Any

import numpy as np

from .compiled import compiled
from .values import Ids


class CompiledTracks:
    """See `tracks.Tracks`."""

    def __init__(self, image: Ids) -> None:
        self.label = np.arange(len(image), dtype=np.int64)
        self.joined = np.zeros(len(image), dtype=np.bool_)
        self._image = np.ascontiguousarray(image, dtype=np.int64)
        self._next = np.arange(len(image), dtype=np.int64)
        self._size = np.ones(len(image), dtype=np.int64)
        self._stamp = np.full(int(image.max(initial=-1)) + 1, -1, dtype=np.int64)
        self._stamps = 0

    def join(self, first: Ids, second: Ids) -> None:
        """As `Tracks.join`."""
        self._stamps = _join(
            np.ascontiguousarray(first),
            np.ascontiguousarray(second),
            self.label,
            self.joined,
            self._image,
            self._next,
            self._size,
            self._stamp,
            self._stamps,
        )


@compiled()
def _join(
    first: Any,
    second: Any,
    label: Any,
    joined: Any,
    image: Any,
    following: Any,
    size: Any,
    stamp: Any,
    stamps: int,
) -> int:
    """Join; returns the number of mergers tried so far.

    `following` closes a ring through each track. `size` is the size of a label's track, `stamp` the last
    merger with each image.
    """
    for m in range(len(first)):
        keep, gone = label[first[m]], label[second[m]]
        if keep == gone:
            continue
        if size[keep] < size[gone]:
            keep, gone = gone, keep
        stamps += 1
        at = gone
        while True:
            stamp[image[at]] = stamps
            at = following[at]
            if at == gone:
                break
        if _meets(keep, image, following, stamp, stamps):
            continue
        while True:
            label[at] = keep
            at = following[at]
            if at == gone:
                break
        # two rings become one where their ends are exchanged
        following[keep], following[gone] = following[gone], following[keep]
        size[keep] += size[gone]
        joined[first[m]] = True
        joined[second[m]] = True
    return stamps


@compiled()
def _meets(start: int, image: Any, following: Any, stamp: Any, stamps: int) -> bool:
    """Whether a keypoint of the ring through `start` is in an image that was just seen."""
    at = start
    while True:
        if stamp[image[at]] == stamps:
            return True
        at = following[at]
        if at == start:
            return False
