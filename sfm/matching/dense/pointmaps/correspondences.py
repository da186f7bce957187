"""Correspondences and alignment problems from the kept directions of photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray

from retrieval import Pair
from sfm.global_alignment.components import components
from sfm.global_alignment.sparse.canonical import CanonicalView
from sfm.global_alignment.sparse.problem import (
    AlignedPair,
    AlignmentProblem,
    Anchored,
    Predicted,
    View,
    placed,
)
from sfm.mast3r.network.correspondences import Correspondences, Direction, merge_directions
from sfm.mast3r.network.pointmap_focal import estimate_focal
from sfm.mast3r.values import DenseMatches
from sfm.types import CameraSpec, Photo

from ..inference.masking import without_masked
from ..inference.pair_store import PairResult
from ..inference.photo_map import PhotoMap
from .photo_directions import DirectionFiles, SeenFrom

_SHORTEST, _LONGEST = 0.5, 3.5
"""Focal lengths of pointmaps, in those of a field of view of 60 degrees over the longer side."""


@dataclass(frozen=True, slots=True)
class KeptDirections:
    """What is kept of photos, read as pairs and as problems."""

    files: DirectionFiles
    photos: Mapping[str, Photo]
    maps: Mapping[str, PhotoMap]
    masks: Mapping[str, NDArray[np.bool_]]
    min_confidence: float = 0.0
    """Of the correspondences of problems."""

    def correspondences(self, pair: Pair) -> Correspondences | None:
        """Of both directions, in network pixels, without those under masks; None where one is missing."""
        both = self._both(pair)
        if both is None:
            return None
        widths = self.maps[pair.a].size[1], self.maps[pair.b].size[1]
        found = merge_directions(_direction(both[0], widths), _direction(both[1], widths, swapped=True))
        if not self.masks:
            return found
        rows = np.arange(len(found.confidence), dtype=np.float32)
        kept = without_masked(pair, self._in_photos(pair, found, rows), self.masks).confidence.astype(
            np.int64
        )
        return Correspondences(found.xy_a[kept], found.xy_b[kept], found.confidence[kept])

    def _confident(self, pair: Pair) -> Correspondences | None:
        found = self.correspondences(pair)
        if found is None or not self.min_confidence:
            return found
        keep = found.confidence >= self.min_confidence
        return Correspondences(found.xy_a[keep], found.xy_b[keep], found.confidence[keep])

    def results(self, pairs: Sequence[Pair], min_confidence: float) -> Iterator[tuple[Pair, PairResult]]:
        """Confident matches of pairs, in photo pixels, for keypoints."""
        for pair in pairs:
            found = self.correspondences(pair)
            if found is not None:
                matches = self._in_photos(pair, found, found.confidence)
                keep = matches.confidence >= min_confidence
                matches = DenseMatches(matches.xy_a[keep], matches.xy_b[keep], matches.confidence[keep])
                yield pair, PairResult(matches, "" if keep.any() else "no confident match")

    def view(self, name: str) -> CanonicalView:
        """The canonical pointmap of a photo; raises ValueError where nothing is kept of it."""
        return self.files.sums(self.photos[name].sha256, self.maps[name].size).view()

    def problems(
        self, pairs: Sequence[Pair], cameras: Mapping[str, CameraSpec], *, robust_focal: bool = True
    ) -> Iterator[tuple[list[str], AlignmentProblem]]:
        """A problem for each connected graph of pairs, largest first, with the photos that its views are.

        Args:
            pairs: pairs with kept directions; others are left out.
            cameras: intrinsics of photos that are known and held.
            robust_focal: whether points in the image plane have no say in the focal length.
        """
        found = {pair: c for pair in sorted(pairs) if (c := self._confident(pair)) is not None}
        matched = [pair for pair, one in found.items() if len(one.confidence)]
        names = sorted({name for pair in matched for name in pair})
        index = {name: number for number, name in enumerate(names)}
        groups = components(len(names), [(index[a], index[b]) for a, b in matched])
        for group in groups:
            members = [names[number] for number in group]
            inside = [pair for pair in matched if pair.a in set(members)]
            yield (
                members,
                self._problem(members, {pair: found[pair] for pair in inside}, cameras, robust_focal),
            )

    def _problem(
        self,
        names: Sequence[str],
        found: Mapping[Pair, Correspondences],
        cameras: Mapping[str, CameraSpec],
        robust_focal: bool,
    ) -> AlignmentProblem:
        index = {name: number for number, name in enumerate(names)}
        views: list[View] = []
        sides: dict[tuple[Pair, str], Anchored] = {}
        frames: dict[tuple[Pair, str], pycolmap.Sim3d | None] = {}
        predicted = {pair: self._predicted(pair) for pair in found}
        for name in names:
            canonical = self.view(name)
            views.append(self._start(name, canonical, cameras.get(name), robust_focal))
            for pair, one in found.items():
                if name in pair:
                    is_first = name == pair.a
                    sides[pair, name] = Anchored.of(canonical, one.xy_a if is_first else one.xy_b)
                    frames[pair, name] = placed(canonical, predicted[pair][0 if is_first else 1])
        aligned = tuple(
            AlignedPair(
                index[pair.a],
                index[pair.b],
                sides[pair, pair.a],
                sides[pair, pair.b],
                one.confidence.astype(np.float64),
                *predicted[pair],
                frames[pair, pair.a],
                frames[pair, pair.b],
            )
            for pair, one in found.items()
        )
        return AlignmentProblem(tuple(views), aligned)

    def _predicted(self, pair: Pair) -> tuple[Predicted, Predicted]:
        """The first photo of a pair in the frame of the second, and the other way round."""
        both = self._both(pair)
        assert both is not None, "pairs with correspondences have both directions"
        return both[1].predicted, both[0].predicted

    def _start(
        self, name: str, canonical: CanonicalView, camera: CameraSpec | None, robust_focal: bool
    ) -> View:
        height, width = canonical.size
        confidence = float(canonical.confidence.mean())
        if camera is not None:
            focal, principal_point = network_intrinsics(camera, self.maps[name])
            return View((width, height), canonical.core_depth, focal, principal_point, confidence, True)
        base = max(width, height) / (2 * np.tan(np.deg2rad(30)))
        focal = estimate_focal(canonical.points, robust=robust_focal)
        focal = (
            float(np.clip(focal, _SHORTEST * base, _LONGEST * base)) if np.isfinite(focal) else float(base)
        )
        return View((width, height), canonical.core_depth, focal, (width / 2, height / 2), confidence)

    def _both(self, pair: Pair) -> tuple[SeenFrom, SeenFrom] | None:
        """The direction from each photo of a pair."""
        a, b = (self.photos[name].sha256 for name in pair)
        there, back = self.files.seen(a, b), self.files.seen(b, a)
        return None if there is None or back is None else (there, back)

    def _in_photos(self, pair: Pair, found: Correspondences, values: NDArray[np.float32]) -> DenseMatches:
        a, b = (
            self.maps[name].to_photo(xy.astype(np.float64))
            for name, xy in zip(pair, (found.xy_a, found.xy_b), strict=True)
        )
        return DenseMatches(a, b, values)


def network_intrinsics(camera: CameraSpec, photo: PhotoMap) -> tuple[float, tuple[float, float]]:
    """Focal length and principal point (px of the network's image) of a camera; distortion is left out."""
    known = pycolmap.Camera(
        model=camera.model, width=camera.width, height=camera.height, params=list(camera.params)
    )
    centre = photo.to_network(np.array([[known.principal_point_x, known.principal_point_y]]))[0]
    return known.mean_focal_length() / photo.photo_px, (float(centre[0]), float(centre[1]))


def _direction(seen: SeenFrom, widths: tuple[int, int], *, swapped: bool = False) -> Direction:
    pixels, confidence = torch.from_numpy(seen.pixels), torch.from_numpy(seen.confidence)
    own, other = (1, 0) if swapped else (0, 1)
    return Direction(pixels[:, own], pixels[:, other], confidence[:, own], confidence[:, other], widths)
