"""Matches of two photos by their SIFT descriptors: each other's nearest, and clearly nearer than the next.

The tests are COLMAP's, with its options (Lowe, IJCV 2004). Nearest neighbours are ours. They are exact, but
for partners of which neither probes the other's cell. COLMAP builds an index of each photo at each call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from kernels.probed_nearest import probed_nearest
from kernels.values import Neighbours, Probed
from retrieval import Pair
from sfm.colmap.database import FeatureDatabase

from .cells import probed

_NORM = 512.0
"""Of a descriptor, as COLMAP stores it."""
_MOST_BYTES = 1 << 29
"""Of descriptors that are kept for the next pairs: some 350 photos of 12,000 keypoints."""


def finds_itself(options: pycolmap.FeatureMatchingOptions) -> bool:
    """Whether options ask for SIFT's usual matcher, which is this one; COLMAP has the others."""
    usual = options.type == pycolmap.FeatureMatcherType.SIFT_BRUTEFORCE
    return usual and not options.use_gpu and not options.sift.cpu_brute_force_matcher


def descriptor_matches(a: Probed, b: Probed, options: pycolmap.SiftMatchingOptions) -> NDArray[np.uint32]:
    """(m, 2) rows of matched descriptors of both photos, by ascending first."""
    of_a, of_b = probed_nearest(a, b)
    partners_a, partners_b = _accepted(of_a, options), _accepted(of_b, options)
    rows = np.flatnonzero(partners_a >= 0)
    if options.cross_check:
        rows = rows[partners_b[partners_a[rows]] == rows]
    return np.column_stack((rows, partners_a[rows])).astype(np.uint32)


def _accepted(found: Neighbours, options: pycolmap.SiftMatchingOptions) -> NDArray[np.int64]:
    """The nearest partner of each descriptor, -1 where it is too far, or hardly nearer than the next."""
    distance, second = np.sqrt(found.distance.astype(np.float64)), np.sqrt(found.second.astype(np.float64))
    good = (distance <= options.max_distance * _NORM) & (distance < options.max_ratio * second)
    return np.where(good, found.index, -1)


@dataclass(slots=True)
class ProbedPhotos:
    """Descriptors of the photos that were matched last, by database and name, for the next pairs."""

    _kept: OrderedDict[tuple[Path, str], Probed] = field(default_factory=OrderedDict)

    def matches(
        self,
        pairs: Iterable[Pair],
        database: FeatureDatabase,
        options: pycolmap.SiftMatchingOptions,
        pool: ThreadPoolExecutor,
    ) -> dict[Pair, NDArray[np.uint32]]:
        """`descriptor_matches` of pairs; photos without features have none."""
        pairs = list(pairs)
        names = dict.fromkeys(name for pair in pairs for name in (pair.a, pair.b))
        keys = {name: (database.path, name) for name in names}
        for key in [key for key in keys.values() if key in self._kept]:
            self._kept.move_to_end(key)
        new = [name for name in names if keys[name] not in self._kept]
        described = database.num_keypoints().keys() if new else {}

        def read_one(name: str) -> Probed:
            return probed(database.features(name)[1] if name in described else np.empty((0, 128), np.uint8))

        read = pool.map(read_one, new)
        self._kept.update(zip((keys[name] for name in new), read, strict=True))
        photos = {name: self._kept[keys[name]] for name in names}
        found = pool.map(lambda pair: descriptor_matches(photos[pair.a], photos[pair.b], options), pairs)
        self._drop_oldest()
        return dict(zip(pairs, found, strict=True))

    def forget(self) -> None:
        """Drop all: photos may have been described anew."""
        self._kept.clear()

    def _drop_oldest(self) -> None:
        """Drop the photos that were needed longest ago, where they are too many."""
        size = sum(one.descriptors.nbytes + one.probes.nbytes for one in self._kept.values())
        while self._kept and size > _MOST_BYTES:
            _, dropped = self._kept.popitem(last=False)
            size -= dropped.descriptors.nbytes + dropped.probes.nbytes
