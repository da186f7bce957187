"""Correspondences and alignment problems from the kept directions of photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray

from retrieval import Pair
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
from .groups import connected_photos
from .photo_directions import DirectionFiles, SeenFrom

_SHORTEST, _LONGEST = 0.5, 3.5
"""Focal lengths of pointmaps, in those of a field of view of 60 degrees over the longer side."""


class _Matched(NamedTuple):
    """A pair's confident matches, and what the network predicts of it."""

    matches: Correspondences
    predicted: tuple[Predicted, Predicted]
    """The first photo in the frame of the second, and the other way round."""


@dataclass(frozen=True, slots=True)
class KeptDirections:
    """What is kept of photos, read as pairs and as problems."""

    files: DirectionFiles
    photos: Mapping[str, Photo]
    maps: Mapping[str, PhotoMap]
    masks: Mapping[str, NDArray[np.bool_]]
    min_confidence: float = 0.0
    """Of the correspondences of problems."""

    def results(self, pairs: Sequence[Pair], min_confidence: float) -> Iterator[tuple[Pair, PairResult]]:
        """Confident matches of pairs, in photo pixels, for keypoints."""
        for pair in pairs:
            both = self._both(pair)
            if both is not None:
                found = self._merged(pair, both)
                matches = self._in_photos(pair, found, found.confidence)
                keep = matches.confidence >= min_confidence
                matches = DenseMatches(matches.xy_a[keep], matches.xy_b[keep], matches.confidence[keep])
                yield pair, PairResult(matches, "" if keep.any() else "no confident match")

    def view(self, name: str) -> CanonicalView:
        """The canonical pointmap of a photo; raises ValueError where nothing is kept of it."""
        return self.files.sums(self.photos[name].sha256, self.maps[name].size).view()

    def problems(
        self, pairs: Sequence[Pair], cameras: Mapping[str, CameraSpec]
    ) -> Iterator[tuple[list[str], AlignmentProblem]]:
        """A problem for each connected graph of pairs, largest first, with the photos that its views are.

        Args:
            pairs: pairs with kept directions; others are left out.
            cameras: intrinsics of photos that are known and held.
        """
        found: dict[Pair, _Matched] = {}
        for pair in sorted(pairs):
            both = self._both(pair)
            if both is not None:
                confident = self._merged(pair, both)
                keep = confident.confidence >= self.min_confidence
                if keep.any():
                    kept = Correspondences(
                        confident.xy_a[keep], confident.xy_b[keep], confident.confidence[keep]
                    )
                    found[pair] = _Matched(kept, (both[1].predicted, both[0].predicted))
        for names in connected_photos(found):
            members = set(names)
            inside = {pair: one for pair, one in found.items() if pair.a in members}
            yield names, self._problem(names, inside, cameras)

    def _problem(
        self, names: Sequence[str], found: Mapping[Pair, _Matched], cameras: Mapping[str, CameraSpec]
    ) -> AlignmentProblem:
        index = {name: number for number, name in enumerate(names)}
        views: list[View] = []
        sides: dict[tuple[Pair, str], Anchored] = {}
        frames: dict[tuple[Pair, str], pycolmap.Sim3d | None] = {}
        for name in names:
            canonical = self.view(name)
            views.append(self._start(name, canonical, cameras.get(name)))
            for pair, one in found.items():
                if name in pair:
                    is_first = name == pair.a
                    pixels = one.matches.xy_a if is_first else one.matches.xy_b
                    anchored = Anchored.of(canonical, pixels)
                    if (camera := cameras.get(name)) is not None:
                        anchored = replace(
                            anchored, pixels=undistorted_pixels(pixels, camera, self.maps[name])
                        )
                    sides[pair, name] = anchored
                    frames[pair, name] = placed(canonical, one.predicted[0 if is_first else 1])
        aligned = tuple(
            AlignedPair(
                index[pair.a],
                index[pair.b],
                sides[pair, pair.a],
                sides[pair, pair.b],
                one.matches.confidence.astype(np.float64),
                *one.predicted,
                frames[pair, pair.a],
                frames[pair, pair.b],
            )
            for pair, one in found.items()
        )
        return AlignmentProblem(tuple(views), aligned)

    def _start(self, name: str, canonical: CanonicalView, camera: CameraSpec | None) -> View:
        height, width = canonical.size
        confidence = float(canonical.confidence.mean())
        if camera is not None:
            focal, principal_point = network_intrinsics(camera, self.maps[name])
            return View((width, height), canonical.core_depth, focal, principal_point, confidence, True)
        focal = plausible_focal(canonical.points)
        return View((width, height), canonical.core_depth, focal, (width / 2, height / 2), confidence)

    def _both(self, pair: Pair) -> tuple[SeenFrom, SeenFrom] | None:
        """The direction from each photo of a pair."""
        a, b = (self.photos[name].sha256 for name in pair)
        there, back = self.files.seen(a, b), self.files.seen(b, a)
        return None if there is None or back is None else (there, back)

    def _merged(self, pair: Pair, both: tuple[SeenFrom, SeenFrom]) -> Correspondences:
        """Of both directions, in network pixels, without those under masks."""
        widths = self.maps[pair.a].size[1], self.maps[pair.b].size[1]
        found = merge_directions(_direction(both[0], widths), _direction(both[1], widths, swapped=True))
        if not self.masks:
            return found
        rows = np.arange(len(found.confidence), dtype=np.float32)
        open_ = without_masked(pair, self._in_photos(pair, found, rows), self.masks)
        kept = open_.confidence.astype(np.int64)
        return Correspondences(found.xy_a[kept], found.xy_b[kept], found.confidence[kept])

    def _in_photos(self, pair: Pair, found: Correspondences, values: NDArray[np.float32]) -> DenseMatches:
        a, b = (
            self.maps[name].to_photo(xy.astype(np.float64))
            for name, xy in zip(pair, (found.xy_a, found.xy_b), strict=True)
        )
        return DenseMatches(a, b, values)


def plausible_focal(points: NDArray[np.floating]) -> float:
    """Focal length (px) of a pointmap (H, W, 3), within what lenses have."""
    base = max(points.shape[:2]) / (2 * np.tan(np.deg2rad(30)))
    focal = estimate_focal(points)
    return float(np.clip(focal, _SHORTEST * base, _LONGEST * base) if np.isfinite(focal) else base)


def network_intrinsics(camera: CameraSpec, photo: PhotoMap) -> tuple[float, tuple[float, float]]:
    """Focal length and principal point (px of the network's image) of a camera; distortion is left out."""
    known = _of_colmap(camera)
    centre = photo.to_network(np.array([[known.principal_point_x, known.principal_point_y]]))[0]
    return known.mean_focal_length() / photo.photo_px, (float(centre[0]), float(centre[1]))


def undistorted_pixels(pixels: NDArray[np.int64], camera: CameraSpec, photo: PhotoMap) -> NDArray[np.float64]:
    """Where a camera with `network_intrinsics` alone sees what the network's pixels (M, 2) show.

    Pixels that the camera has no ray for stay.
    """
    known = _of_colmap(camera)
    xy = photo.to_photo(pixels.astype(np.float64)).astype(np.float64)
    rays = np.asarray(known.cam_from_img(xy), np.float64)
    centre = np.array([known.principal_point_x, known.principal_point_y])
    ideal = photo.to_network(known.mean_focal_length() * rays + centre).astype(np.float64)
    return np.where(np.isfinite(ideal).all(axis=1, keepdims=True), ideal, pixels)


def _of_colmap(camera: CameraSpec) -> pycolmap.Camera:
    return pycolmap.Camera(
        model=camera.model, width=camera.width, height=camera.height, params=list(camera.params)
    )


def _direction(seen: SeenFrom, widths: tuple[int, int], *, swapped: bool = False) -> Direction:
    pixels, confidence = torch.from_numpy(seen.pixels), torch.from_numpy(seen.confidence)
    own, other = (1, 0) if swapped else (0, 1)
    return Direction(pixels[:, own], pixels[:, other], confidence[:, own], confidence[:, other], widths)
